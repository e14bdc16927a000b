"""SQLite gives values, not types: one that does not fit must stop the extract, not change."""

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import ColumnType
from etl_assets.core.datasets import Dataset, parse_dataset
from etl_assets.core.errors import PermanentError, SourceError, TransientError
from etl_assets.core.fingerprint import differences
from etl_assets.systems import source_sqlite
from etl_assets.systems.connect import open_source
from etl_assets.systems.source_sqlite import SqliteSource, to_array
from etl_assets_tests.prints import reference

BINDINGS: dict[str, Scalar] = {"campaign_key": "SP17", "start": "2017-03-01", "note": "bound"}


def dataset(query: str, more: str = "") -> Dataset:
    return parse_dataset(f"dataset: d\nprimary_key: [id]\nquery: {query!r}\n{more}", "d.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "source.sqlite"


def fill(file: Path, declared: str, *values: object) -> None:
    file.parent.mkdir(exist_ok=True)
    with sqlite3.connect(file) as connection:
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
        connection.executemany("INSERT INTO t (v) VALUES (?)", [(value,) for value in values])
    connection.close()


def read(file: Path, query: str = "SELECT id, v FROM t", more: str = "") -> list[Any]:
    """Return the values of the query's last column, counted in the same snapshot."""
    with open_source(f"sqlite:///{file}").snapshot(dataset(query, more), BINDINGS) as snapshot:
        batches = list(snapshot.batches())
        values = [v for batch in batches for v in batch.columns[-1].to_pylist()]
        records = [record for batch in batches for record in batch.to_pylist()]
        printed = snapshot.fingerprint([c.name for c in snapshot.columns])
        assert differences(reference(snapshot.columns, records), printed) == []
        assert all(
            batch.schema.field(c.name).type == c.type.arrow()
            for batch in batches
            for c in snapshot.columns
        )
    return values


@pytest.mark.parametrize(
    ("declared", "value", "shown"),
    [
        ("INTEGER", "seven", "'seven' in `v`, which is bigint"),
        ("INTEGER", 1.5, "1.5 in `v`, which is bigint"),
        ("INTEGER", b"\x01", "in `v`, which is bigint"),
        ("SMALLINT", 40_000, "40000 in `v`, which is smallint"),
        ("BOOLEAN", 2, "2 in `v`, which is boolean"),
        ("REAL", "much", "'much' in `v`, which is double"),
        ("DECIMAL(10,2)", 1.555, "1.555 in `v`, which is decimal(10,2)"),
        ("DECIMAL(4,2)", 100, "100 in `v`, which is decimal(4,2)"),
        ("DECIMAL(10,2)", "much", "'much' in `v`, which is decimal(10,2)"),
        ("DECIMAL(20,2)", "1.555", "1.555 in `v`, which is decimal(20,2)"),
        ("DECIMAL(10,2)", float("inf"), "inf in `v`, which is decimal(10,2)"),
        ("VARCHAR(3)", "long", "'long' in `v`, which is varchar(3)"),
        ("TEXT", b"bytes", "b'bytes' in `v`, which is text"),
        ("DATE", "2017-02-30", "'2017-02-30' in `v`, which is date"),
        ("DATE", "2017-02-01 10:00:00", "in `v`, which is date"),
        ("DATE", 20170201, "20170201 in `v`, which is date"),
        ("TIMESTAMP", "noon", "'noon' in `v`, which is timestamp"),
        ("TIMESTAMP", "2017-02-01 10:00:00.1234567", "in `v`, which is timestamp"),
    ],
)
def test_a_value_that_is_not_of_its_type_names_column_value_and_record(
    file: Path, declared: str, value: object, shown: str
) -> None:
    fill(file, declared, None, value)
    with pytest.raises(SourceError) as caught:
        read(file)
    assert shown in caught.value.message
    assert "in the record id=2 of campaign SP17" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("declared", "value", "shown"),
    [
        ("INTEGER", -(2**63), -(2**63)),
        ("BOOLEAN", 1, True),
        ("REAL", 7, 7.0),
        ("DECIMAL(10,2)", 0.1, Decimal("0.10")),
        ("DECIMAL(10,2)", -7, Decimal("-7.00")),
        ("DECIMAL(20,2)", 533846.92, Decimal("533846.92")),
        ("VARCHAR(3)", "grü", "grü"),
        ("TEXT", "", ""),
    ],
)
def test_a_value_of_its_type_is_exact(
    file: Path, declared: str, value: object, shown: object
) -> None:
    fill(file, declared, None, value)
    assert read(file) == [None, shown]


@pytest.mark.parametrize(
    "written", ["2017-02-01 10:00:00", "2017-02-01T10:00", "2017-02-01 10:00:00.000000"]
)
def test_a_timestamp_may_be_written_in_any_form_of_iso(file: Path, written: str) -> None:
    fill(file, "TIMESTAMP", written, None)
    assert [v and v.isoformat() for v in read(file)] == ["2017-02-01T10:00:00", None]


