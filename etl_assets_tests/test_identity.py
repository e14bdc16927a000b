"""Without rules the table holds what the source holds, value for value, in any language."""

import datetime as dt
import secrets
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from etl_assets.core.documents import Document
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

COLUMNS = {
    "b": "boolean",
    "s": "smallint",
    "n": "bigint",
    "m": "decimal(12,2)",
    "wide": "decimal(38,10)",
    "f": "double",
    "v": "varchar(20)",
    "t": "text",
    "d": "date",
    "ts": "timestamp",
}
DATASET = (
    "dataset: sales\nprimary_key: [id]\nquery: SELECT * FROM things\n"
    "columns:\n  id: {type: bigint}\n"
    + "".join(f"  {name}: {{type: '{kind}'}}\n" for name, kind in COLUMNS.items())
)
TRICKY = [
    "", " ", "  leading", "trailing  ", "NULL", "null", r"\N", "\\", '"', '""', "'", ",", ";", "\t",
    "\n", "\r", "\r\n", "a\nb", "~N00000000~", "~N", '"~N00000000~"', "#", "-", "é", "e\u0301", "日本",
    "👩‍👩‍👧", "\u2028", "\ufeff", "\x1a", "\x7f", 'x,y\r\n"z"', "0", "nan", "1e5", "\xa0", "{}", "[]",
]  # fmt: skip

text = st.one_of(
    st.sampled_from(TRICKY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.lists(st.sampled_from(TRICKY), max_size=4).map("".join),
)
money = st.decimals(-(10**9), 10**9, places=2)
row = st.tuples(
    st.booleans() | st.none(),
    st.integers(-(2**15), 2**15 - 1) | st.none(),
    st.integers(-(2**63), 2**63 - 1) | st.none(),
    money | st.none(),
    st.decimals(-(10**27), 10**27, places=10) | st.none(),
    st.floats(allow_nan=False) | st.none(),
    text.map(lambda t: t[:20]) | st.none(),
    text | st.none(),
    st.dates() | st.none(),
    st.datetimes() | st.none(),
)


def stored(value: object) -> object:
    """Return a value as SQLite keeps it."""
    if isinstance(value, Decimal):
        return str(value) if len(value.as_tuple().digits) > 15 else float(value)
    return str(value) if isinstance(value, dt.date) else value


def copied(home: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Send rows of a table `things` through the chain; return them as the table has them."""
    with sqlite3.connect(home / "source.sqlite") as connection:
        connection.execute("DROP TABLE IF EXISTS things")
        connection.execute(f"CREATE TABLE things ({', '.join(columns)})")
        marks = ", ".join("?" for _ in columns)
        connection.executemany(
            f"INSERT INTO things VALUES ({marks})", [[stored(v) for v in r] for r in rows]
        )
    connection.close()
    chain = Chain(Small(home).settings())
    (home / "warehouse.duckdb").unlink(missing_ok=True)
    assert chain.refresh().records == len(rows)
    return chain.query(f"SELECT {', '.join(columns)} FROM sales ORDER BY 1 NULLS FIRST")


@examples(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(row, max_size=40))
@example([(None,) * len(COLUMNS)])
@example(
    [(True, 1, 2, Decimal("0.10"), None, -0.0, word[:20], word, None, None) for word in TRICKY]
)
def test_any_value_survives_the_way_from_the_source_to_the_table(
    small: Small, rows: list[tuple[Any, ...]]
) -> None:
    """A carriage return as the first line break of a part made it unreadable."""
    small.write_dataset(DATASET)
    numbered = [(n, *values) for n, values in enumerate(rows)]
    assert copied(small.home, ["id", *COLUMNS], numbered) == numbered


@examples(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(text | st.none(), max_size=30))
@example(["", None, "", None])
@example([""])
@example([None])
@example(TRICKY)
def test_a_single_column_of_texts_survives_also_empty_ones(
    small: Small, values: list[str | None]
) -> None:
    """A line with one empty field is an empty line, which a reader may skip."""
    small.write_dataset("dataset: sales\nprimary_key: [t]\nquery: SELECT t FROM things\n"
                        "columns: {t: {type: text}}\n")  # fmt: skip
    read = [row[0] for row in copied(small.home, ["t"], [(value,) for value in values])]
    assert sorted(map(repr, read)) == sorted(map(repr, values))


def test_a_value_that_is_the_null_token_survives_since_another_token_is_drawn(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["00000000", "00000001"])
    token_hex = secrets.token_hex

    def draw(size: int) -> str:
        return next(drawn, token_hex(size))

    monkeypatch.setattr("etl_assets.rules.transform.secrets", SimpleNamespace(token_hex=draw))
    small.write_dataset(DATASET)
    rows = [(n, *(None,) * 7, word, None, None) for n, word in enumerate(["~N00000000~", None])]
    assert copied(small.home, ["id", *COLUMNS], rows) == rows
    assert next(drawn, None) is None


def test_a_long_text_survives(small: Small) -> None:
    small.write_dataset(DATASET)
    rows = [(0, *(None,) * 7, 'ü,"\n' * 500_000, None, None)]
    assert copied(small.home, ["id", *COLUMNS], rows) == rows


def test_the_dataset_of_this_module_has_no_rules() -> None:
    assert "rules" not in Document(DATASET, "sales.yaml").data
