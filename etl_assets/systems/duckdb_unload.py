"""DuckDB's side of reading out in bulk: COPY into one Parquet file."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import duckdb

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import WarehouseError
from etl_assets.core.selects import Select
from etl_assets.core.sql import quote_literal
from etl_assets.systems.unloading import Unloaded

_SCHEMA = "main"
_TEXTS = {"VARCHAR": "text", "BLOB": "binary", "FLOAT": "real"}
_ROW_GROUP = 10_240


def describe(
    connection: duckdb.DuckDBPyConnection | None, select: Select, what: str
) -> tuple[Column, ...]:
    """Return the columns of a query's result; see `Warehouse.describe`."""
    rows = _run(connection, f"DESCRIBE {select.render('duckdb', _SCHEMA)}", what).fetchall()
    return tuple(Column(name=name, type=_type(name, kind, what)) for name, kind, *_ in rows)


def unload(
    connection: duckdb.DuckDBPyConnection | None,
    select: Select,
    columns: Sequence[Column],
    folder: Path,
    what: str,
) -> Unloaded:
    """Write a query's result to a file in a folder; see `Warehouse.unload`."""
    file = folder / "part-00000.parquet"
    query = select.typed("duckdb", _SCHEMA, columns)
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}"
    copied = _run(
        connection, f"COPY ({query}) TO {quote_literal(str(file))} ({options})", what
    ).fetchone()
    return Unloaded(
        tuple(columns), int(copied[0]) if copied else 0, what, (lambda: nullcontext(file),)
    )


def _run(
    connection: duckdb.DuckDBPyConnection | None, statement: str, what: str
) -> duckdb.DuckDBPyConnection:
    if connection is None:
        raise WarehouseError(
            f"{what} failed: nothing was loaded into the warehouse yet.", "Refresh a campaign."
        )
    try:
        return connection.execute(statement)
    except duckdb.CatalogException as error:
        raise WarehouseError(
            f"{what} failed: {_first(error)}.",
            "Refresh a campaign of its dataset first: a load makes tables and views.",
        ) from error
    except duckdb.Error as error:
        raise WarehouseError(f"{what} failed: {_first(error)}.", "Correct the query.") from error


def _type(name: str, kind: str, what: str) -> ColumnType:
    try:
        return ColumnType.parse(_TEXTS.get(kind, kind))
    except ValueError:
        raise WarehouseError(
            f"{what} failed: its column `{name}` is of the type {kind}, which is not one of ours.",
            "Cast it in the query.",
        ) from None


def _first(error: duckdb.Error) -> str:
    """Return the first line of an error, without its kind."""
    line = str(error).splitlines()[0]
    return line.partition("Error: ")[2].rstrip("!.") or line
