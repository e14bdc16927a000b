"""The views on Redshift: their readers keep their rights, and they are in no load's way."""

import contextlib

import psycopg2
import psycopg2.extensions as pg
import pytest

from etl_assets.core.errors import WarehouseError
from etl_assets_tests.small import DATASET, Small
from etl_assets_tests.systems.platforms import RedshiftPlatform
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

PASSWORD = "Analyst123"  # noqa: S105  (of a user of the stand-in)


@pytest.fixture
def platform(redshift: Redshift, small: Small) -> RedshiftPlatform:
    """A small platform, nothing loaded yet."""
    return RedshiftPlatform(small, redshift)


def cast_note(length: int, more: str = "") -> str:
    rule = f"  - {{id: short, kind: cast, column: note, type: varchar({length})}}\n"
    return f"{DATASET}{rule}{more}"


def test_a_reader_of_the_views_keeps_the_right_when_columns_come_and_grow(
    platform: RedshiftPlatform,
) -> None:
    redshift = platform.redshift
    platform.small.write_dataset(cast_note(40))
    platform.refresh()
    redshift.run(
        "DROP USER IF EXISTS analyst",
        f"CREATE USER analyst PASSWORD '{PASSWORD}'",
        "GRANT SELECT ON sales_deduplicated TO analyst",
    )
    more = "  - {id: more, kind: derive, column: twice, type: integer, expression: quantity * 2}\n"
    platform.small.write_dataset(cast_note(60, more))
    platform.refresh()
    dsn = pg.make_dsn(redshift.standin.dsn, user="analyst", password=PASSWORD)
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(twice), max(len(note)) FROM public.sales_deduplicated")
        assert cursor.fetchone()
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SELECT count(*) FROM public.sales")
    widths = platform.query(
        "SELECT table_name, character_maximum_length FROM svv_columns"
        " WHERE column_name = 'note' AND table_schema = 'public' ORDER BY 1"
    )
    relations = ("sales", "sales_by_campaign", "sales_deduplicated")
    assert widths == [(name, 240) for name in relations]
    redshift.run("DROP VIEW sales_deduplicated", "DROP USER analyst")


def test_a_load_that_changes_nothing_of_the_table_leaves_the_views_alone(
    platform: RedshiftPlatform,
) -> None:
    platform.refresh()
    made = "SELECT oid FROM pg_class WHERE relname LIKE 'sales\\_%%' ORDER BY 1"
    before = platform.query(made)
    assert len(before) == 2
    platform.refresh("SU17")
    assert platform.query(made) == before


@pytest.mark.parametrize(("kind", "planted"), [("TABLE", "(n int)"), ("VIEW", "AS SELECT 1 AS n")])
def test_what_cannot_be_replaced_by_a_view_stops_the_load_before_it_is_published(
    platform: RedshiftPlatform, kind: str, planted: str
) -> None:
    platform.redshift.run(f"CREATE {kind} sales_by_campaign {planted}")
    with pytest.raises(WarehouseError, match="could not replace a view of sales") as caught:
        platform.refresh()
    assert '"public"."sales_by_campaign"' in caught.value.remedy
    assert platform.warehouse.loads() == []
    platform.redshift.run(f"DROP {kind} sales_by_campaign")
    assert platform.refresh().records == 14
