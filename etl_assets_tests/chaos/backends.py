"""A small platform on each kind of store and warehouse, as something a process can be given."""

import contextlib
import datetime as dt
import os
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg2

from etl_assets.core.datasets import Dataset
from etl_assets.settings import Settings
from etl_assets.systems.connect import open_staging
from etl_assets.systems.protocols import Staging
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

Record = tuple[Any, ...]
"""sale_id, sold_at, quantity, amount, note, sold_on."""

SEASONS = {
    "SP17": (dt.date(2017, 3, 1), dt.date(2017, 5, 31)),
    "SU17": (dt.date(2017, 5, 15), dt.date(2017, 8, 31)),
    "AU17": (dt.date(2017, 9, 1), dt.date(2017, 11, 30)),
}
"""As the small platform's campaigns say."""

_READ = "SELECT campaign_key, load_id, sale_id, sold_at, quantity, amount, note, sold_on FROM sales"


@lru_cache
def _store(url: str) -> Staging:
    """Return a store that a process opens once: a client of S3 costs it a quarter of a second."""
    return open_staging(url)


class _Settings(Settings):
    def open_staging(self) -> Staging:
        return _store(self.staging_url)


@dataclass(frozen=True)
class Backend:
    """Where everything is; can be sent to another process.

    Attributes:
        home: Documents, source, and what is embedded.
        staging_url: Empty for a folder in `home`.
        warehouse_url: Empty for a DuckDB file in `home`.
        dsn: Of Redshift, for readers.
        environment: What a process needs besides.
    """

    home: Path
    staging_url: str = ""
    warehouse_url: str = ""
    password: str = ""
    dsn: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def small(self) -> Small:
        """The documents and the source, to be written."""
        return Small(self.home)

    @property
    def scratch(self) -> Path:
        """Where scratch folders are made."""
        return self.home / ("temporary" if self.staging_url else "staging/.scratch")

    def enter(self) -> None:
        """Make this process one that works with it."""
        os.environ.update(self.environment)
        if self.staging_url:
            self.scratch.mkdir(exist_ok=True)
            tempfile.tempdir = str(self.scratch)

    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""
        return _Settings(
            home=self.home,
            datasets_folder=self.home / "datasets",
            staging_url=self.staging_url,
            warehouse_url=self.warehouse_url,
            warehouse_password=self.password,
        )

    @property
    def chain(self) -> Chain:
        """The steps, with the documents as they are now."""
        return Chain(self.settings())

    @property
    def dataset(self) -> Dataset:
        """The dataset `sales` as it is now."""
        return self.settings().datasets["sales"]

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the warehouse as a reader would, in a session of its own."""
        if self.dsn:
            with contextlib.closing(psycopg2.connect(self.dsn)) as connection:
                cursor = connection.cursor()
                cursor.execute(sql)
                return cursor.fetchall()
        with DuckDBWarehouse(self.home / "warehouse.duckdb")._open(read_only=True) as embedded:
            return embedded.execute(sql).fetchall()

    def write(self, sql: str) -> None:
        """Run a statement on the warehouse behind the platform's back, and commit."""
        if self.dsn:
            with contextlib.closing(psycopg2.connect(self.dsn)) as connection:
                connection.cursor().execute(sql)
                connection.commit()
            return
        with DuckDBWarehouse(self.home / "warehouse.duckdb")._open(read_only=False) as embedded:
            embedded.execute(sql)

    @property
    def kind(self) -> str:
        """Of the warehouse: `duckdb` or `redshift`."""
        return "redshift" if self.dsn else "duckdb"

    def slices(self) -> dict[str, tuple[set[str], list[Record]]]:
        """Return the load ids and the records of each key that the table has."""
        warehouse, dataset = self.settings().open_warehouse(), self.dataset
        if not warehouse.slices(dataset):
            return {}
        ids: dict[str, set[str]] = defaultdict(set)
        records: dict[str, list[Record]] = defaultdict(list)
        for key, load_id, *record in self.query(_READ):
            ids[key].add(load_id)
            records[key].append(tuple(record))
        return {key: (ids[key], sorted(records[key], key=lambda r: int(r[0]))) for key in ids}

    def oracle(self, key: str, *, seasons: Mapping[str, Any] = SEASONS) -> list[Record]:
        """Return the records that the source and the first rules give a key, by plain Python."""
        with contextlib.closing(sqlite3.connect(self.home / "source.sqlite")) as connection:
            rows = connection.execute("SELECT * FROM sales ORDER BY sale_id").fetchall()
        found = []
        first, last = seasons[key]
        for sale_id, sold_at, quantity, amount, note in rows:
            moment = dt.datetime.fromisoformat(sold_at)
            if first <= moment.date() <= last:
                exact = Decimal(str(amount)).quantize(Decimal("0.01"))
                found.append((sale_id, moment, quantity, exact, note, moment.date()))
        return found

    def change_source(self, number: int) -> None:
        """Change values, and add or remove a record, of each campaign."""
        extra = [f"(1000{n}, '2017-{n:02}-20 00:00:00', {number}, 0.5, NULL)" for n in (3, 6, 9)]
        self.small.run_sql(
            f"UPDATE sales SET amount = amount + 1 WHERE sale_id % 3 = {number % 3}",
            "DELETE FROM sales WHERE sale_id > 10000",
            *([f"INSERT INTO sales VALUES {', '.join(extra)}"] if number % 2 else []),
        )
