"""A small platform on each kind of warehouse, for tests that hold both to the same words."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import duckdb

from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Load, Stage
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Warehouse
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.chain import Chain
from etl_assets_tests.commits import commit_load, commit_prune
from etl_assets_tests.small import Small
from etl_assets_tests.systems.redshift_server import BucketStaging, Redshift

ROWS = "SELECT sale_id, sold_at, quantity, amount, note, sold_on, campaign_key, load_id FROM sales"


@dataclass(frozen=True)
class Platform(ABC):
    """A small platform with documents and a source that a test can write."""

    small: Small

    @abstractmethod
    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""

    @abstractmethod
    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the warehouse as a reader would, beside whatever else runs."""

    @abstractmethod
    def write(self, sql: str) -> None:
        """Run a statement on the warehouse behind the platform's back."""

    @abstractmethod
    def damage(self, path: str, content: bytes | None) -> None:
        """Replace or plant a staged object behind the store's back; None removes it."""

    @property
    def chain(self) -> Chain:
        """The steps, with the documents as they are now."""
        return Chain(self.settings())

    @property
    def dataset(self) -> Dataset:
        """The dataset `sales` as it is now."""
        return self.settings().datasets["sales"]

    @property
    def warehouse(self) -> Warehouse:
        """The warehouse."""
        return self.settings().open_warehouse()

    def load(self, staged: Stage) -> Load:
        """Load what was staged."""
        staging = self.settings().open_staging()
        return commit_load(self.warehouse, staged, staging, self.dataset)

    def prune(self, key: str) -> Load:
        """Remove a key's slice."""
        return commit_prune(self.warehouse, self.dataset, key, self.settings().open_staging())

    def refresh(self, key: str = "SP17") -> Load:
        """Extract, stage and load."""
        return self.load(self.chain.stage(key))

    def rows(self, where: str = "true") -> list[tuple[Any, ...]]:
        """Return records of the table, in order."""
        return self.query(f"{ROWS} WHERE {where} ORDER BY campaign_key, sale_id")

    def counts(self) -> dict[str, int]:
        """Return the table's records by key."""
        return dict(self.query("SELECT campaign_key, count(*) FROM sales GROUP BY 1"))

    def columns(self) -> list[str]:
        """Return the names of the table's columns, in order."""
        return [
            name
            for (name,) in self.query(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'sales'"
                " ORDER BY ordinal_position"
            )
        ]

    def state(self) -> tuple[object, ...]:
        """Return everything a reader can see."""
        ledger = self.query("SELECT load_id, kind, records FROM etl_assets.loads ORDER BY 1")
        names = ", ".join(f'"{name}"' for name in self.columns())
        ordered = self.query(f"SELECT {names} FROM sales ORDER BY campaign_key, sale_id")
        return self.columns(), ordered, ledger


class DuckDBPlatform(Platform):
    """Files and DuckDB."""

    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""
        return self.small.settings()

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query with the file open for reading, after whoever has it."""
        warehouse = DuckDBWarehouse(self.small.home / "warehouse.duckdb")
        with warehouse._open(read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def write(self, sql: str) -> None:
        """Write to the file."""
        with duckdb.connect(str(self.small.home / "warehouse.duckdb")) as connection:
            connection.execute(sql)

    def damage(self, path: str, content: bytes | None) -> None:
        """Replace or remove a file."""
        file = self.small.home / "staging" / path
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)


@dataclass(frozen=True)
class RedshiftPlatform(Platform):
    """The stand-ins of S3 and Redshift."""

    redshift: Redshift

    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""
        return self.redshift.settings(self.small)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query in a session of its own."""
        return self.redshift.query(sql)

    def write(self, sql: str) -> None:
        """Write in a session of its own."""
        self.redshift.run(sql)

    def damage(self, path: str, content: bytes | None) -> None:
        """Replace or remove an object."""
        staging = self.settings().open_staging()
        assert isinstance(staging, BucketStaging)
        bucket = staging.bucket
        if content is None:
            bucket.client.delete_object(Bucket=bucket.name, Key=staging.key(path))
        else:
            bucket.put(content, staging.key(path))
