"""A type read wrongly changes values silently; an identifier quoted wrongly is an injection."""

import functools

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etl_assets.core.columns import TYPES, Column, ColumnType
from etl_assets.core.errors import PermanentError
from etl_assets.core.sql import column_list, quote_identifier, quote_literal, quote_table

DECIMALS = st.integers(1, 38).flatmap(
    lambda p: st.integers(0, min(p, 37)).map(lambda s: f"decimal({p},{s})")
)
KINDS = st.one_of(
    st.sampled_from([name for name, row in TYPES.items() if not row.arguments]),
    st.integers(1, 70_000).map(lambda n: f"varchar({n})"),
    DECIMALS,
)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@functools.cache
def database() -> duckdb.DuckDBPyConnection:
    """Return one database for all examples: to open one takes longer than they do."""
    return duckdb.connect()


@given(KINDS)
def test_every_type_is_written_as_it_is_read_and_known_to_every_system(text: str) -> None:
    kind = ColumnType.parse(text)
    assert str(kind) == text
    assert ColumnType.parse(f" {text.upper()} ") == kind
    connection = database()
    connection.execute(f"CREATE OR REPLACE TABLE t (a {kind.duckdb})")
    read = connection.table("t").to_arrow_table()
    assert read.schema.field("a").type == kind.arrow()
    assert "{" not in kind.redshift


@pytest.mark.parametrize(
    "text",
    [
        "", "string", "int", "varchar", "varchar()", "varchar(0)", "varchar(-1)", "varchar(1,2)",
        "text(5)", "decimal", "decimal(10)", "decimal(39,0)", "decimal(0,0)", "decimal(2,3)", "decimal(38,38)",
        "decimal(10,2", "date; drop table t", "bigint unsigned",
    ],
)  # fmt: skip
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"column type|argument|precision|at least one"):
        ColumnType.parse(text)


@pytest.mark.parametrize(
    ("declared", "kind"),
    [
        ("INTEGER", "bigint"),
        ("int", "bigint"),
        ("SMALLINT", "smallint"),
        ("double  precision", "double"),
        ("REAL", "double"),
        ("NUMERIC(12, 4)", "decimal(12,4)"),
        ("Decimal(10,2)", "decimal(10,2)"),
        ("VARCHAR(40)", "varchar(40)"),
        ("DATETIME", "timestamp"),
        ("BOOLEAN", "boolean"),
        ("TEXT", "text"),
    ],
)
def test_a_declared_type_of_sqlite_has_one_meaning(declared: str, kind: str) -> None:
    assert str(ColumnType.from_sqlite(declared)) == kind


@pytest.mark.parametrize(
    "declared",
    ["", "NUMERIC", "BLOB", "ANY", "DECIMAL(60,2)", "DECIMAL(2,5)", "VARCHAR(0)", "VARCHAR"],
)
def test_a_declared_type_without_a_certain_meaning_is_none(declared: str) -> None:
    assert ColumnType.from_sqlite(declared) is None


def test_a_varchar_of_redshift_holds_four_bytes_a_character_and_no_more_than_it_may() -> None:
    assert ColumnType.parse("varchar(40)").redshift == "VARCHAR(160)"
    assert ColumnType.parse("varchar(40000)").redshift == "VARCHAR(65535)"


def test_arrow_types_are_exact() -> None:
    assert ColumnType.parse("decimal(12,2)").arrow() == pa.decimal128(12, 2)
    assert ColumnType.parse("timestamp").arrow() == pa.timestamp("us")


@pytest.mark.parametrize("name", ["A", "1a", "a b", "a-b", "a\n", "", "ä", "a" * 64, '"'])
def test_a_column_name_is_lower_case_and_plain(name: str) -> None:
    with pytest.raises(ValidationError):
        Column(name=name, type=ColumnType.parse("text"))


@given(name=TEXT.filter(bool), value=TEXT)
def test_any_identifier_and_literal_stay_what_they_are(name: str, value: str) -> None:
    connection = database()
    connection.execute(f"SELECT {quote_literal(value)} AS {quote_identifier(name)}")
    assert connection.fetchall() == [(value,)]
    assert connection.description is not None
    assert [column[0] for column in connection.description] == [name]


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_an_identifier_that_cannot_be_quoted_is_refused(name: str) -> None:
    with pytest.raises(PermanentError, match="cannot be an SQL identifier"):
        quote_identifier(name)


def test_a_literal_with_a_nul_is_refused() -> None:
    with pytest.raises(PermanentError, match="NUL"):
        quote_literal("a\0b")


def test_lists_and_qualified_names_quote_each_part() -> None:
    assert column_list(["a", 'b"c']) == '"a", "b""c"'
    assert quote_table("main", "t; drop") == '"main"."t; drop"'
