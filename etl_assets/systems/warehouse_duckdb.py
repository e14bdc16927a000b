"""The embedded warehouse: one DuckDB file.

A load is one transaction: ledger check, DELETE of the slice, INSERT from the parts, counts,
ledger row, COMMIT. DuckDB lets one process at a time open the file for writing and none read
it meanwhile, so it is open only while something is done, and whoever finds it taken waits.
"""

import contextlib
import datetime as dt
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from etl_assets.core.columns import LOAD_COLUMNS
from etl_assets.core.csv_record import empty_bytes
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import TransientError, WarehouseError
from etl_assets.core.ledger import (
    CREATE_LEDGER,
    LEDGER,
    SCHEMA,
    insert_load,
    load_row,
    prove_load,
    prove_prune,
    prune_row,
    read_loads,
    select_loads,
)
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.sql import column_list, quote_identifier, quote_literal, quote_table
from etl_assets.systems.protocols import Check, Staging

_LOAD_TYPES = {"campaign_key": "VARCHAR", "load_id": "VARCHAR", "loaded_at": "TIMESTAMP"}
_LINE_BYTES = 8 << 20  # twice what Redshift takes as one input record
_ROW_GROUP_RECORDS = 10_240
"""Records DuckDB holds in memory before it writes them: its own default, 122,880, does not fit
when they have 600 columns."""
_BUSY = ("Could not set lock on file", "is already attached by database")
"""What DuckDB says when another process, or another thread of this one, has the file."""

