"""A buffered result is the whole campaign in memory: twelve million cells, and the worker is gone."""

import os
import subprocess
import sys

from etl_assets_tests.servers import MariaDBServer

_EXTRACT = """
import datetime as dt, re, sys, tempfile
from pathlib import Path
from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.pipeline import extract
from etl_assets.systems.connect import open_source
from etl_assets.systems.staging import FileStaging
from etl_assets.systems import source_mysql
url, password, query, whole = sys.argv[1:]
if whole == "whole":
    source_mysql.BLOCK_BYTES = source_mysql.BLOCK_CELLS = 1 << 60
dataset = Dataset(dataset="sales", primary_key=("id",), query=query)
campaign = Campaign(key="SP17", name="", start=dt.date(2017, 3, 1), end=dt.date(2017, 5, 31))
source = open_source(url, password)
with tempfile.TemporaryDirectory() as folder:
    made = extract(dataset, campaign, source, FileStaging(Path(folder)), source_name="mysql")
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())  # not ru_maxrss:
print(made.records, peak[1])  # that begins at the size of the process that began this one
"""
_COLUMNS = 40


def _extract(server: MariaDBServer, records: int, how: str = "in blocks") -> int:
    """Return the peak memory, in kilobytes, of a process that extracts so many records."""
    texts = ", ".join(f"CONCAT(seq * {n + 7}, ' of many') AS t{n}" for n in range(_COLUMNS))
    query = f"SELECT seq AS id, {texts} FROM seq_1_to_{records}"
    done = subprocess.run(
        [sys.executable, "-c", _EXTRACT, server.url, server.password, query, how],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    received, peak = map(int, done.stdout.split())
    assert received == records
    return peak


def test_memory_does_not_grow_with_the_records(mariadb: MariaDBServer) -> None:
    few, many = _extract(mariadb, 30_000), _extract(mariadb, 300_000)
    assert many < 1.1 * few
    assert _extract(mariadb, 100_000, "whole") > 1.1 * few
