"""Which column of a query says when a record was.

At risk: records counted on the days of another column.
"""

import pytest

from etl_assets.core.datasets import parse_select
from etl_assets.core.season_column import season_column

CASES = {
    "SELECT id, sold_at FROM s WHERE sold_at >= :starts_at AND sold_at < :ends_before": "sold_at",
    "SELECT t.sold_at AS at FROM s t WHERE t.sold_at BETWEEN :start AND :end": "at",
    "SELECT sold_at FROM s t WHERE :start <= DATE(t.sold_at)": "sold_at",
    "SELECT a.at, b.at AS other FROM a JOIN b ON a.id = b.id WHERE a.at >= :starts_at": "at",
    "SELECT id FROM s WHERE sold_at >= :starts_at": None,
    "SELECT a, b FROM s WHERE a >= :start AND b <= :end": None,
    "SELECT a, b FROM s WHERE COALESCE(a, b) >= :start": None,
    "SELECT a FROM s WHERE a = :campaign_id": None,
    "SELECT YEAR(a) AS a FROM s WHERE a >= :start": None,
}


@pytest.mark.parametrize("query", CASES)
def test_the_column_compared_with_the_season_is_found_under_its_own_name(query: str) -> None:
    assert season_column(parse_select(query)) == CASES[query]
