"""Measure what the proof of a load costs: refreshes with it beside refreshes without.

One campaign of 21,667 records x 600 columns of every common type, a third of a production
refresh: from MySQL into the embedded warehouse, with the fingerprints of the primary key and 20
measures computed at the source. Runs alternate: proven, not proven (all that computes a
fingerprint does nothing), and proven with all columns at the source. Each figure is a median.
Needs MariaDB; run with `python -m benchmarks.proof`.
"""

import contextlib
import datetime as dt
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from benchmarks.mysql_extract import build
from etl_assets import pipeline
from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.loading import load
from etl_assets.settings import Settings
from etl_assets.systems.source_mysql import MysqlSnapshot
from etl_assets_tests.servers import MariaDBServer, ensure_packages

RUNS = int(os.environ.get("RUNS", "5"))
COLUMNS, RECORDS = 600, 21_667
MEASURES = 20
AIM = 0.15
WAYS: dict[str, dict[str, Any]] = {
    "without proof": {"proven": False},
    "proven": {},
    "proven, all at the source": {"source_proof": "all"},
}

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
            home=Path(folder), source_url=server.url, source_password=server.password
        )
        for number in range(RUNS + 1):
            measured: Seconds = {}
            for name, how in WAYS.items():
                with timed(measured, name, server.pid):
                    refresh(settings, number, **how)
            if number:  # the first fills caches
                for name, runs in measured.items():
                    found.setdefault(name, []).extend(runs)
    show(found)


def refresh(
    settings: Settings, number: int, *, source_proof: str = "named", proven: bool = True
) -> None:
    """Extract, stage and load, whatever is unchanged."""
    dataset = Dataset.model_validate(
        {
            "dataset": "wide",
            "primary_key": ["id"],
            "query": "SELECT t.* FROM wide t",
            "measures": [f"c{n}" for n in range(MEASURES)],
            "source_proof": source_proof,
        }
    )
    campaign = Campaign(key="B1", name="", start=dt.date(2017, 1, 1), end=dt.date(2017, 12, 31))
    staging, source = settings.open_staging(), settings.open_source()
    with contextlib.nullcontext() if proven else nothing_proven():
        made = pipeline.extract(dataset, campaign, source, staging, source_name="mysql")
        staged = pipeline.stage(dataset, campaign, made, RuleSet(), staging)
        warehouse = settings.open_warehouse()
        load(dataset, staged, staging, warehouse, run_id=f"run-{number}", force=True)


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
