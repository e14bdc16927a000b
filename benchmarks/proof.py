"""Measure what the proof of a load costs: refreshes with it beside refreshes without.

One campaign of 21,667 records x 600 columns of every common type, a third of a production
refresh: from MySQL into the embedded warehouse, with the fingerprints of the primary key and 20
measures computed at the source. Runs alternate: proven, not proven (all that computes a
fingerprint does nothing), and proven with all columns at the source. Each figure is a median.
Needs MariaDB; run with `python -m benchmarks.proof`.
"""

import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from rich.console import Console
from rich.table import Table

from benchmarks.mysql_extract import build
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.home import open_instance
from etl_assets.refresh import Refresh
from etl_assets.settings import VARIABLES, Settings
from etl_assets.systems.source_mysql import MysqlSnapshot
from etl_assets_tests.servers import MariaDBServer, ensure_packages

RUNS = int(os.environ.get("RUNS", "5"))
COLUMNS, RECORDS = 600, 21_667
MEASURES = 20
AIM = 0.15
CAMPAIGNS = "campaigns:\n  - {key: B1, name: B1, start: 2017-01-01, end: 2017-12-31}\n"
DATASET = f"""\
dataset: wide
primary_key: [id]
query: SELECT t.* FROM wide t
measures: [{", ".join(f"c{n}" for n in range(MEASURES))}]
source_proof: """
WAYS = {
    "without proof": (False, "named"),
    "proven": (True, "named"),
    "proven, all at the source": (True, "all"),
}
"""How each refresh is made: whether it is proven, and what the source sums."""

Seconds = dict[str, list[tuple[float, float]]]
"""How it was refreshed: wall seconds, and CPU seconds of this process and MariaDB, per run."""


def main() -> None:
    """Build the table, measure, print a table and JSON."""
    ensure_packages("mariadbd", "mariadb-install-db")
    found: Seconds = {}
    with (
        MariaDBServer("--innodb-buffer-pool-size=256M") as server,
        tempfile.TemporaryDirectory(prefix="etl_assets_bench_") as folder,
    ):
        build(server, "wide", COLUMNS, RECORDS)
        settings = Settings(
            home=Path(folder),
            datasets_folder=Path(folder) / "datasets",
            source_url=server.url,
            source_password=server.password,
        )
        os.environ[VARIABLES["source_password"]] = server.password
        write(settings.home / "registry/campaigns.yaml", CAMPAIGNS)
        write(settings.datasets_folder / "wide.yaml", "")
        with open_instance(settings) as instance:
            for number in range(RUNS + 1):
                measured: Seconds = {}
                for name, (proven, source_proof) in WAYS.items():
                    write(settings.datasets_folder / "wide.yaml", DATASET + source_proof)
                    with contextlib.nullcontext() if proven else nothing_proven():
                        refresh = Refresh(replace(settings), instance, force=True)
                        with timed(measured, name, server.pid):
                            ((result,),) = refresh.run(["B1"])
                    if result.status != "loaded":
                        raise SystemExit(result.error)
                if number:  # the first fills caches
                    for name, runs in measured.items():
                        found.setdefault(name, []).extend(runs)
    show(found)


def write(file: Path, text: str) -> None:
    """Write a document."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def nothing_proven() -> Iterator[None]:
    """Let no fingerprint be computed, but for the count at the source."""
    print_of = MysqlSnapshot.fingerprint
    none = Fingerprint(records=0, columns=())
    module = "etl_assets.{}.fingerprint_of".format
    with (
        mock.patch.object(MysqlSnapshot, "fingerprint", lambda self, _names: print_of(self, ())),
        mock.patch("etl_assets.pipeline.prove_extract", return_value=None),
        mock.patch("etl_assets.pipeline.prove_rules", return_value=()),
        mock.patch(module("rules.printing"), return_value=none),
        mock.patch(module("systems.warehouse_duckdb"), return_value=none),
    ):
        yield


@contextlib.contextmanager
def timed(found: Seconds, name: str, server: int) -> Iterator[None]:
    """Write down what some work took, with what it made the server do."""

    def cpu() -> float:
        return time.process_time() + cpu_seconds(server)

    began, used = time.monotonic(), cpu()
    yield
    found.setdefault(name, []).append((time.monotonic() - began, cpu() - used))


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has taken, by Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def show(found: Seconds) -> None:
    """Print medians, and what the proof adds to a refresh without it."""
    wall = {name: statistics.median(w for w, _ in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(c for _, c in runs) for name, runs in found.items()}
    table = Table("refresh", "seconds", "more", "CPU s", "more")
    for name in found:
        more = [each[name] / each["without proof"] - 1 for each in (wall, cpu)]
        table.add_row(
            name, f"{wall[name]:.2f}", f"{more[0]:+.1%}", f"{cpu[name]:.2f}", f"{more[1]:+.1%}"
        )
    Console(width=100).print(table)
    print(f"Aim: under {AIM:.0%}.")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
