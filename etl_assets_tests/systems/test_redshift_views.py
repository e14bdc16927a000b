"""The views on Redshift: their readers keep their rights, and they are in no load's way."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import psycopg2.extensions as pg
import pytest

from etl_assets.core.errors import PermanentError, WarehouseError
from etl_assets.systems.redshift_readers import parse_readers
from etl_assets.systems.warehouse_redshift import RedshiftWarehouse
from etl_assets_tests.commits import commit_load
from etl_assets_tests.small import COUNTS, DATASET, Small
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


REPORTING = "reporting: {day: sold_on, measures: [amount]}\n"
EVERY_VIEW = (
    "sales_by_campaign", "sales_deduplicated", "sales_season_over_season", "sales_season_to_date",
)  # fmt: skip


@pytest.fixture
def reader(redshift: Redshift) -> Iterator[pg.connection]:
    """A connection of a user who is in the role `analysts` and has no other right."""
    redshift.run(
        "DROP USER IF EXISTS analyst",
        "CREATE ROLE analysts",
        f"CREATE USER analyst PASSWORD '{PASSWORD}'",
        "GRANT ROLE analysts TO analyst",
    )
    dsn = pg.make_dsn(redshift.standin.dsn, user="analyst", password=PASSWORD)
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        yield connection
    redshift.clean()
    redshift.run(
        "REVOKE ALL ON SCHEMA public FROM ROLE analysts", "DROP USER analyst", "DROP ROLE analysts"
    )


def granting(redshift: Redshift, readers: str) -> RedshiftWarehouse:
    return RedshiftWarehouse(
        redshift.url, redshift.password, readers=parse_readers(readers), sleep=lambda _: None
    )


def test_a_reader_reads_every_view_and_nothing_else(
    platform: RedshiftPlatform, reader: pg.connection
) -> None:
    document = DATASET.replace("query:", f"{REPORTING}query:")
    platform.small.write_dataset(document)
    staging, warehouse = (
        platform.settings().open_staging(),
        granting(platform.redshift, "role:analysts"),
    )
    commit_load(warehouse, platform.chain.stage(), staging, platform.dataset)
    with reader.cursor() as cursor:
        for view in EVERY_VIEW:
            cursor.execute(f"SELECT count(*) FROM public.{view}")
            assert cursor.fetchone() != (0,)
        for refused in (
            "SELECT * FROM public.sales",
            "SELECT * FROM etl_assets.loads",
            "DELETE FROM public.sales_by_campaign",
            "DROP VIEW public.sales_by_campaign",
            "CREATE OR REPLACE VIEW public.sales_deduplicated AS SELECT 1 AS n WITH NO SCHEMA BINDING",
            "CREATE TABLE etl_assets.mine (n int)",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(refused)
        # Who reads the table itself, as somebody's document says, gets that, too; the rights of
        # a view stay when it is replaced.
        platform.small.write_dataset(f"{document}readers:\n  - {{name: raw, reads: table}}\n")
        commit_load(warehouse, platform.chain.stage(), staging, platform.dataset)
        for relation in ("sales", *EVERY_VIEW):
            cursor.execute(f"SELECT count(*) FROM public.{relation}")


def test_loads_at_once_that_all_change_the_views_all_succeed(platform: RedshiftPlatform) -> None:
    platform.refresh()
    platform.small.write_dataset(DATASET.replace("query:", f"{REPORTING}query:"))
    staged = [platform.chain.stage(key) for key in COUNTS]
    with ThreadPoolExecutor(len(staged)) as pool:
        loaded = list(pool.map(platform.load, staged))
    assert {row.campaign_key: row.records for row in loaded} == COUNTS
    seen = dict(
        platform.query("SELECT campaign_key, sum(records) FROM sales_season_to_date GROUP BY 1")
    )
    assert seen == COUNTS


def test_views_say_what_they_show(platform: RedshiftPlatform) -> None:
    said = "\\\\'; DROP TABLE sales; -- 50%s"
    platform.small.write_dataset(f'description: "{said}"\n{DATASET}')
    platform.refresh()
    # The stand-in keeps a late-binding view's text where PostgreSQL keeps its comment.
    found = dict(platform.query("SELECT name, comment FROM redshift_standin.view_comments"))
    assert found['"public"."sales_by_campaign"'] == (
        "\\'; DROP TABLE sales; -- 50%s A record once per campaign that has it."
    )


def test_a_reader_who_is_not_there_stops_the_load_and_is_named_by_the_check(
    platform: RedshiftPlatform,
) -> None:
    warehouse = granting(platform.redshift, "user:awsuser, role:nobodys, group:nor-this")
    with pytest.raises(WarehouseError, match=r'could not grant the views.*role "nobodys" does'):
        commit_load(warehouse, platform.chain.stage(), platform.settings().open_staging())
    assert platform.warehouse.loads() == []
    found = {check.name: check for check in warehouse.check()}["readers of the views"]
    assert (found.ok, found.detail) == (
        False, "not there, or not shown to this user: role:nobodys, group:nor-this",
    )  # fmt: skip
    assert "ETL_ASSETS_READERS" in found.remedy
    assert granting(platform.redshift, "user:awsuser").check()[-2].ok


@pytest.mark.parametrize("text", ["analysts", "role:", "owner:x", 'role:a"b', "role:50%"])
def test_what_names_no_reader_is_refused(text: str) -> None:
    with pytest.raises(PermanentError, match=r"ETL_ASSETS_READERS has .* names no reader"):
        parse_readers(text)
    assert [str(one) for one in parse_readers("role:a, group:b,user:IAM:c,")] == [
        "role:a", "group:b", "user:IAM:c",
    ]  # fmt: skip
