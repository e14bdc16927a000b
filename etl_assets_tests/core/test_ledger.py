"""A ledger whose columns are not those of its rows proves nothing."""

import datetime as dt

from etl_assets.core import ledger
from etl_assets.core.manifest import Load
from etl_assets.core.orders import order_load
from etl_assets_tests.staged import a_stage

NOW = dt.datetime(2017, 12, 10, tzinfo=dt.UTC)


def a_row() -> Load:
    return ledger.row_of(
        order_load(a_stage(), "s"), records=0, replaced=3, started_at=NOW, committed_at=NOW
    )


def test_the_table_has_a_column_for_every_field_of_a_row() -> None:
    named = ledger.select_loads("").partition(" FROM ")[0].removeprefix("SELECT ")
    assert named == ", ".join(f'"{name}"' for name in Load.model_fields)
    for name in Load.model_fields:
        assert f'"{name}" ' in ledger.CREATE_LEDGER


def test_a_row_that_is_inserted_and_read_again_is_the_same() -> None:
    statement, values = ledger.insert_load(a_row(), "%s")
    assert statement.startswith('INSERT INTO "etl_assets"."loads" ("load_id", "kind", ')
    assert statement.count("%s") == len(values) == len(Load.model_fields)
    assert ledger.read_loads([values]) == [a_row()]


def test_both_warehouses_read_the_same_ddl() -> None:
    assert ledger.CREATE_LEDGER.startswith('CREATE TABLE IF NOT EXISTS "etl_assets"."loads" (')
    assert '"campaign_key" VARCHAR(64) NOT NULL' in ledger.CREATE_LEDGER
    assert '"committed_at" TIMESTAMPTZ NOT NULL' in ledger.CREATE_LEDGER
