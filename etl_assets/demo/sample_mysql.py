"""Build the tables of the sample in a MySQL database."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from etl_assets.core.errors import PermanentError
from etl_assets.demo.sample import INDEXES, TABLES, sample_data

_STATEMENT_RECORDS = 5_000
_UNFINISHED = "transactions_unfinished"


def build_mysql(url: str, password: str = "", tables: Collection[str] = tuple(TABLES)) -> bool:
    """Build the source's tables in a MySQL database; return whether they were built.

    The largest table gets its name last, so that a build that was broken off is seen.

    Args:
        url: `mysql+pymysql://USER@HOST:PORT/DATABASE`, of a user who may create tables.
        password: Of the user.
        tables: The ones to build; all unless given.

    Raises:
        PermanentError: When some of the tables are there, or the sample is not installed.
    """
    data = sample_data()
    engine = sa.create_engine(
        sa.make_url(url).set(password=password or None), poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        there = set(sa.inspect(connection).get_table_names()) & {*tables, _UNFINISHED}
        if there == {*tables}:
            return False
        if there:
            raise PermanentError(
                f"The database has {', '.join(sorted(there))}, but not the whole sample.",
                "Drop these tables if they are of a build that was broken off.",
            )
        for table in tables:
            file, columns, constraint = TABLES[table]
            name = table if table != "transactions" else _UNFINISHED
            _fill_mysql(connection, name, data / f"{file}.parquet", columns, constraint)
            connection.commit()
        connection.exec_driver_sql(f"RENAME TABLE {_UNFINISHED} TO transactions")
        for index in (one for table in tables for one in INDEXES.get(table, ())):
            connection.exec_driver_sql(index)
        connection.exec_driver_sql(f"ANALYZE TABLE {', '.join(tables)}")
    return True


def _fill_mysql(
    connection: sa.Connection,
    table: str,
    file: Path,
    columns: dict[str, tuple[str, str]],
    constraint: str,
) -> None:
    # DATETIME: what is written is what is read, whatever time zone a session has.
    kinds = {name: kind.replace("TIMESTAMP", "DATETIME") for name, (_, kind) in columns.items()}
    parts = [
        *(f"{name} {kind}" for name, kind in kinds.items()),
        *([constraint] if constraint else []),
    ]
    connection.exec_driver_sql(f"CREATE TABLE {table} ({', '.join(parts)})")
    names = [source for source, _ in columns.values()]
    for batch in pq.ParquetFile(file).iter_batches(_STATEMENT_RECORDS, columns=names):
        cells = [_literals(batch.column(source), kind) for source, kind in columns.values()]
        records = pc.binary_join_element_wise(*cells, ",").to_pylist()
        listed = "),(".join(records).replace("%", "%%")  # the driver reads %
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({listed})")


def _literals(array: pa.Array, kind: str) -> pa.Array:
    """Return SQL literals; made by Arrow, since 16 million values take the driver a minute."""
    if kind == "DATE":
        text = pc.strftime(array, format="%Y-%m-%d")
    elif kind == "TIMESTAMP":
        text = pc.strftime(array.cast(pa.timestamp("s")), format="%Y-%m-%d %H:%M:%S")
    elif kind.startswith("DECIMAL"):
        return pc.fill_null(pc.round(array, 2).cast(pa.string()), "NULL")
    elif kind.startswith("VARCHAR"):
        escaped = pc.replace_substring(array.cast(pa.string()), "\\", "\\\\")
        text = pc.replace_substring(escaped, "'", "''")
    else:
        return pc.fill_null(array.cast(pa.string()), "NULL")
    return pc.fill_null(pc.binary_join_element_wise("'", text, "'", ""), "NULL")
