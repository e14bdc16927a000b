"""Measure what the fingerprints of a load cost, beside the refresh they prove.

One campaign of 21,667 records x 600 columns of every common type, a third of a production
refresh: from MySQL into the embedded warehouse. Its fingerprints are taken at the source (of the
key and 20 measures), of the extract, of what the rules made, and of the table. Runs alternate with
refreshes; each figure is a median. Needs MariaDB; run with `python -m benchmarks.proof`.
"""

import datetime as dt
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from benchmarks.mysql_extract import build
from etl_assets import pipeline
from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.fingerprint import Fingerprint, differences
from etl_assets.core.manifest import Extract
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.sql import quote_identifier
from etl_assets.rules.proof import fingerprint_of_parquet
from etl_assets.settings import Settings
from etl_assets.systems.fingerprint_duckdb import fingerprint_of
from etl_assets_tests.servers import MariaDBServer, ensure_packages

RUNS = int(os.environ.get("RUNS", "3"))
COLUMNS, RECORDS = 600, 21_667
MEASURES = 20
AIM = 0.15

Seconds = dict[str, list[tuple[float, float]]]
"""Step: wall and CPU seconds of this process, per run."""


def main() -> None:
    """Build the table, measure, print a table and JSON."""
    ensure_packages("mariadbd", "mariadb-install-db")
    with (
        MariaDBServer("--innodb-buffer-pool-size=256M") as server,
        tempfile.TemporaryDirectory(prefix="etl_assets_bench_") as folder,
    ):
        build(server, "wide", COLUMNS, RECORDS)
        home = Path(folder)
        bench = Bench(
            Settings(home=home, source_url=server.url, source_password=server.password),
            home / "warehouse.duckdb",
        )
        found: Seconds = {}
        for number in range(RUNS):
            bench.run(number, found)
    show(found)


class Bench:
    """One campaign, refreshed and proven."""

    def __init__(self, settings: Settings, table: Path) -> None:
        """Name the dataset; its columns are the table's."""
        self.settings = settings
        self.file = table
        document = {"dataset": "wide", "primary_key": ["id"], "query": "SELECT t.* FROM wide t"}
        self.dataset = Dataset.model_validate(document)
        first, last = dt.date(2017, 1, 1), dt.date(2017, 12, 31)
        self.campaign = Campaign(key="B1", name="", start=first, end=last)
        self.staging, self.source = settings.open_staging(), settings.open_source()

    def run(self, number: int, found: Seconds) -> None:
        """Refresh and fingerprint once.

        Raises:
            SystemExit: When two fingerprints differ.
        """
        extracts: list[Extract] = []
        timed(found, "refresh", lambda: extracts.append(self.refresh(number)))
        (extract,) = extracts
        prints: dict[str, Fingerprint] = {}
        names = [c.name for c in extract.columns][: MEASURES + 1]
        with self.staging.fetch(extract.parts) as files, duckdb.connect(self.file) as warehouse:
            warehouse.execute("SET threads = 1")
            steps: dict[str, Callable[[], Fingerprint]] = {
                "source": lambda: self.at_source(names),
                "source, all columns": lambda: self.at_source([c.name for c in extract.columns]),
                "extract": lambda: fingerprint_of_parquet(extract.columns, files),
                "table": lambda: fingerprint_of(
                    warehouse, extract.columns, quote_identifier(self.dataset.table)
                ),
            }
            for name, step in steps.items():
                timed(found, name, lambda n=name, s=step: prints.update({n: s()}))
        for name, printed in prints.items():
            kept = prints["extract"].only([c.column for c in printed.columns])
            if said := differences(kept, printed):
                raise SystemExit(f"{name}: {said}")

    def at_source(self, names: list[str]) -> Fingerprint:
        """Let the source sum columns."""
        bindings = {"campaign_key": self.campaign.key}
        with self.source.snapshot(self.dataset, dict(bindings)) as snapshot:
            return snapshot.fingerprint(names)

    def refresh(self, number: int) -> Extract:
        """Extract, stage and load, whatever is unchanged."""
        made = pipeline.extract(
            self.dataset, self.campaign, self.source, self.staging, source_name="mysql"
        )
        staged = pipeline.stage(self.dataset, self.campaign, made, RuleSet(), self.staging)
        warehouse = self.settings.open_warehouse()
        pipeline.load(
            self.dataset, staged, self.staging, warehouse, run_id=f"run-{number}", force=True
        )
        return made


def timed(found: Seconds, name: str, work: Callable[[], object]) -> None:
    """Do some work, and write down what it took."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    found.setdefault(name, []).append((time.monotonic() - wall, time.process_time() - cpu))


def show(found: Seconds) -> None:
    """Print medians, the cost per cell, and the share of the four places."""
    wall = {name: statistics.median(w for w, _ in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(c for _, c in runs) for name, runs in found.items()}
    table = Table("what", "seconds", "CPU s here", "ns per cell", "share of the refresh")
    cells = COLUMNS * RECORDS
    for name, seconds in wall.items():
        counted = (MEASURES + 1) * RECORDS if name == "source" else cells
        table.add_row(
            name,
            f"{seconds:.2f}",
            f"{cpu[name]:.2f}",
            f"{seconds / counted * 1e9:.0f}",
            f"{seconds / wall['refresh']:.1%}",
        )
    # What the rules made is summed as the extract is: they are Parquet and queries over it.
    share = (wall["source"] + 2 * wall["extract"] + wall["table"]) / wall["refresh"]
    Console(width=100).print(table)
    print(f"Source, extract, what the rules made, table: {share:.1%}; aim: under {AIM:.0%}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
