"""The production warehouse: Amazon Redshift, over psycopg2.

A load is two transactions. The first fills a staging table of the session by COPY; nobody
else sees it. The second is short and replaces the slice: lock a mutex table (never the
target, which would make readers wait), ledger check, DELETE, INSERT, counts, ledger row,
COMMIT. It is run again as a whole when Redshift reports a serialization failure. Nothing
here runs TRUNCATE or ALTER TABLE APPEND, which commit the transaction they are in.

COPY does not know our SHA-256. Size and checksum of every part are therefore proven after
the COPY and before the second transaction: a part that is right then was right when it was
read, for nothing writes a path twice.
"""

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator, Sequence

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core import redshift_sql as sql
from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError, WarehouseError
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.ledger import prove_load, prove_prune, prove_slice, row_of
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order, after, check_over, describe_orders
from etl_assets.core.reporting_views import Overlaps
from etl_assets.core.selects import Select
from etl_assets.core.sql import quote_identifier, quote_table
from etl_assets.systems import redshift_tables as tables
from etl_assets.systems import redshift_unload as unloads
from etl_assets.systems import redshift_views as views
from etl_assets.systems.fingerprint_duckdb import fingerprint_of_parts
from etl_assets.systems.fingerprint_redshift import fingerprint_of
from etl_assets.systems.protocols import Check, Staging
from etl_assets.systems.redshift_connect import RedshiftUrl, connect
from etl_assets.systems.redshift_copy import copy_parts
from etl_assets.systems.redshift_errors import explain
from etl_assets.systems.redshift_publish import Publisher
from etl_assets.systems.redshift_readers import Reader
from etl_assets.systems.telemetry import span
from etl_assets.systems.unloading import Unloaded


