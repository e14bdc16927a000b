"""The embedded warehouse: one DuckDB file.

A load is one transaction: ledger check, DELETE of the slice, INSERT from the parts, counts,
ledger row, COMMIT. DuckDB lets one process at a time open the file for writing and none read
it meanwhile, so it is open only while something is done, and whoever finds it taken waits.
"""

import contextlib
import datetime as dt
import itertools
import random
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import duckdb

from etl_assets.core.columns import LOAD_COLUMNS, Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import TransientError, WarehouseError
from etl_assets.core.failure_classes import meaning_in
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.ledger import LEDGER, prove_load, prove_prune, prove_slice, row_of
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order, after, check_over, describe_orders
from etl_assets.core.reporting_views import Overlaps
from etl_assets.core.retries import LOCK
from etl_assets.core.selects import Select
from etl_assets.core.sql import column_list, quote_literal, quote_table
from etl_assets.systems import duckdb_tables as tables
from etl_assets.systems import duckdb_unload as unloads
from etl_assets.systems import duckdb_views as views
from etl_assets.systems.fingerprint_duckdb import fingerprint_of, fingerprint_of_parts
from etl_assets.systems.protocols import Check, Staging
from etl_assets.systems.telemetry import span
from etl_assets.systems.unloading import Unloaded

_ROW_GROUP_RECORDS = 10_240
"""Records DuckDB holds in memory before it writes them: its own default, 122,880, does not fit
when they have 600 columns."""
_CHANCE = random.SystemRandom()


