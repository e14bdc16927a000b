"""What a source sums must be what arrives from it, value by value."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.fingerprint import Fingerprint, differences
from etl_assets.systems.source_sqlite import SqliteSource
from etl_assets_tests.prints import COLUMNS, records, reference, same, values
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.systems.mysql_reading import BINDINGS, make_dataset, open_mysql

Records = Sequence[Mapping[str, object]]
Printed = Callable[[Records], Fingerprint]

_MYSQL = {
    "boolean": "TINYINT", "text": "TEXT", "binary": "LONGBLOB", "timestamp": "DATETIME(6)",
}  # fmt: skip


def _mysql_columns() -> list[Column]:
    """Without REAL and precisions that MySQL has not."""
    return [
        c
        for c in COLUMNS
        if c.type.name != "real" and str(c.type) not in ("decimal(37,37)", "decimal(38,37)")
    ]


@pytest.fixture(scope="module")
def mysql(mariadb: MariaDBServer) -> Iterator[Printed]:
    """Give the server's fingerprint of records."""
    columns = _mysql_columns()
    listed = ", ".join(f"{c.name} {_MYSQL.get(str(c.type), str(c.type))}" for c in columns)
    mariadb.run(f"CREATE OR REPLACE TABLE printed ({listed}) CHARACTER SET utf8mb4")
    holders = ", ".join(["%s"] * len(columns))

    def printed(found: Records) -> Fingerprint:
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM printed")
            rows = [tuple(r[c.name] for c in columns) for r in found]
            for row in rows:
                cursor.execute(f"INSERT INTO printed VALUES ({holders})", row)
        declared = {c.name: {"type": str(c.type)} for c in columns if c.type.name == "boolean"}
        dataset = make_dataset("SELECT * FROM printed", columns=declared)
        with open_mysql(mariadb).snapshot(dataset, dict(BINDINGS)) as snapshot:
            return snapshot.fingerprint([c.name for c in snapshot.columns])

    yield printed
    mariadb.run("DROP TABLE printed")


@hypothesis_settings(max_examples=60)
@given(found=records(_mysql_columns()))
def test_mysql_sums_what_the_definition_says(
    mysql: Printed, found: list[dict[str, object]]
) -> None:
    assert differences(reference(_mysql_columns(), found), mysql(found)) == []
    printed = mysql(found)
    assert {c.family for c in printed.columns if c.total is None} == {"double", "text", "binary"}
    assert {name for group in printed.groups for name in group.columns} == {
        c.column for c in printed.columns if c.family in ("text", "binary")
    }


def _sqlite_value(value: object) -> object:
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    return str(value)


@given(found=records(COLUMNS))
def test_sqlite_sums_what_the_definition_says(
    tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, object]]
) -> None:
    file = tmp_path_factory.mktemp("printed") / "source.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE printed ({', '.join(c.name for c in COLUMNS)})")
        holders = ", ".join("?" * len(COLUMNS))
        rows = [[_sqlite_value(r[c.name]) for c in COLUMNS] for r in found]
        connection.executemany(f"INSERT INTO printed VALUES ({holders})", rows)
    connection.close()
    dataset = make_dataset(
        "SELECT * FROM printed", columns={c.name: {"type": str(c.type)} for c in COLUMNS}
    )
    source = SqliteSource(sa.make_url(f"sqlite:///{file}"))
    with source.snapshot(dataset, dict(BINDINGS)) as snapshot:
        printed = snapshot.fingerprint([c.name for c in COLUMNS])
    assert same(printed, reference(COLUMNS, found))


@given(found=st.lists(values(ColumnType.parse("decimal(15,2)")), max_size=20))
def test_decimals_that_sqlite_keeps_as_doubles_are_summed_as_what_they_mean(
    tmp_path_factory: pytest.TempPathFactory, found: list[object]
) -> None:
    file = tmp_path_factory.mktemp("decimals") / "source.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE printed (v DECIMAL(15,2))")
        cells = [(None if v is None else str(v),) for v in found]
        connection.executemany("INSERT INTO printed VALUES (?)", cells)
    connection.close()
    source = SqliteSource(sa.make_url(f"sqlite:///{file}"))
    with source.snapshot(make_dataset("SELECT v FROM printed"), dict(BINDINGS)) as snapshot:
        printed = snapshot.fingerprint(["v"])
    assert printed == reference(snapshot.columns, [{"v": v} for v in found])


def test_a_value_of_another_type_does_not_stop_the_count(tmp_path: Path) -> None:
    file = tmp_path / "source.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE printed ({', '.join(c.name for c in COLUMNS)})")
        for value in ("no such", b"\xff", 1e300, -(2**63), "2017-01-01T00:00:00+01:00"):
            row = [value] * len(COLUMNS)
            connection.execute(f"INSERT INTO printed VALUES ({', '.join('?' * len(row))})", row)
    connection.close()
    dataset = make_dataset(
        "SELECT * FROM printed", columns={c.name: {"type": str(c.type)} for c in COLUMNS}
    )
    source = SqliteSource(sa.make_url(f"sqlite:///{file}"))
    with source.snapshot(dataset, dict(BINDINGS)) as snapshot:
        printed = snapshot.fingerprint([c.name for c in COLUMNS])
    assert printed.records == 5
    assert {c.non_nulls for c in printed.columns} == {5}
