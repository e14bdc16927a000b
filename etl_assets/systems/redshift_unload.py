"""Redshift's side of reading out in bulk: UNLOAD into the staging store (dg:r_UNLOAD).

Its manifest says which objects it wrote, and how many records are in each. They are removed when
they are read; what a killed process left goes with the cleaning of the staging store.
"""

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core.columns import MAX_DECIMAL_PRECISION, Column, ColumnType
from etl_assets.core.errors import WarehouseError
from etl_assets.core.redshift_sql import unload_query
from etl_assets.core.selects import Select
from etl_assets.systems.protocols import Staging
from etl_assets.systems.redshift_connect import RedshiftUrl
from etl_assets.systems.redshift_errors import first_line
from etl_assets.systems.redshift_tables import count
from etl_assets.systems.unloading import Unloaded

_SIMPLE = {
    16: "boolean", 21: "smallint", 23: "integer", 20: "bigint", 700: "real", 701: "double",
    25: "text", 1042: "text", 1043: "text", 17: "binary", 6551: "binary", 1082: "date",
    1114: "timestamp",
}  # fmt: skip
"""Types by their number on the wire; VARBYTE is 6551 in Redshift, bytea 17 in PostgreSQL."""

_NUMERIC = 1700
_NOT_THERE = "42P01"


@dataclass(frozen=True)
class _Object:
    path: str
    bytes: int
    records: int


def describe(
    connection: pg.connection, url: RedshiftUrl, select: Select, what: str
) -> tuple[Column, ...]:
    """Return the columns of a query's result; see `Warehouse.describe`."""
    with _explained(what), connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM ({select.render('redshift', url.schema)}) AS q LIMIT 0")
        return tuple(
            Column(name=found.name, type=_type(found, what)) for found in cursor.description or ()
        )


def unload(
    connection: pg.connection,
    url: RedshiftUrl,
    select: Select,
    columns: Sequence[Column],
    staging: Staging,
    what: str,
) -> tuple[Unloaded, Callable[[], None]]:
    """Write a query's result to the staging store; see `Warehouse.unload`.

    Returns:
        The result, and what removes it.
    """
    if not staging.uri("").startswith("s3://"):
        raise WarehouseError(
            f"{what} cannot run: Redshift unloads to S3, and the staging store is at"
            f" {staging.uri('')}.",
            "Set ETL_ASSETS_STAGING to s3://BUCKET/PREFIX.",
        )
    folder = f"unload/reads/all/{uuid.uuid4().hex}"
    statement = unload_query(
        select.typed("redshift", url.schema, columns),
        staging.uri(f"{folder}/"),
        iam_role=url.iam_role,
        region=url.region,
        ordered=bool(select.order_by),
    )
    with _explained(what), connection.cursor() as cursor:
        cursor.execute(statement)
        records = count(cursor, "SELECT pg_last_unload_count()")
    connection.rollback()
    objects = _manifest(staging, folder, what)
    if sum(found.records for found in objects) != records:
        raise WarehouseError(
            f"{what} is not whole: Redshift unloaded {records:,} records, and its manifest"
            f" names {sum(found.records for found in objects):,}.",
            "Read it again.",
        )
    parts = tuple(lambda found=found: _received(staging, found) for found in objects)
    paths = [*(found.path for found in objects), f"{folder}/manifest"]
    return (
        Unloaded(tuple(columns), records, what, parts, hexadecimal=True),
        lambda: staging.delete(paths),
    )


def _manifest(staging: Staging, folder: str, what: str) -> list[_Object]:
    text = staging.read_text(f"{folder}/manifest")
    try:
        return [
            _Object(
                path=f"{folder}/{entry['url'].rpartition('/')[2]}",
                bytes=int(entry["meta"]["content_length"]),
                records=int(entry["meta"]["record_count"]),
            )
            for entry in json.loads(text)["entries"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WarehouseError(
            f"{what} failed: the manifest of its UNLOAD is not what is documented"
            f" ({type(error).__name__}).",
            f"Look at {staging.uri(folder)}/manifest.",
        ) from error


@contextlib.contextmanager
def _received(staging: Staging, found: _Object) -> Iterator[Path]:
    with staging.scratch() as folder:
        file = folder / "part.parquet"
        staging.download(found.path, file)
        size = file.stat().st_size
        if size != found.bytes:
            raise WarehouseError(
                f"The object {staging.uri(found.path)} has {size:,} bytes, and Redshift wrote"
                f" {found.bytes:,}.",
                "Read it again.",
            )
        yield file


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        if error.pgcode != _NOT_THERE:
            raise
        raise WarehouseError(
            f"{what} failed: {first_line(error)}.",
            "Refresh a campaign of its dataset first: a load makes tables and views.",
        ) from error


def _type(found: pg.Column, what: str) -> ColumnType:
    code = found.type_code
    if code in _SIMPLE:
        return ColumnType.parse(_SIMPLE[code])
    precision, scale = found.precision or 0, found.scale or 0
    if code != _NUMERIC or not 0 < precision <= MAX_DECIMAL_PRECISION:
        raise WarehouseError(
            f"{what} failed: its column `{found.name}` is of a type (number {code}) that is not"
            " one of ours.",
            "Cast it in the query.",
        )
    return ColumnType("decimal", precision, scale)
