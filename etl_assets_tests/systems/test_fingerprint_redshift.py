"""What Redshift sums must be what the definition says, value by value."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import psycopg2
import psycopg2.extensions as pg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import groups_of
from etl_assets.core.sql import column_list, quote_identifier
from etl_assets.systems.fingerprint_redshift import fingerprint_of
from etl_assets_tests.prints import COLUMNS, records, reference, same
from etl_assets_tests.systems.redshift_server import Redshift

Records = Sequence[Mapping[str, object]]
pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]
TABLE = "printed"


@pytest.fixture(scope="module")
def session(redshift_server: Redshift) -> Iterator[pg.connection]:
    """A session with a table of every type."""
    with contextlib.closing(psycopg2.connect(redshift_server.standin.dsn)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(_table(TABLE, COLUMNS))
        yield connection


def _table(name: str, columns: Sequence[Column]) -> str:
    listed = ", ".join(f"{quote_identifier(c.name)} {c.type.redshift}" for c in columns)
    return f"CREATE TEMP TABLE {name} ({listed})"


def _printed(
    connection: pg.connection, table: str, columns: Sequence[Column], found: Records
) -> Fingerprint:
    holders = ", ".join(
        "FROM_HEX(%s)" if c.type.name == "binary" else f"CAST(%s AS {c.type.redshift})"
        for c in columns
    )
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}")
        for record in found:
            cells = [record[c.name] for c in columns]
            cursor.execute(
                f"INSERT INTO {table} ({column_list(c.name for c in columns)}) SELECT {holders}",
                [v.hex() if isinstance(v, bytes) else v for v in cells],
            )
        return fingerprint_of(cursor, columns, groups_of(columns), table)


@hypothesis_settings(max_examples=60)
@given(found=records(COLUMNS, unbounded=True))
def test_redshift_sums_what_the_definition_says(
    session: pg.connection, found: list[dict[str, object]]
) -> None:
    assert same(_printed(session, TABLE, COLUMNS, found), reference(COLUMNS, found))


def test_a_wide_table_takes_several_statements(session: pg.connection) -> None:
    columns = [Column(name=f"w{n}", type=COLUMNS[n % len(COLUMNS)].type) for n in range(600)]
    with session.cursor() as cursor:
        cursor.execute(_table("wide", columns))
    found = [dict.fromkeys([c.name for c in columns])] * 2
    assert same(_printed(session, "wide", columns, found), reference(columns, found))


def test_only_what_a_condition_says_is_summed(session: pg.connection) -> None:
    column = Column(name="n", type=COLUMNS[2].type)
    relation = "(SELECT 1 AS n, '10%' AS share UNION ALL SELECT 2, '%s') AS shares"
    with session.cursor() as cursor:
        found = fingerprint_of(cursor, [column], (), relation, where="share = %s", bindings=["%s"])
    assert (found.records, found.columns[0].total) == (1, "2")
