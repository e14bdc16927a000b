"""DuckDB lets one process at a time into its file: the others must wait, or say what to do."""

import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from etl_assets.core.errors import TransientError
from etl_assets.settings import Settings
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.chain import Chain
from etl_assets_tests.commits import commit_load
from etl_assets_tests.small import COUNTS, Small

_HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("SELECT 1")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(small_settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the warehouse open until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(small_settings.home / "warehouse.duckdb")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def impatient(settings: Settings) -> DuckDBWarehouse:
    return DuckDBWarehouse(settings.home / "warehouse.duckdb", patience_seconds=0)


def test_a_warehouse_in_use_is_a_transient_error_that_names_the_process(
    small_settings: Settings, holder: subprocess.Popen[str]
) -> None:
    staged = Chain(small_settings).stage()
    staging = small_settings.open_staging()
    with pytest.raises(TransientError, match="in use") as caught:
        commit_load(impatient(small_settings), staged, staging)
    assert str(holder.pid) in caught.value.message
    assert "the table is as it was" in caught.value.remedy
    with pytest.raises(TransientError, match="in use"):
        impatient(small_settings).loads()
    assert not impatient(small_settings).check()[0].ok


def test_a_load_waits_until_the_other_process_is_done(
    small_settings: Settings, holder: subprocess.Popen[str]
) -> None:
    chain = Chain(small_settings)
    staged = chain.stage()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(chain.load, staged)
        with pytest.raises(TransientError):
            impatient(small_settings).loads()
        assert not waiting.done()
        holder.communicate()
        assert waiting.result().records == COUNTS["SP17"]


def _refresh(home: Path, key: str) -> int:
    return Chain(Small(home).settings()).refresh(key).records


def test_processes_that_load_at_once_all_succeed(small: Small) -> None:
    keys = ["SP17", "SU17", "AU17", "SP17"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        records = pool.starmap(_refresh, [(small.home, key) for key in keys])
    chain = Chain(small.settings())
    assert records == [COUNTS[key] for key in keys]
    assert chain.counts() == COUNTS
    assert len(chain.settings.open_warehouse().loads()) in (3, 4)


def test_a_thread_waits_for_another_thread_of_its_process(small_settings: Settings) -> None:
    """A file that the process itself had open was an error for good instead of a wait."""
    chain = Chain(small_settings)
    staged = chain.stage()
    with ThreadPoolExecutor(1) as pool:
        with impatient(small_settings)._open(read_only=False):
            waiting = pool.submit(chain.load, staged)
            with pytest.raises(TransientError, match="in use"):
                impatient(small_settings).loads()
        assert waiting.result().records == COUNTS["SP17"]


def test_threads_of_one_process_that_load_and_look_at_once_all_succeed(
    small_settings: Settings,
) -> None:
    chain = Chain(small_settings)
    staged = [chain.stage(key) for key in COUNTS]
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for row in small_settings.open_warehouse().loads():
                assert row.records == COUNTS[row.campaign_key]

    with ThreadPoolExecutor(4) as pool:
        looking = pool.submit(look)
        loads = list(pool.map(chain.load, staged))
        done.set()
        looking.result()
    assert [row.records for row in loads] == list(COUNTS.values())
    assert chain.counts() == COUNTS


_LOAD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from etl_assets.systems import duckdb_tables
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small
write = duckdb_tables.write_ledger
def die(connection, load):
    write(connection, load)
    os.kill(os.getpid(), signal.SIGKILL)
duckdb_tables.write_ledger = die
Chain(Small(Path(sys.argv[1])).settings()).refresh("SP17")
"""


def test_a_process_killed_before_its_commit_leaves_the_old_slice(small: Small) -> None:
    chain = Chain(small.settings())
    chain.refresh("SP17")
    before = chain.query("SELECT * FROM sales ORDER BY ALL")
    small.run_sql("UPDATE sales SET amount = amount + 1")
    done = subprocess.run(
        [sys.executable, "-c", _LOAD_AND_DIE, str(small.home)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == before
    assert len(chain.settings.open_warehouse().loads()) == 1
    chain.refresh("SP17")
    assert chain.query("SELECT sum(amount)::VARCHAR FROM sales") == [("108.50",)]
