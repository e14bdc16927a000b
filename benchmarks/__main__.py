"""Measure a refresh of one key as it grows: seconds, records per second, peak memory.

Each row is the median of several refreshes, each in a process of its own, of the sample's
largest key (CJ18) and of a key with ten times its records. Sizes alternate, so that a busy
machine hurts both alike.
"""

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from etl_assets.demo import sample

KEY = "CJ18"
RUNS = int(os.environ.get("RUNS", "3"))
FACTOR = 10


@dataclass(frozen=True)
class Measured:
    """One refresh: what was done, in what time, with what peak memory of the process."""

    size: str
    way: str
    records: int
    seconds: float
    cpu_seconds: float
    peak_rss_mb: float


def main() -> None:
    """Build the data, measure, print a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="etl_assets_bench_") as folder:
        homes = {"CJ18": Path(folder) / "once", f"{FACTOR} x CJ18": Path(folder) / "tenfold"}
        _build(homes["CJ18"], 1)
        _build(homes[f"{FACTOR} x CJ18"], FACTOR)
        measured = [
            _refresh(home, size, way)
            for _ in range(RUNS)
            for size, home in homes.items()
            for way in ("forced", "unchanged")
        ]
    _show(measured)


def _build(home: Path, factor: int) -> None:
    """Make a home whose transactions are repeated so many times, under other baskets."""
    sample.build_registry(home / "registry")
    cached = Path(tempfile.gettempdir()) / "etl_assets_bench_source.sqlite"
    sample.build_source(cached)
    shutil.copy(cached, home / "source.sqlite")
    connection = sqlite3.connect(home / "source.sqlite")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(transactions)")]
    listed = ", ".join(columns[1:])
    campaign = "SELECT household_id FROM campaign_households WHERE campaign_id = 18"
    for copy in range(1, factor):
        connection.execute(
            f"INSERT INTO transactions (basket_id, {listed})"
            f" SELECT basket_id + {copy} * 1000000000000, {listed} FROM transactions"
            f" WHERE basket_id < 1000000000000 AND household_id IN ({campaign})"
        )
    connection.commit()
    connection.close()


def _refresh(home: Path, size: str, way: str) -> Measured:
    """Refresh the key in a process of its own, by the command people use."""
    command = [sys.executable, "-m", "etl_assets.cli", "refresh", "--key", KEY, "--json"]
    environment = {**os.environ, "ETL_ASSETS_HOME": str(home)}
    began = time.monotonic()
    process = subprocess.Popen(
        command + (["--force"] if way == "forced" else []),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"The refresh of {size} failed; run it by hand: {' '.join(command)}")
    records = sum(r["loaded_records"] for r in json.loads(output)["results"])
    return Measured(
        size=size,
        way=way,
        records=records,
        seconds=time.monotonic() - began,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_rss_mb=usage.ru_maxrss / 1024,
    )


def _show(measured: list[Measured]) -> None:
    table = Table("key", "refresh", "records", "seconds", "CPU s", "records/s", "peak RSS MB")
    for size, way in dict.fromkeys((m.size, m.way) for m in measured):
        rows = [m for m in measured if (m.size, m.way) == (size, way)]
        seconds = statistics.median(m.seconds for m in rows)
        table.add_row(
            size,
            way,
            f"{rows[0].records:,}",
            f"{seconds:.1f}",
            f"{statistics.median(m.cpu_seconds for m in rows):.1f}",
            f"{rows[0].records / seconds:,.0f}",
            f"{max(m.peak_rss_mb for m in rows):.0f}",
        )
    Console(width=100).print(table)
    print(json.dumps([asdict(m) for m in measured]))


if __name__ == "__main__":
    main()
