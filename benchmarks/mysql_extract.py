"""Measure the extract from MySQL as it grows: seconds, records per second, peak memory.

Tables of columns of every common type: 60 of them, and 600, the width of production; each with
few records and with many. Each extract is in a process of its own, sizes alternate. Memory must
not grow with the records: its ratio is printed. The largest table takes 3 GB below /tmp.
Needs MariaDB (`mariadb-server`); run with `python -m benchmarks.mysql_extract`.
"""

import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from etl_assets_tests.servers import MariaDBServer, ensure_packages

RUNS = int(os.environ.get("RUNS", "3"))
SIZES = {
    "narrow_20": (60, 20_000),
    "narrow_200": (60, 200_000),
    "wide_20": (600, 20_000),
    "wide_400": (600, 400_000),
}
"""Table: columns, records."""
COMPARED = (("narrow_20", "narrow_200"), ("wide_20", "wide_400"))
"""Tables of one width: the peak memory of their extracts should be the same."""

_KINDS = (
    ("INT", "seq"),
    ("DECIMAL(12,4)", "seq / 7"),
    ("DOUBLE", "seq / 3e0"),
    ("VARCHAR(40)", "CONCAT('a \"quoted\", grün ', seq)"),
    ("DATE", "DATE('2017-01-01') + INTERVAL seq % 365 DAY"),
    ("DATETIME(6)", "TIMESTAMP('2017-01-01') + INTERVAL seq MICROSECOND"),
    ("TINYINT", "IF(seq % 7, seq % 2, NULL)"),
    ("BIGINT", "seq * 1000003"),
    ("VARCHAR(40)", "IF(seq % 5, MD5(seq), NULL)"),
    ("FLOAT", "seq / 9"),
)


def main() -> None:
    """Build the tables, measure, print a table and JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(_extract(*sys.argv[1:])))
        return
    ensure_packages("mariadbd", "mariadb-install-db")
    with MariaDBServer("--innodb-buffer-pool-size=256M") as server:
        for table, (columns, records) in SIZES.items():
            build(server, table, columns, records)
        measured = [_measure(server, table) for _ in range(RUNS) for table in SIZES]
    _show(measured)


def build(server: MariaDBServer, table: str, columns: int, records: int) -> None:
    """Make a table with so many columns and records."""
    kinds = [_KINDS[n % len(_KINDS)] for n in range(columns - 1)]
    declared = ", ".join(f"c{n} {kind}" for n, (kind, _) in enumerate(kinds))
    values = ", ".join(value for _, value in kinds)
    server.run(
        f"CREATE TABLE {table} (id INT PRIMARY KEY, {declared}) ENGINE=MyISAM",
        f"INSERT INTO {table} SELECT seq, {values} FROM seq_1_to_{records}",
    )


def _measure(server: MariaDBServer, table: str) -> dict[str, float | str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.mysql_extract", server.url, table],
        env={**os.environ, "ETL_ASSETS_SOURCE_PASSWORD": server.password},
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, float | str] = json.loads(done.stdout)
    return measured


def _extract(url: str, table: str) -> dict[str, float | str]:
    from etl_assets.core.campaigns import Campaign
    from etl_assets.core.datasets import Dataset
    from etl_assets.pipeline import extract
    from etl_assets.systems.connect import open_source
    from etl_assets.systems.staging import FileStaging

    document = {"dataset": "bench", "primary_key": ["id"], "query": f"SELECT t.* FROM {table} t"}
    dataset = Dataset.model_validate(document)
    campaign = Campaign(key="B1", name="", start=dt.date(2017, 1, 1), end=dt.date(2017, 12, 31))
    source = open_source(url, os.environ["ETL_ASSETS_SOURCE_PASSWORD"])
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        made = extract(dataset, campaign, source, FileStaging(Path(folder)), source_name="mysql")
        seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "table": table,
        "records": made.records,
        "columns": len(made.columns),
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "before_mb": before.ru_maxrss / 1024,
        "peak_rss_mb": after.ru_maxrss / 1024,
    }


def _show(measured: list[dict[str, float | str]]) -> None:
    table = Table(
        "records", "columns", "seconds", "CPU s", "records/s", "imports MB", "peak RSS MB"
    )
    peaks: dict[str, float] = {}
    for name in SIZES:
        rows = [m for m in measured if m["table"] == name]
        peaks[name] = statistics.median(float(m["peak_rss_mb"]) for m in rows)
        seconds = statistics.median(float(m["seconds"]) for m in rows)
        table.add_row(
            f"{rows[0]['records']:,}",
            str(rows[0]["columns"]),
            f"{seconds:.1f}",
            f"{statistics.median(float(m['cpu_seconds']) for m in rows):.1f}",
            f"{float(rows[0]['records']) / seconds:,.0f}",
            f"{max(float(m['before_mb']) for m in rows):.0f}",
            f"{max(float(m['peak_rss_mb']) for m in rows):.0f}",
        )
    Console(width=100).print(table)
    for few, many in COMPARED:
        grown, columns = SIZES[many][1] / SIZES[few][1], SIZES[few][0]
        print(
            f"{columns} columns, {grown:.0f} x the records: {peaks[many] / peaks[few]:.2f} x the memory"
        )
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
