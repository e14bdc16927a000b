"""The comments of a dataset's columns in Redshift: kept, replaced, and in no load's way."""

import contextlib
import time

import psycopg2
import psycopg2.extensions as pg
import pytest

from etl_assets.systems.redshift_tables import column_comments, fit_table
from etl_assets_tests.small import DATASET, Small
from etl_assets_tests.systems.platforms import RedshiftPlatform
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

PASSWORD = "Loader1234"  # noqa: S105  (of a user of the stand-in)
HOSTILE = "What was said: 100 % it's \"free\" \\'; DROP TABLE sales; --"
WRITTEN = (
    "SELECT d.xmin::text, d.objsubid FROM pg_description d JOIN pg_class c ON c.oid = d.objoid"
    " WHERE c.relname = 'sales' ORDER BY 2"
)


@pytest.fixture
def platform(redshift: Redshift, small: Small) -> RedshiftPlatform:
    """A small platform, nothing loaded yet."""
    return RedshiftPlatform(small, redshift)


def commented(note: str) -> str:
    """Return the dataset with comments of two columns, one also of a rule."""
    quoted = note.replace("'", "''")
    return f"{DATASET}columns:\n  note: {{comment: '{quoted}'}}\n  sold_on: {{comment: The day.}}\n"


def comments(platform: RedshiftPlatform) -> dict[str, str]:
    """Return the comments in the catalog."""
    with (
        contextlib.closing(psycopg2.connect(platform.redshift.standin.dsn)) as connection,
        connection.cursor() as cursor,
    ):
        return column_comments(cursor, "public", "sales")


def test_columns_carry_the_datasets_comments_whatever_is_in_them(
    platform: RedshiftPlatform,
) -> None:
    platform.small.write_dataset(commented(HOSTILE))
    platform.refresh()
    assert comments(platform) == {"note": HOSTILE, "sold_on": "The day."}


def test_a_comment_is_written_when_it_differs_and_else_left_alone(
    platform: RedshiftPlatform,
) -> None:
    platform.small.write_dataset(commented("Said."))
    platform.refresh()
    first = platform.query(WRITTEN)
    platform.refresh("SU17")
    assert platform.query(WRITTEN) == first
    platform.small.write_dataset(commented("Written."))
    platform.refresh()
    assert comments(platform) == {"note": "Written.", "sold_on": "The day."}
    assert len(set(platform.query(WRITTEN)) - set(first)) == 1


def test_who_does_not_own_the_table_loads_it_without_comments(platform: RedshiftPlatform) -> None:
    platform.refresh()
    platform.small.write_dataset(commented("Said."))
    staged = platform.chain.stage("SP17")
    platform.redshift.run(
        "DROP USER IF EXISTS loader",
        f"CREATE USER loader PASSWORD '{PASSWORD}'",
        "GRANT SELECT, INSERT, DELETE ON sales TO loader",
    )
    dsn = pg.make_dsn(platform.redshift.standin.dsn, user="loader", password=PASSWORD)
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        fit_table(connection, "public", staged, "The load", time.sleep)
        assert connection.status == pg.STATUS_READY
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("COMMENT ON COLUMN public.sales.note IS 'Said.'")
    assert comments(platform) == {}
    platform.redshift.run("DROP TABLE sales CASCADE", "DROP USER loader")
