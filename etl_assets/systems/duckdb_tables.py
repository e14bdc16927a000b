"""DuckDB's side of the ledger, of target tables, and of the parts they are filled from."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from etl_assets.core.csv_record import empty_bytes
from etl_assets.core.errors import WarehouseError
from etl_assets.core.ledger import (
    CREATE_LEDGER,
    SCHEMA,
    add_columns,
    insert_load,
    read_loads,
    select_loads,
)
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order
from etl_assets.core.sql import quote_identifier, quote_literal, quote_table

_LOAD_TYPES = {"campaign_key": "VARCHAR", "load_id": "VARCHAR", "loaded_at": "TIMESTAMP"}
_LINE_BYTES = 8 << 20  # twice what Redshift takes as one input record


def prepare_table(connection: duckdb.DuckDBPyConnection, stage: Stage) -> None:
    """Create the target table, or add the columns it lacks; refuse a changed type."""
    wanted = {c.name: c.type.duckdb for c in stage.columns} | _LOAD_TYPES
    target = quote_table("main", stage.table)
    existing = table_columns(connection, stage.table)
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


def from_csv(stage: Stage) -> str:
    """Return the columns of the parts; bytes are hexadecimal there (`csv_record`)."""
    empty = quote_literal(empty_bytes(stage.null_token))
    names = ((quote_identifier(c.name), c.type.name) for c in stage.columns)
    return ", ".join(
        f"unhex(CASE {name} WHEN {empty} THEN '' ELSE {name} END) AS {name}"
        if kind == "binary"
        else name
        for name, kind in names
    )


def read_parts(stage: Stage, files: Sequence[Path]) -> str:
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


def make_ledger(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the ledger when it is absent, and add what that of an earlier release lacks."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(SCHEMA)}")
    connection.execute(CREATE_LEDGER)
    for statement in add_columns(table_columns(connection, "loads", SCHEMA)):
        connection.execute(statement)


def ledger_rows(
    connection: duckdb.DuckDBPyConnection, tail: str, parameters: Sequence[object]
) -> list[Load]:
    """Return rows of the ledger; `tail` is WHERE and what follows."""
    there = table_columns(connection, "loads", SCHEMA)
    if not there:
        return []
    rows = connection.execute(select_loads(tail, there), parameters).fetchall()
    return read_loads(rows, there)


def rows_of_key(connection: duckdb.DuckDBPyConnection, dataset: str, key: str) -> list[Load]:
    """Return a key's rows of the ledger, newest first."""
    tail = "WHERE dataset = ? AND campaign_key = ? ORDER BY committed_at DESC, load_id DESC"
    return ledger_rows(connection, tail, [dataset, key])


def rows_of_orders(connection: duckdb.DuckDBPyConnection, orders: Sequence[Order]) -> list[Load]:
    """Return the rows of orders that were carried out before; none when they were not."""
    rows = [ledger_rows(connection, "WHERE load_id = ?", [order.load_id]) for order in orders]
    return [row for (row,) in rows] if all(rows) else []


def write_ledger(connection: duckdb.DuckDBPyConnection, load: Load) -> None:
    """Insert a row into the ledger."""
    connection.execute(*insert_load(load, "?"))


def table_columns(
    connection: duckdb.DuckDBPyConnection, table: str, schema: str = "main"
) -> dict[str, str]:
    """Return a table's columns with their DuckDB types; none when there is no such table."""
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name ="
        " current_database() AND schema_name = ? AND table_name = ? ORDER BY column_index",
        [schema, table],
    ).fetchall()
    return dict(rows)


def _plain(duckdb_type: str) -> str:
    return duckdb_type.replace(" ", "").upper()


def count(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[object] = ()
) -> int:
    """Return the number a statement gives."""
    row = connection.execute(sql, parameters).fetchone()
    return int(row[0]) if row else 0