class DuckDBWarehouse:
    """A DuckDB file as a warehouse; see `Warehouse`.

    Args:
        path: The file; made when absent.
        memory_limit: What DuckDB may use before it spills to disk.
        patience_seconds: How long to wait for another process to release the file.
    """

    def __init__(
        self, path: Path, *, memory_limit: str = "224MB", patience_seconds: float = 60.0
    ) -> None:
        self.path = path
        self._memory_limit = memory_limit
        self._patience_seconds = patience_seconds

    def commit(self, orders: Sequence[Order], staging: Staging) -> list[Load]:
        """Carry out orders in one transaction; see `Warehouse.commit`."""
        with contextlib.ExitStack() as stack:
            with span("fetch"):
                files = [
                    stack.enter_context(staging.fetch(order.loaded.parts if order.loaded else ()))
                    for order in orders
                ]
            connection = stack.enter_context(self._transaction(describe_orders(orders)))
            if done := tables.rows_of_orders(connection, orders):
                return done
            return [
                _carry_out(connection, order, parts)
                for order, parts in zip(orders, files, strict=True)
            ]

    def loads(
        self, *, dataset: str | None = None, key: str | None = None, limit: int | None = None
    ) -> list[Load]:
        """Return rows of the ledger, newest first; see `Warehouse.loads`."""
        with self._reading() as connection:
            if connection is None:
                return []
            where = "WHERE (?1 IS NULL OR dataset = ?1) AND (?2 IS NULL OR campaign_key = ?2)"
            tail = f"{where} ORDER BY committed_at DESC, load_id DESC LIMIT ?3"
            return tables.ledger_rows(connection, tail, [dataset, key, limit or 1 << 40])

    def current(self, dataset: Dataset, key: str) -> Load | None:
        """Return the row that made the slice what it is; see `Warehouse.current`."""
        rows = self.loads(dataset=dataset.name, key=key)
        return next((row for row in rows if row.changes_slice), None)

    def slices(self, dataset: Dataset) -> dict[str, int]:
        """Count the table's records by key; see `Warehouse.slices`."""
        with self._reading() as connection:
            if connection is None or not tables.table_columns(connection, dataset.table):
                return {}
            counted = f"SELECT campaign_key, count(*) FROM {quote_table('main', dataset.table)} GROUP BY 1"
            return dict(connection.execute(counted).fetchall())

    def overlaps(self, dataset: Dataset) -> Overlaps:
        """Count what campaigns share; see `Warehouse.overlaps`."""
        with self._reading() as connection:
            return views.overlaps(connection, dataset) if connection else Overlaps(0, 0)

    def fingerprint(
        self, dataset: Dataset, key: str, columns: Sequence[Column], groups: Collection[Group]
    ) -> Fingerprint:
        """Return the fingerprint of a slice now; see `Warehouse.fingerprint`."""
        with self._reading() as connection:
            there = tables.table_columns(connection, dataset.table) if connection else {}
            if connection is None or not there:
                return Fingerprint(records=0, columns=())
            present = [c for c in columns if c.name in there]
            target, mine = quote_table("main", dataset.table), "campaign_key = ?"
            return fingerprint_of(connection, present, groups, target, where=mine, bindings=[key])

    def describe(self, select: Select, what: str) -> tuple[Column, ...]:
        """Return the columns of a query's result; see `Warehouse.describe`."""
        with self._reading() as connection:
            return unloads.describe(connection, select, what)

    @contextlib.contextmanager
    def unload(
        self, select: Select, columns: Sequence[Column], staging: Staging, what: str
    ) -> Iterator[Unloaded]:
        """Write a query's result to a scratch file; see `Warehouse.unload`."""
        with staging.scratch() as folder:
            with self._reading() as connection:
                unloaded = unloads.unload(connection, select, columns, folder, what)
            yield unloaded

    def check(self) -> list[Check]:
        """Return whether the file can be opened for writing, and its version."""
        try:
            with self._transaction("The check of the warehouse") as connection:
                version = connection.execute("SELECT version()").fetchone()
                rows = tables.count(connection, f"SELECT count(*) FROM {LEDGER}")
        except (WarehouseError, TransientError) as error:
            return [Check("writable", ok=False, detail=error.message, remedy=error.remedy)]
        found = version[0] if version else ""
        return [Check("writable", ok=True, detail=f"DuckDB {found}, {rows} loads, {self.path}")]

    def probe(self, staging: Staging) -> list[Check]:
        """Return nothing: there is nothing to find out about a DuckDB file."""
        del staging
        return []

    @contextlib.contextmanager
    def _transaction(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file and a transaction; commit at the end, roll back on any exception."""
        with self._open(read_only=False) as connection:
            try:
                connection.execute("BEGIN")
                tables.make_ledger(connection)
                yield connection
                with span("commit"):
                    connection.execute("COMMIT")
            except duckdb.Error as error:
                raise WarehouseError(
                    f"{what} failed: {str(error).splitlines()[0]}; the table is as it was.",
                    "See the message; `etl-assets doctor` checks the warehouse and its disk.",
                ) from error
            # Closing the connection rolls back what was not committed.

    @contextlib.contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """Open the file for reading; None when there is no file or no ledger yet."""
        if not self.path.exists():
            yield None
            return
        with self._open(read_only=True) as connection:
            ledger = connection.execute(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = 'etl_assets'"
            ).fetchone()
            yield connection if ledger else None

    @contextlib.contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with span("wait"):
            connection = self._connect(read_only=read_only)
        try:
            connection.execute(f"SET memory_limit = {quote_literal(self._memory_limit)}")
            spill = quote_literal(f"{self.path}.tmp")  # else below the current folder
            connection.execute(f"SET temp_directory = {spill}")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET threads = 1")  # more do not fit 600 columns
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        """Open the file, waiting while another process has it."""
        deadline = time.monotonic() + self._patience_seconds
        for number in itertools.count():
            try:
                return self._attach(read_only=read_only)
            except (duckdb.Error, OSError) as error:
                message = str(error).splitlines()[0]
                meaning = meaning_in("DuckDB", message)
                if meaning is None or not meaning.transient:
                    raise WarehouseError(
                        f"The warehouse {self.path} cannot be opened: {message}.",
                        "Check that its folder is there, writable and has space.",
                    ) from error
                if time.monotonic() > deadline or number + 1 >= LOCK.attempts:
                    raise TransientError(
                        f"The warehouse {self.path} was in use by another for"
                        f" {self._patience_seconds:.0f} s: {message.partition('. See')[0]}.",
                        meaning.remedy,
                    ) from error
                time.sleep(_CHANCE.uniform(0.0, LOCK.bound(number)))
        raise AssertionError  # the last attempt returns or raises

    def _attach(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        how = "READ_ONLY" if read_only else f"ROW_GROUP_SIZE {_ROW_GROUP_RECORDS}"
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(duckdb.connect())
            connection.execute(f"ATTACH {quote_literal(str(self.path))} AS warehouse ({how})")
            connection.execute("USE warehouse")
            stack.pop_all()
        return connection


def _carry_out(connection: duckdb.DuckDBPyConnection, order: Order, files: Sequence[Path]) -> Load:
    """Do what an order asks, prove it, and write its row."""
    started_at = _now()
    earlier = tables.rows_of_key(connection, order.dataset, order.campaign_key)
    newest = earlier[0] if earlier else None
    check_over(order, newest)
    total = replaced = 0
    if order.loaded:
        records, replaced = _replace(connection, order, order.loaded, files, started_at)
    elif order.kind == "prune":
        total, replaced = _remove(connection, order)
        records = 0
    else:
        records = next((row.records for row in earlier if row.changes_slice), 0)
    row = row_of(
        order, records=records, replaced=replaced, total=total,
        started_at=started_at, committed_at=after(_now(), newest),
    )  # fmt: skip
    tables.write_ledger(connection, row)
    return row


@span("swap")
def _replace(
    connection: duckdb.DuckDBPyConnection,
    order: Order,
    stage: Stage,
    files: Sequence[Path],
    at: dt.datetime,
) -> tuple[int, int]:
    """Put the staged records in the place of the slice; return their number, and of those gone."""
    tables.prepare_table(connection, stage)
    views.keep_views(connection, stage, order.declared)
    target, key = quote_table("main", stage.table), [stage.campaign_key]
    mine = f"SELECT count(*) FROM {target} WHERE campaign_key = ?"
    replaced = tables.count(connection, mine, key)
    connection.execute(f"DELETE FROM {target} WHERE campaign_key = ?", key)
    if files:
        names = column_list([*(c.name for c in stage.columns), *LOAD_COLUMNS])
        connection.execute(
            f"INSERT INTO {target} ({names}) SELECT {tables.from_csv(stage)}, ?, ?, ?"
            f" FROM {tables.read_parts(stage, files)}",
            [stage.campaign_key, order.load_id, at],
        )
    records = tables.count(connection, mine, key)
    prove_load(stage, records)

    def in_table(names: Collection[str], groups: Collection[Group]) -> Fingerprint:
        columns = [c for c in stage.columns if c.name in names]
        mine = "campaign_key = ?"
        return fingerprint_of(connection, columns, groups, target, where=mine, bindings=key)

    with span("proof"):
        prove_slice(stage, in_table, lambda names: fingerprint_of_parts(stage, files, names))
    return records, replaced


def _remove(connection: duckdb.DuckDBPyConnection, order: Order) -> tuple[int, int]:
    """Remove a slice; return the records of the table before, and of those gone."""
    target, key = quote_table("main", order.table), [order.campaign_key]
    counted = f"SELECT count(*) FROM {target}"
    total = tables.count(connection, counted)
    gone = tables.count(connection, f"{counted} WHERE campaign_key = ?", key)
    connection.execute(f"DELETE FROM {target} WHERE campaign_key = ?", key)
    prove_prune(order, total=total, gone=gone, left=tables.count(connection, counted))
    return total, gone


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
