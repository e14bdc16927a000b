"""Tests of the stand-in's late-binding views, which are in no table's way."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from etl_assets_tests.standins.conftest import Connect
from etl_assets_tests.standins.redshift import RedshiftStandin

VIEW = "CREATE OR REPLACE VIEW {}.v AS SELECT {} FROM {}.t WITH NO SCHEMA BINDING"

TOLD = re.compile(r"could not open relation with OID \d+")
"""What a cluster says of a relation that another session replaced."""


@pytest.fixture
def cursor(connect: Connect) -> Any:
    """A cursor in autocommit, in a schema with a table `t` of one record."""
    connection = connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (a varchar(2), n int)")
    cursor.execute("INSERT INTO t VALUES ('x', 1)")
    return cursor


@pytest.fixture
def schema(cursor: Any) -> str:
    cursor.execute("SELECT current_schema()")
    (name,) = cursor.fetchone()
    return str(name)


@pytest.fixture
def reader(redshift: RedshiftStandin, cursor: Any, schema: str) -> Iterator[Any]:
    """A cursor of a user who may use the schema and nothing in it."""
    cursor.execute("CREATE USER reader PASSWORD 'Reader123'")
    cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
    dsn = psycopg2.extensions.make_dsn(redshift.dsn, user="reader", password="Reader123")
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        yield connection.cursor()
    cursor.execute(f"DROP VIEW IF EXISTS {schema}.v")
    cursor.execute(f"REVOKE USAGE ON SCHEMA {schema} FROM reader")
    cursor.execute("DROP USER reader")


def rows(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor.execute(sql)
    return [tuple(row) for row in cursor.fetchall()]


def test_a_late_binding_view_follows_its_table(cursor: Any, schema: str) -> None:
    cursor.execute(VIEW.format(schema, "*", schema))
    assert cursor.statusmessage == "CREATE VIEW"
    cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    cursor.execute("ALTER TABLE t ADD COLUMN b int")
    cursor.execute("INSERT INTO t VALUES ('longer', 2, 3)")
    assert rows(cursor, "SELECT * FROM v ORDER BY n") == [("x", 1, None), ("longer", 2, 3)]
    shown = rows(cursor, "SELECT column_name FROM svv_columns WHERE table_name = 'v'"
                         f" AND table_schema = '{schema}' ORDER BY ordinal_position")  # fmt: skip
    assert shown == [("a",), ("n",), ("b",)]
    cursor.execute("DROP TABLE t")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        cursor.execute("SELECT * FROM v")


def test_sessions_that_replace_one_view_at_once_are_told_to_look_again(
    connect: Connect, cursor: Any, schema: str
) -> None:
    cursor.execute(VIEW.format(schema, "*", schema))
    sessions = [connect() for _ in range(3)]
    for session in sessions:
        session.autocommit = True

    def replace(session: Any) -> set[str]:
        said = set()
        for n in range(60):
            try:
                session.cursor().execute(VIEW.format(schema, f"a, n, {n} AS x", schema))
            except psycopg2.Error as error:
                said.add(str(error).splitlines()[0])
        return said

    with ThreadPoolExecutor(len(sessions)) as pool:
        said = set().union(*pool.map(replace, sessions))
    assert all(TOLD.search(text) for text in said), said
    assert rows(cursor, "SELECT a, n FROM v") == [("x", 1)]


def test_a_bound_view_is_in_its_tables_way(cursor: Any) -> None:
    cursor.execute("CREATE VIEW v AS SELECT a FROM t")
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")


def test_a_view_bound_in_the_place_of_a_late_binding_one_is_bound(cursor: Any, schema: str) -> None:
    cursor.execute(VIEW.format(schema, "a", schema))
    cursor.execute("CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE n > 1")
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    cursor.execute(VIEW.format(schema, "a", schema))
    cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    assert rows(cursor, "SELECT * FROM v") == [("x",)]


def test_rights_stay_when_a_late_binding_view_is_replaced(
    cursor: Any, schema: str, reader: Any
) -> None:
    cursor.execute(VIEW.format(schema, "a", schema))
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        reader.execute(f"SELECT * FROM {schema}.v")
    cursor.execute(f"GRANT SELECT ON {schema}.v TO reader")
    cursor.execute(VIEW.format(schema, "n, a", schema))
    cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    assert rows(reader, f"SELECT * FROM {schema}.v") == [(1, "x")]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        reader.execute(f"SELECT * FROM {schema}.t")


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("CREATE VIEW {0}.v AS SELECT a FROM {0}.t WITH NO SCHEMA BINDING", "42P07"),
        ("CREATE OR REPLACE VIEW {0}.t AS SELECT 1 WITH NO SCHEMA BINDING", "42809"),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM {0}.t WITH NO SCHEMA BINDING", "42601"),
        ("CREATE OR REPLACE VIEW {0}.v (b) AS SELECT 1 WITH NO SCHEMA BINDING", "0A000"),
        ("CREATE OR REPLACE VIEW {0}.v AS WITH NO SCHEMA BINDING", "42601"),
        ("CREATE OR REPLACE VIEW {0}.bound AS SELECT a FROM {0}.t WITH NO SCHEMA BINDING", "42P16"),
    ],
)
def test_what_cannot_be_a_late_binding_view_is_refused(
    cursor: Any, schema: str, statement: str, state: str
) -> None:
    cursor.execute(VIEW.format(schema, "a", schema))
    cursor.execute("CREATE VIEW bound AS SELECT 1 AS n")
    with pytest.raises(psycopg2.Error) as caught:
        cursor.execute(statement.format(schema))
    assert caught.value.pgcode == state
    assert rows(cursor, "SELECT * FROM v") == [("x",)]


def test_a_view_that_is_rolled_back_was_never_there(connect: Connect) -> None:
    connection = connect()
    cursor = connection.cursor()
    (schema,) = rows(cursor, "SELECT current_schema()")[0]
    cursor.execute("CREATE TABLE t (a varchar(2), n int)")
    connection.commit()
    cursor.execute(VIEW.format(schema, "a", schema))
    connection.rollback()
    with pytest.raises(psycopg2.errors.UndefinedTable):
        cursor.execute("SELECT * FROM v")
