"""A disk that is full in the middle must leave no half object and the old slice.

The limit on a file's size stands in for the disk's: a write beyond it fails the same way.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets_tests.chain import Chain
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.small import Small

_RUN = """
import resource, signal, sys
from pathlib import Path
from etl_assets.core.errors import EtlError
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
chain = Chain(Small(Path(sys.argv[1])).settings())
extracted = chain.extract() if sys.argv[2] != "extract" else None
staged = chain.stage(extracted=extracted) if sys.argv[2] == "load" else None
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
try:
    if staged:
        chain.load(staged)
    elif extracted:
        chain.stage(extracted=extracted)
    else:
        chain.extract()
except EtlError as error:
    print(type(error).__name__, error)
"""

_MORE = """
WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
INSERT INTO sales SELECT i, '2017-04-01 10:00:00', i, i % 1000, hex(randomblob(50)) FROM n
"""


_COMMAND = """
import resource, signal, sys

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from etl_assets.cli import main
main()
"""


def objects(chain: Chain) -> set[Path]:
    staging = Path(chain.settings.staging_url.removeprefix("file:"))
    return {path for path in staging.rglob("*") if path.is_file()}


_EXTRACT = {"extract/sales/SP17/part-00000.parquet", "extract/sales/SP17/manifest.json"}
_STAGE_FILES = ("part-00000.csv.zst", "rules.yaml", "sidecar.json", "manifest.json")
_STAGE = {f"stage/sales/SP17/{name}" for name in _STAGE_FILES}


@pytest.mark.parametrize(
    ("step", "error", "left"),
    [
        ("extract", "StagingError The extract could not be written", set()),
        (
            "stage",
            "StagingError The parts of sales for campaign SP17 could not be written",
            _EXTRACT,
        ),
        ("load", "WarehouseError The load of sales for campaign SP17 failed", _EXTRACT | _STAGE),
    ],
)
def test_a_full_disk_stops_the_step_and_leaves_what_was_there(
    small: Small, step: str, error: str, left: set[str]
) -> None:
    chain = Chain(small.settings())
    chain.refresh()
    before = (chain.query("SELECT * FROM sales ORDER BY ALL"), objects(chain))
    small.run_sql(_MORE)
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(small.home), step],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert error in done.stdout
    assert "File too large" in done.stdout
    assert "etl-assets doctor" in done.stdout
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == before[0]
    new = objects(chain) - before[1]
    found = {str(path.relative_to(small.home / "staging")) for path in new}
    assert sorted(re.sub(r"/2[^/]+/", "/", path) for path in found) == sorted(left)
    assert chain.refresh().records == 39_915


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["demo"], "The sample could not be built in "),
        (["refresh", "--key", "SP17"], "Dagster's own files in "),
    ],
)
def test_a_full_disk_is_one_sentence_with_the_next_action(
    small: Small, command: list[str], said: str
) -> None:
    if command == ["demo"]:
        (small.home / "source.sqlite").unlink()
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND, "150000", *command],
        env=CommandLine.of(small).environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {said}{small.home}")
    assert "Traceback" not in done.stderr
    assert "not expected" not in done.stderr
    assert not list(small.home.glob("*.unfinished*"))