class RedshiftWarehouse:
    """A Redshift database as a warehouse; see `Warehouse`.

    Args:
        url: `redshift://user@host:5439/database?iam_role=…`; see `RedshiftUrl`.
        password: Returns the password when a connection needs it.
        readers: Who gets the right to read the views.
        patience_seconds: How long a statement of a publishing transaction may take, with its
            wait for other loads of the table.
        sleep: Pauses between attempts.
    """

    def __init__(
        self,
        url: str,
        password: Callable[[], str],
        *,
        readers: Sequence[Reader] = (),
        patience_seconds: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = RedshiftUrl.parse(url)
        self._password = password
        self._readers = tuple(readers)
        self._patience_seconds = patience_seconds
        self._sleep = sleep

    def commit(self, orders: Sequence[Order], staging: Staging) -> list[Load]:
        """Carry out orders in one transaction; see `Warehouse.commit`."""
        what = describe_orders(orders)
        loaded = {n: order.loaded for n, order in enumerate(orders) if order.loaded}
        for stage in loaded.values():
            manifest = staging.uri(stage.copy_manifest)
            if stage.parts and not manifest.startswith("s3://"):
                raise WarehouseError(
                    f"{what} cannot run: Redshift reads staged parts from S3, and they are at"
                    f" {manifest}.",
                    "Set ETL_ASSETS_STAGING to s3://BUCKET/PREFIX.",
                )
        with self._connected(what) as connection:
            tables.make_ledger(connection, {order.table for order in orders}, self._sleep)
            for number, stage in loaded.items():
                tables.check_fit(connection, self.url.schema, stage, what)
                copied = self._copy(connection, stage, staging, what, number) if stage.parts else 0
                prove_load(stage, copied)
            for number, stage in loaded.items():
                tables.fit_table(connection, self.url.schema, stage, what, self._sleep)
                views.keep_views(
                    connection, self.url.schema, orders[number], self._readers, self._sleep
                )

            def publish(cursor: pg.cursor) -> list[Load]:
                if done := tables.rows_of_orders(cursor, orders):
                    return done
                return [
                    self._carry_out(cursor, order, n, staging) for n, order in enumerate(orders)
                ]

            publisher = Publisher(
                lambda: connect(self.url, self._password), self._patience_seconds, self._sleep
            )
            return publisher.commit(connection, orders, publish)

    def loads(
        self, *, dataset: str | None = None, key: str | None = None, limit: int | None = None
    ) -> list[Load]:
        """Return rows of the ledger, newest first; see `Warehouse.loads`."""
        with self._connected("Reading the ledger") as connection, connection.cursor() as cursor:
            conditions = {"dataset": dataset, "campaign_key": key}
            used = {name: value for name, value in conditions.items() if value is not None}
            where = " AND ".join(f"{quote_identifier(name)} = %s" for name in used)
            tail = f"{f'WHERE {where}' if where else ''} ORDER BY committed_at DESC, load_id DESC"
            return tables.ledger_rows(
                cursor, f"{tail}{f' LIMIT {int(limit)}' if limit else ''}", list(used.values())
            )

    def current(self, dataset: Dataset, key: str) -> Load | None:
        """Return the row that made the slice what it is; see `Warehouse.current`."""
        rows = self.loads(dataset=dataset.name, key=key)
        return next((row for row in rows if row.changes_slice), None)

    def slices(self, dataset: Dataset) -> dict[str, int]:
        """Count the table's records by key; see `Warehouse.slices`."""
        with self._connected("Counting slices") as connection, connection.cursor() as cursor:
            if not tables.table_exists(cursor, self.url.schema, dataset.table):
                return {}
            target = self._target(dataset.table)
            cursor.execute(f"SELECT campaign_key, count(*) FROM {target} GROUP BY 1")
            return dict(cursor.fetchall())

    def overlaps(self, dataset: Dataset) -> Overlaps:
        """Count what campaigns share; see `Warehouse.overlaps`."""
        with self._connected(f"Counting what the campaigns of {dataset.name} share") as connection:
            return views.overlaps(connection, self.url.schema, dataset)

    def fingerprint(
        self, dataset: Dataset, key: str, columns: Sequence[Column], groups: Collection[Group]
    ) -> Fingerprint:
        """Return the fingerprint of a slice now; see `Warehouse.fingerprint`."""
        with self._connected("Reading a slice") as connection, connection.cursor() as cursor:
            there = tables.column_types(cursor, self.url.schema, dataset.table)
            if not there:
                return Fingerprint(records=0, columns=())
            present = [c for c in columns if c.name in there]
            return self._printed(cursor, dataset.table, present, groups, key)

    def describe(self, select: Select, what: str) -> tuple[Column, ...]:
        """Return the columns of a query's result; see `Warehouse.describe`."""
        with self._connected(what) as connection:
            return unloads.describe(connection, self.url, select, what)

    @contextlib.contextmanager
    def unload(
        self, select: Select, columns: Sequence[Column], staging: Staging, what: str
    ) -> Iterator[Unloaded]:
        """Write a query's result to the staging store; see `Warehouse.unload`."""
        with self._connected(what) as connection:
            unloaded, remove = unloads.unload(connection, self.url, select, columns, staging, what)
        try:
            yield unloaded
        finally:
            remove()

    def check(self) -> list[Check]:
        """Return whether the login works and what it may do; see `Warehouse.check`."""
        from etl_assets.systems.redshift_check import check_warehouse

        try:
            with self._connected("The check of the warehouse") as connection:
                return check_warehouse(connection, self.url, self._readers, self._sleep)
        except EtlError as error:
            return [Check("reachable", ok=False, detail=error.message, remedy=error.remedy)]

    def probe(self, staging: Staging) -> list[Check]:
        """Try what the documentation leaves open; see `Warehouse.probe`.

        The tables it makes are temporary, but for one of our own schema that is dropped.
        """
        from etl_assets.systems.redshift_probe import probe_warehouse

        return probe_warehouse(
            lambda: self._connected("The probe of the warehouse"), self.url, staging
        )

    def _carry_out(self, cursor: pg.cursor, order: Order, number: int, staging: Staging) -> Load:
        """Do what an order asks, inside a transaction that holds the mutex, and write its row."""
        started_at = _now()
        earlier = tables.rows_of_key(cursor, order.dataset, order.campaign_key)
        newest = earlier[0] if earlier else None
        check_over(order, newest)
        total = replaced = 0
        if order.loaded:
            records, replaced = self._replace(
                cursor, order, order.loaded, number, started_at, staging
            )
        elif order.kind == "prune":
            total, replaced = self._remove(cursor, order)
            records = 0
        else:
            records = next((row.records for row in earlier if row.changes_slice), 0)
        row = row_of(
            order, records=records, replaced=replaced, total=total,
            started_at=started_at, committed_at=after(_now(), newest),
        )  # fmt: skip
        tables.write_ledger(cursor, row)
        return row

    @span("swap")
    def _replace(
        self,
        cursor: pg.cursor,
        order: Order,
        stage: Stage,
        number: int,
        at: dt.datetime,
        staging: Staging,
    ) -> tuple[int, int]:
        """Put the staged records in the place of the slice; return their number, and of those gone."""
        key = [stage.campaign_key]
        cursor.execute(sql.delete_slice(self.url.schema, stage.table), key)
        replaced = cursor.rowcount
        if stage.parts:
            added = [stage.campaign_key, order.load_id, at.replace(tzinfo=None)]
            cursor.execute(sql.insert_slice(self.url.schema, stage, number), added)
        counted = f"SELECT count(*) FROM {self._target(stage.table)} WHERE campaign_key = %s"
        records = tables.count(cursor, counted, key)
        prove_load(stage, records)

        def in_table(names: Collection[str], groups: Collection[Group]) -> Fingerprint:
            columns = [c for c in stage.columns if c.name in names]
            return self._printed(cursor, stage.table, columns, groups, stage.campaign_key)

        def in_parts(names: Collection[str]) -> Fingerprint:
            with staging.fetch(stage.parts) as files:
                return fingerprint_of_parts(stage, files, names)

        prove_slice(stage, in_table, in_parts)
        return records, replaced

    @span("proof")
    def _printed(
        self,
        cursor: pg.cursor,
        table: str,
        columns: Sequence[Column],
        groups: Collection[Group],
        key: str,
    ) -> Fingerprint:
        target, mine = self._target(table), "campaign_key = %s"
        return fingerprint_of(cursor, columns, groups, target, where=mine, bindings=[key])

    def _remove(self, cursor: pg.cursor, order: Order) -> tuple[int, int]:
        """Remove a slice; return the records of the table before, and of those gone."""
        counted = f"SELECT count(*) FROM {self._target(order.table)}"
        total = tables.count(cursor, counted)
        cursor.execute(sql.delete_slice(self.url.schema, order.table), [order.campaign_key])
        gone = cursor.rowcount
        prove_prune(order, total=total, gone=gone, left=tables.count(cursor, counted))
        return total, gone

    def _copy(
        self, connection: pg.connection, stage: Stage, staging: Staging, what: str, number: int
    ) -> int:
        return copy_parts(connection, self.url, stage, staging, what, number)

    def _target(self, table: str) -> str:
        return quote_table(self.url.schema, table)

    @contextlib.contextmanager
    def _connected(self, what: str) -> Iterator[pg.connection]:
        """Give a connection; closing it rolls back what was not committed."""
        connection = connect(self.url, self._password)
        try:
            yield connection
        except psycopg2.Error as error:
            raise explain(what, error) from error
        finally:
            connection.close()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