@given(
    number=st.decimals(-(10**9), 10**9, places=2),
    kind=st.sampled_from(["(12,2)", "(20,2)", "(38,10)"]),
)
def test_a_decimal_that_went_through_a_double_comes_back_exact(number: Decimal, kind: str) -> None:
    array = to_array([float(number), None], ColumnType.parse(f"decimal{kind}"))
    assert array.to_pylist() == [number, None]


@given(st.floats(-1e7, 1e7))
def test_a_double_is_taken_as_a_decimal_only_when_that_gives_it_back(number: float) -> None:
    try:
        (made,) = to_array([number], ColumnType.parse("decimal(12,2)")).to_pylist()
    except (ValueError, pa.ArrowException):
        return
    assert float(made) == number


def test_a_column_without_a_known_type_names_the_remedy(file: Path) -> None:
    fill(file, "TEXT", "x")
    query = "SELECT id, upper(v) AS u FROM t"
    with pytest.raises(SourceError, match="column `u` whose type SQLite does not know") as caught:
        read(file, query)
    assert "columns: {u: {type: …}}" in caught.value.remedy
    assert read(file, query, "columns: {u: {type: text}}") == ["X"]


@pytest.mark.parametrize(
    "query",
    ["SELECT id, v AS Value FROM t", "SELECT id, v, v FROM t", "SELECT id, v AS `a b` FROM t"],
)
def test_a_column_whose_name_cannot_be_used_is_refused_with_the_remedy(
    file: Path, query: str
) -> None:
    fill(file, "TEXT", "x")
    with pytest.raises(SourceError, match="gives a column the name") as caught:
        read(file, query)
    assert "AS a_name" in caught.value.remedy


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT id, v FROM nowhere", "no such table: nowhere"),
        ("SELECT id, amuont FROM t", "no such column: amuont"),
        ("SELECT id, v FROM t WHERE nofunc(v)", "no such function: NOFUNC"),
    ],
)
def test_a_query_that_the_source_refuses_is_one_sentence(
    file: Path, query: str, reason: str
) -> None:
    fill(file, "TEXT", "x")
    with pytest.raises(SourceError, match=reason) as caught:
        read(file, query)
    assert "The query of d failed for campaign SP17" in caught.value.message


def test_text_that_is_not_utf8_is_an_error(file: Path) -> None:
    fill(file, "TEXT")
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO t (v) VALUES (CAST(x'FF' AS TEXT))")
    connection.close()
    with pytest.raises(SourceError, match="The query of d failed for campaign SP17"):
        read(file)


def test_what_looks_like_a_parameter_inside_a_literal_is_text(file: Path) -> None:
    """The literal ' :note' was taken for a parameter."""
    fill(file, "TEXT", "a :note", "bound")
    query = "SELECT id, v FROM t WHERE v = 'a :note' OR v = :note ORDER BY id"
    assert read(file, query) == ["a :note", "bound"]


def test_the_snapshot_does_not_see_what_is_written_meanwhile(file: Path) -> None:
    fill(file, "INTEGER", 1, 2, 3)
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    query = dataset("SELECT id, v FROM t")
    with open_source(f"sqlite:///{file}").snapshot(query, BINDINGS) as snapshot:
        assert snapshot.fingerprint(()).records == 3
        writer.execute("INSERT INTO t (v) VALUES (4)")
        assert sum(batch.num_rows for batch in snapshot.batches()) == 3
        assert snapshot.fingerprint(()).records == 3
    writer.close()
    assert len(read(file)) == 4


def test_a_source_that_is_being_written_is_a_transient_error(file: Path) -> None:
    fill(file, "INTEGER", 1)
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    source = SqliteSource(sa.make_url(f"sqlite:///{file}"), patience_seconds=0)
    snapshot = source.snapshot(dataset("SELECT id, v FROM t"), BINDINGS)
    with pytest.raises(TransientError, match="the source is locked"), snapshot:
        pass
    writer.close()
    assert read(file) == [1]


def test_the_source_is_never_written(file: Path) -> None:
    fill(file, "INTEGER", 1)
    before = file.read_bytes()
    read(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_many_batches_hold_every_record_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_sqlite, "CELLS_PER_BATCH", 2_000)
    fill(file, "INTEGER", *range(2_500))
    assert read(file) == list(range(2_500))


def test_a_source_that_is_not_there_or_no_database_says_so(tmp_path: Path, file: Path) -> None:
    with pytest.raises(SourceError, match="is not there"):
        read(file)
    assert not file.exists()
    other = tmp_path / "text"
    other.write_text("not a database, but text of some length" * 100)
    with pytest.raises(SourceError, match="not a database"):
        read(other)
    (check,) = open_source(f"sqlite:///{other}").check()
    assert not check.ok
    assert check.remedy


def test_a_url_that_names_no_source_is_refused_without_showing_it() -> None:
    for url in ("oracle://user:secret@host/db", "nonsense", "sqlite://", ""):
        with pytest.raises(PermanentError, match="names no system") as caught:
            open_source(url)
        assert "secret" not in str(caught.value)
