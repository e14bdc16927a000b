"""What DuckDB sums must be what the definition says, value by value."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etl_assets.core import fingerprint_groups as groups
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import StagingError
from etl_assets.core.fingerprint import Fingerprint, differences, named_differences
from etl_assets.proof import fingerprint_parquet
from etl_assets.systems.fingerprint_duckdb import fingerprint_of
from etl_assets_tests.prints import COLUMNS, records, reference, same, values

Records = Sequence[Mapping[str, object]]


def arrow(columns: Sequence[Column], found: Records) -> pa.Table:
    arrays = [pa.array([r[c.name] for r in found], c.type.arrow()) for c in columns]
    return pa.Table.from_arrays(arrays, names=[c.name for c in columns])


def printed(columns: Sequence[Column], found: Records) -> Fingerprint:
    with duckdb.connect() as connection:
        connection.register("found", arrow(columns, found))
        return fingerprint_of(connection, columns, groups.groups_of(columns), "found")


@given(records(COLUMNS, unbounded=True))
def test_duckdb_sums_what_the_definition_says(found: list[dict[str, object]]) -> None:
    assert same(printed(COLUMNS, found), reference(COLUMNS, found))


@given(st.data())
def test_one_changed_value_is_noticed_and_its_column_named(data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(COLUMNS))
    found = data.draw(records([column], most=6).filter(bool))
    at = data.draw(st.integers(0, len(found) - 1))
    old = found[at][column.name]
    new = data.draw(values(column.type).filter(lambda v: v != old))
    changed = [*found[:at], {column.name: new}, *found[at + 1 :]]
    said = differences(printed([column], found), printed([column], changed))
    assert said
    assert all(f"`{column.name}`" in one for one in said)


@given(st.data())
def test_a_value_that_is_there_twice_cancels_nothing(data: st.DataObject) -> None:
    column = data.draw(st.sampled_from([c for c in COLUMNS if c.type.name != "boolean"]))
    one, other = data.draw(
        st.lists(values(column.type).filter(bool), min_size=2, max_size=2, unique=True)
    )
    twice, pair = ([{column.name: v}, {column.name: v}] for v in (one, other))
    assert differences(printed([column], twice), printed([column], pair))


def test_up_here_and_down_there_is_noticed_where_the_total_is_no_sum() -> None:
    for column in COLUMNS:
        if column.type.name in ("date", "timestamp", "text"):
            sql = {"text": "chr((65 + n)::INTEGER)"}.get(
                column.type.name,
                f"({column.type.duckdb} '2017-03-01' + to_days((n // 1)::INTEGER))",
            )
            with duckdb.connect() as connection:
                prints = [
                    fingerprint_of(
                        connection,
                        [column],
                        groups.groups_of([column]),
                        f"(SELECT CAST({sql} AS {column.type.duckdb}) AS {column.name}"
                        f" FROM (VALUES {numbers}) AS t(n))",
                    )
                    for numbers in ("(3), (8)", "(4), (7)")
                ]
            assert differences(*prints), column.type


def test_parts_have_one_fingerprint_together(tmp_path: Path) -> None:
    columns = [c for c in COLUMNS if c.type.name in ("integer", "text", "double")]
    found = [
        {c.name: {"integer": n, "text": str(n), "double": n / 7}[c.type.name] for c in columns}
        for n in range(10)
    ]
    files = []
    for number, some in enumerate((found[:3], found[3:])):
        files.append(tmp_path / f"part-{number}.parquet")
        pq.write_table(arrow(columns, some), files[-1])
    together, wanted = groups.groups_of(columns), reference(columns, found)
    assert same(fingerprint_parquet(files, columns, together, tmp_path), wanted)
    assert fingerprint_parquet(files[::-1], columns, together, tmp_path).digest == wanted.digest
    assert same(fingerprint_parquet([], columns, together, tmp_path), reference(columns, []))
    with pytest.raises(StagingError, match="cannot be read back"):
        fingerprint_parquet(files, COLUMNS, (), tmp_path)


@given(st.data())
def test_two_records_that_exchange_a_cell_are_noticed(data: st.DataObject) -> None:
    kinds = ("varchar(40)", "binary", "varchar(9)")  # narrow enough for one group
    columns = [Column(name=f"t{n}", type=ColumnType.parse(k)) for n, k in enumerate(kinds)]
    one, other = data.draw(
        st.lists(
            st.fixed_dictionaries({c.name: values(c.type) for c in columns}), min_size=2, max_size=2
        )
    )
    name = data.draw(st.sampled_from([c.name for c in columns]))
    assume(one[name] != other[name] and {**one, name: None} != {**other, name: None})
    exchanged = [{**one, name: other[name]}, {**other, name: one[name]}]
    before, after = printed(columns, [one, other]), printed(columns, exchanged)

    def singly(names: Collection[str]) -> tuple[Fingerprint, Fingerprint]:
        some = [c for c in columns if c.name in names]
        return reference(some, [one, other], groups.singly(some)), reference(
            some, exchanged, groups.singly(some)
        )

    (said,) = named_differences(before, after, singly)
    assert said.endswith("are the same but in other records")


def test_more_columns_than_a_statement_takes_are_still_one_fingerprint() -> None:
    columns = [Column(name=f"w{n}", type=COLUMNS[n % len(COLUMNS)].type) for n in range(600)]
    nothing = [{c.name: None for c in columns}] * 3
    found = printed(columns, nothing)
    assert same(found, reference(columns, nothing))
    assert len(found.columns) == 600
    assert found.records == 3


def test_only_what_a_condition_says_is_summed() -> None:
    column = Column(name="n", type=COLUMNS[2].type)
    with duckdb.connect() as connection:
        relation = "(SELECT range::INTEGER AS n, range % 2 = 0 AS even FROM range(10))"
        found = fingerprint_of(
            connection, [column], (), relation, where="even = ?", bindings=[True]
        )
    assert (found.records, found.columns[0].total) == (5, "20")
