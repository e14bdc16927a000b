"""A table that changes shape by itself breaks the reports that read it."""

import pytest

from etl_assets.core.errors import WarehouseError
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

HEAD = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, amount FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
rules:
"""
KEEP = "  - {id: keep, kind: select, columns: [sale_id, amount]}\n"
MORE = "  - {id: keep, kind: select, columns: [sale_id, quantity, amount]}\n"
TEXT = KEEP + "  - {id: text, kind: cast, column: amount, type: text}\n"
WIDER = KEEP + "  - {id: wider, kind: cast, column: amount, type: 'decimal(12,2)'}\n"


def refreshed(small: Small, rules: str, key: str = "SP17") -> Chain:
    small.write_dataset(HEAD + rules)
    chain = Chain(small.settings())
    chain.refresh(key)
    return chain


def columns(chain: Chain) -> dict[str, str]:
    rows = chain.query(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'sales'"
    )
    return dict(rows)


def test_a_new_column_is_added_and_is_null_in_the_other_slices(small: Small) -> None:
    refreshed(small, KEEP)
    chain = refreshed(small, MORE, "AU17")
    assert columns(chain).keys() == {
        "sale_id", "quantity", "amount", "campaign_key", "load_id", "loaded_at",
    }  # fmt: skip
    assert chain.query(
        "SELECT campaign_key, count(*), count(quantity) FROM sales GROUP BY 1 ORDER BY 1"
    ) == [("AU17", 13, 13), ("SP17", 14, 0)]


def test_a_column_that_left_the_rules_stays_and_is_null_in_new_loads(small: Small) -> None:
    refreshed(small, MORE)
    refreshed(small, MORE, "AU17")
    chain = refreshed(small, KEEP)
    assert columns(chain)["quantity"] == "BIGINT"
    assert chain.query(
        "SELECT campaign_key, count(quantity), sum(amount)::VARCHAR FROM sales GROUP BY 1 ORDER BY 1"
    ) == [("AU17", 13, "432.25"), ("SP17", 0, "94.50")]


@pytest.mark.parametrize("rules", [TEXT, WIDER])
def test_a_changed_type_is_refused_and_the_old_slice_stays(small: Small, rules: str) -> None:
    chain = refreshed(small, KEEP)
    before = (columns(chain), chain.query("SELECT * FROM sales ORDER BY ALL"))
    small.write_dataset(HEAD + rules)
    changed = Chain(small.settings())
    with pytest.raises(WarehouseError, match=r"would change the type of `amount` from DECIMAL"):
        changed.refresh()
    assert (columns(chain), chain.query("SELECT * FROM sales ORDER BY ALL")) == before


def test_columns_in_another_order_are_loaded_by_name(small: Small) -> None:
    chain = refreshed(small, KEEP)
    before = chain.query("SELECT sale_id, amount FROM sales ORDER BY ALL")
    turned = KEEP.replace("sale_id, amount", "amount, sale_id")
    assert (
        refreshed(small, turned).query("SELECT sale_id, amount FROM sales ORDER BY ALL") == before
    )


def test_an_empty_first_load_makes_the_table_with_its_types(small: Small) -> None:
    small.run_sql("DELETE FROM sales")
    chain = refreshed(small, MORE)
    assert chain.counts() == {}
    assert columns(chain)["amount"] == "DECIMAL(10,2)"