_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0


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

    def load(self, stage: Stage, staging: Staging, *, stage_path: str, run_id: str | None) -> Load:
        """Replace the campaign's slice with the staged records; see `Warehouse.load`."""
        what = f"The load of {stage.dataset} for campaign {stage.campaign_key}"
        with staging.fetch(stage.parts) as files, self._transaction(what) as connection:
            started_at = _now()
            done = _ledger_rows(connection, "WHERE load_id = ?", [stage.load_id])
            if done:
                return done[0]
            self._prepare_table(connection, stage)
            target = quote_table("main", stage.table)
            key = [stage.campaign_key]
            before = _one(connection, f"SELECT count(*) FROM {target} WHERE campaign_key = ?", key)
            connection.execute(f"DELETE FROM {target} WHERE campaign_key = ?", key)
            if files:
                names = column_list([*(c.name for c in stage.columns), *LOAD_COLUMNS])
                connection.execute(
                    f"INSERT INTO {target} ({names}) SELECT {_from_csv(stage)}, ?, ?, ?"
                    f" FROM {_read_parts(stage, files)}",
                    [stage.campaign_key, stage.load_id, started_at],
                )
            after = _one(connection, f"SELECT count(*) FROM {target} WHERE campaign_key = ?", key)
            prove_load(stage, after)
            load = load_row(
                stage,
                stage_path=stage_path,
                run_id=run_id,
                replaced=before,
                started_at=started_at,
                committed_at=_now(),
            )
            _write_ledger(connection, load)
        return load

    def prune(
        self, dataset: Dataset, key: str, *, load_id: str, run_id: str | None, at: dt.datetime
    ) -> Load:
        """Remove a campaign's slice; see `Warehouse.prune`."""
        target = quote_table("main", dataset.table)
        with self._transaction(f"The removal of {key} from {dataset.table}") as connection:
            total = _one(connection, f"SELECT count(*) FROM {target}", [])
            gone = _one(connection, f"SELECT count(*) FROM {target} WHERE campaign_key = ?", [key])
            connection.execute(f"DELETE FROM {target} WHERE campaign_key = ?", [key])
            left = _one(connection, f"SELECT count(*) FROM {target}", [])
            prove_prune(dataset, key, total=total, gone=gone, left=left)
            load = prune_row(
                dataset, key, load_id=load_id, run_id=run_id, total=total, gone=gone,
                started_at=at, committed_at=_now(),
            )  # fmt: skip
            _write_ledger(connection, load)
        return load

    def loads(
        self, *, dataset: str | None = None, key: str | None = None, limit: int | None = None
    ) -> list[Load]:
        """Return rows of the ledger, newest first; see `Warehouse.loads`."""
        with self._reading() as connection:
            if connection is None:
                return []
            where = "WHERE (?1 IS NULL OR dataset = ?1) AND (?2 IS NULL OR campaign_key = ?2)"
            tail = f"{where} ORDER BY committed_at DESC, load_id DESC LIMIT ?3"
            return _ledger_rows(connection, tail, [dataset, key, limit or 1 << 40])

    def current(self, dataset: Dataset, key: str) -> Load | None:
        """Return the newest ledger row of a key; see `Warehouse.current`."""
        return next(iter(self.loads(dataset=dataset.name, key=key, limit=1)), None)

    def slices(self, dataset: Dataset) -> dict[str, int]:
        """Count the table's records by key; see `Warehouse.slices`."""
        with self._reading() as connection:
            if connection is None or not _table_columns(connection, dataset.table):
                return {}
            counted = f"SELECT campaign_key, count(*) FROM {quote_table('main', dataset.table)} GROUP BY 1"
            return dict(connection.execute(counted).fetchall())

    def check(self) -> list[Check]:
        """Return whether the file can be opened for writing, and its version."""
        try:
            with self._transaction("The check of the warehouse") as connection:
                version = connection.execute("SELECT version()").fetchone()
                rows = _one(connection, f"SELECT count(*) FROM {LEDGER}", [])
        except (WarehouseError, TransientError) as error:
            return [Check("writable", ok=False, detail=error.message, remedy=error.remedy)]
        found = version[0] if version else ""
        return [Check("writable", ok=True, detail=f"DuckDB {found}, {rows} loads, {self.path}")]

    def probe(self, staging: Staging) -> list[Check]:
        """Return nothing: there is nothing to find out about a DuckDB file."""
        del staging
        return []

    def _prepare_table(self, connection: duckdb.DuckDBPyConnection, stage: Stage) -> None:
        """Create the target table, or add the columns it lacks; refuse a changed type."""
        wanted = {c.name: c.type.duckdb for c in stage.columns} | _LOAD_TYPES
        target = quote_table("main", stage.table)
        existing = _table_columns(connection, stage.table)
        if not existing:
            listed = ", ".join(f"{quote_identifier(n)} {t}" for n, t in wanted.items())
            connection.execute(f"CREATE TABLE {target} ({listed})")
        else:
            changed = [f"`{n}` from {t} to {wanted[n]}" for n, t in existing.items()
                       if n in wanted and _plain(t) != _plain(wanted[n])]  # fmt: skip
            if changed:
                raise WarehouseError(
                    f"The load of {stage.dataset} for campaign {stage.campaign_key} would change"
                    f" the type of {', '.join(changed)}; nothing was loaded.",
                    "Keep the type with a cast rule, or load into another table.",
                )
            added = [name for name in wanted if name not in existing]
            _check_frozen(stage, added, [name for name in existing if name not in wanted])
            for name in added:
                connection.execute(
                    f"ALTER TABLE {target} ADD COLUMN {quote_identifier(name)} {wanted[name]}"
                )
        for column in stage.columns:
            if column.comment:
                connection.execute(
                    f"COMMENT ON COLUMN {target}.{quote_identifier(column.name)}"
                    f" IS {quote_literal(column.comment)}"
                )

    @contextlib.contextmanager
    def _transaction(self, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file and a transaction; commit at the end, roll back on any exception."""
        with self._open(read_only=False) as connection:
            try:
                connection.execute("BEGIN")
                _create_ledger(connection)
                yield connection
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
        wait = _FIRST_WAIT_SECONDS
        while True:
            try:
                return self._attach(read_only=read_only)
            except (duckdb.Error, OSError) as error:
                message = str(error).splitlines()[0]
                if not any(busy in message for busy in _BUSY):
                    raise WarehouseError(
                        f"The warehouse {self.path} cannot be opened: {message}.",
                        "Check that its folder is there, writable and has space.",
                    ) from error
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"The warehouse {self.path} was in use by another for"
                        f" {self._patience_seconds:.0f} s: {message.partition('. See')[0]}.",
                        "Close what uses it, then try again; the table is as it was.",
                    ) from error
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

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


def _check_frozen(stage: Stage, added: list[str], gone: list[str]) -> None:
    """Raise when a frozen table and the records have not the same columns."""
    differences = [*(f"`{name}` is new" for name in added),
                   *(f"`{name}` is not in the records" for name in gone)]  # fmt: skip
    if differences and stage.on_schema_change == "freeze":
        raise WarehouseError(
            f"The load of {stage.dataset} for campaign {stage.campaign_key} does not fit the frozen"
            f" table {stage.table}: {'; '.join(differences)}; nothing was loaded.",
            "Keep the table's columns with rules, or set `on_schema_change: evolve`.",
        )


def _from_csv(stage: Stage) -> str:
    """Return the columns of the parts; bytes are hexadecimal there (`csv_record`)."""
    empty = quote_literal(empty_bytes(stage.null_token))
    names = ((quote_identifier(c.name), c.type.name) for c in stage.columns)
    return ", ".join(
        f"unhex(CASE {name} WHEN {empty} THEN '' ELSE {name} END)" if kind == "binary" else name
        for name, kind in names
    )


def _read_parts(stage: Stage, files: Sequence[Path]) -> str:
    """Return the read_csv(…) that reads the staged parts with their exact types."""
    columns = ", ".join(
        f"{quote_literal(c.name)}: {quote_literal('VARCHAR' if c.type.name == 'binary' else c.type.duckdb)}"
        for c in stage.columns
    )
    paths = ", ".join(quote_literal(str(file)) for file in files)
    return (
        f"read_csv([{paths}], auto_detect = false, header = false, delim = ',', quote = '\"',"
        f" escape = '\"', nullstr = {quote_literal(stage.null_token)}, allow_quoted_nulls = false,"
        f" compression = 'zstd', max_line_size = {_LINE_BYTES}, buffer_size = {2 * _LINE_BYTES}, strict_mode = true,"
        " new_line = '\\n',"  # else the first \r of a text is taken for the end of a line
        f" columns = {{{columns}}})"
    )


def _create_ledger(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(SCHEMA)}")
    connection.execute(CREATE_LEDGER)


def _ledger_rows(
    connection: duckdb.DuckDBPyConnection, tail: str, parameters: list[object]
) -> list[Load]:
    return read_loads(connection.execute(select_loads(tail), parameters).fetchall())


def _write_ledger(connection: duckdb.DuckDBPyConnection, load: Load) -> None:
    connection.execute(*insert_load(load, "?"))


def _table_columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return a table's columns with their DuckDB types; none when there is no such table."""
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name = 'main' AND table_name = ? ORDER BY column_index",
        [table],
    ).fetchall()
    return dict(rows)


def _plain(duckdb_type: str) -> str:
    return duckdb_type.replace(" ", "").upper()


def _one(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object]) -> int:
    row = connection.execute(sql, parameters).fetchone()
    return int(row[0]) if row else 0


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
