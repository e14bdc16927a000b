"""A type mapped wrongly changes a figure in a report, and nobody sees it."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from operator import attrgetter
from pathlib import Path

import pytest

from etl_assets.core.campaigns import Campaign
from etl_assets.core.errors import SourceError
from etl_assets.core.mysql_types import MYSQL_TYPES, type_rows
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.loading import load
from etl_assets.pipeline import extract, stage
from etl_assets.systems.staging import FileStaging
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.systems.mysql_cases import (
    CASES,
    POLICY_CASES,
    REFUSED,
    VALUES,
    Case,
    PolicyCase,
    Refused,
    Value,
    Way,
    create_tables,
)
from etl_assets_tests.systems.mysql_reading import make_dataset, open_mysql, read

CAMPAIGN = Campaign(key="SP17", name="", start=dt.date(2017, 3, 1), end=dt.date(2017, 5, 31))


WAYS = [(case, way) for case in POLICY_CASES for way in case.ways]


@pytest.fixture(scope="module", autouse=True)
def tables(mariadb: MariaDBServer) -> Iterator[None]:
    """A table per value."""
    mariadb.run(*create_tables(VALUES))
    yield
    mariadb.run(f"DROP TABLE {', '.join(value.table for value in VALUES)}")


def _found(value: Value, expected: object) -> list[dict[str, object]]:
    found = [{"id": 1, value.column: expected}]
    return [*found, {"id": 2, value.column: None}] if value.nullable else found


@pytest.mark.parametrize("case", CASES, ids=attrgetter("id"))
def test_a_value_arrives_as_it_is(mariadb: MariaDBServer, tmp_path: Path, case: Case) -> None:
    found = read(mariadb, tmp_path, f"SELECT id, `{case.column}` FROM {case.table}")
    assert found.kinds[case.column] == case.kind
    assert found.records == _found(case, case.expected)
    assert found.outcome.rejected == 0


@pytest.mark.parametrize("case", CASES, ids=attrgetter("id"))
def test_a_materialized_derived_table_changes_no_type(
    mariadb: MariaDBServer, tmp_path: Path, case: Case
) -> None:
    once = f"SELECT id, `{case.column}` FROM {case.table}"
    found = read(mariadb, tmp_path, f"{once} UNION ALL {once} WHERE id = 3")
    assert found.kinds[case.column] == case.kind
    assert found.records == _found(case, case.expected)


@pytest.mark.parametrize(("case", "way"), WAYS, ids=[f"{c.id}-{w.outcome}" for c, w in WAYS])
def test_a_value_that_cannot_be_kept_is_dealt_with_as_declared(
    mariadb: MariaDBServer, tmp_path: Path, case: PolicyCase, way: Way
) -> None:
    query = f"SELECT id, v FROM {case.table}"
    policies = {case.policy: way.outcome}
    if way.kind is None:
        with pytest.raises(SourceError, match=r"in the record id=1 of sales .*policies: \{"):
            read(mariadb, tmp_path, query, policies=policies)
        return
    found = read(mariadb, tmp_path, query, policies=policies)
    rejected = way.expected is ...
    assert found.kinds["v"] == way.kind
    assert found.records == _found(case, way.expected)[rejected:]
    touched = [(t.policy, t.outcome, t.records) for t in found.outcome.touched]
    assert touched == ([(case.policy, way.outcome, 1)] if way.touched else [])
    assert found.outcome.rejected == rejected
    assert [r.record for r in found.outcome.rejects] == ["id=1"] * rejected
    assert found.count == len(_found(case, None))


@pytest.mark.parametrize("case", POLICY_CASES, ids=attrgetter("id"))
def test_what_no_policy_is_written_for_fails_or_is_kept_as_text(
    mariadb: MariaDBServer, tmp_path: Path, case: PolicyCase
) -> None:
    query = f"SELECT id, v FROM {case.table}"
    if case.policy == "wide_decimal":
        assert read(mariadb, tmp_path, query).kinds["v"].startswith("varchar(")
    else:
        with pytest.raises(SourceError, match=r"in the record id=1 of sales"):
            read(mariadb, tmp_path, query)


@pytest.mark.parametrize("case", REFUSED, ids=attrgetter("id"))
def test_a_column_without_a_way_is_refused_by_name_before_anything_is_read(
    mariadb: MariaDBServer, tmp_path: Path, case: Refused
) -> None:
    with pytest.raises(SourceError, match=case.message):
        read(mariadb, tmp_path, f"SELECT id, `{case.column}` FROM {case.table}")
    found = read(mariadb, tmp_path, f"SELECT id, {case.instead} AS w FROM {case.table}")
    assert found.kinds["w"] == case.kind
    assert found.records[0] == {"id": 1, "w": case.expected}


def test_names_that_differ_only_in_their_case_are_refused(
    mariadb: MariaDBServer, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="1060"):
        read(mariadb, tmp_path, "SELECT 1 AS id, 1 AS `Order`, 2 AS `order`")


def test_a_column_s_policy_overrides_the_dataset_s(mariadb: MariaDBServer, tmp_path: Path) -> None:
    found = read(
        mariadb, tmp_path, "SELECT id, v FROM value_zero_date WHERE id = 1",
        policies={"zero_date": "fail"}, columns={"v": {"policies": {"zero_date": None}}},
    )  # fmt: skip
    assert found.records == [{"id": 1, "v": None}]


def test_rejected_records_are_listed_counted_and_part_of_the_proof(
    mariadb: MariaDBServer, tmp_path: Path
) -> None:
    query = "SELECT id, v FROM value_zero_date WHERE id = 1 UNION ALL SELECT 2, '2017-01-01'"
    query = f"SELECT id, CAST(v AS DATE) AS v FROM ({query}) u"
    dataset = make_dataset(query, policies={"zero_date": "reject"})
    staging = FileStaging(tmp_path / "staging")
    made = extract(dataset, CAMPAIGN, open_mysql(mariadb), staging, source_name="mysql")
    assert (made.source_records, made.records, made.rejected) == (2, 1, 1)
    assert made.rejects is not None
    listed = staging.read_text(made.rejects.path)
    assert listed.splitlines() == ["rule,column,value,record", "zero_date,v,0000-00-00,id=1"]
    staged = stage(dataset, CAMPAIGN, made, RuleSet(), staging)
    done = load(dataset, staged, staging, DuckDBWarehouse(tmp_path / "w.duckdb"), run_id=None)
    assert done.row is not None
    assert done.row.proof == "2 read = 1 loaded + 0 filtered + 1 rejected"
    strict = dataset.model_copy(update={"max_rejected": 0})
    with pytest.raises(SourceError, match=r"reject 1 records .* more than the 0 allowed"):
        extract(strict, CAMPAIGN, open_mysql(mariadb), staging, source_name="mysql")


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("COUNT(*)", "bigint"), ("AVG(id)", "decimal(14,4)"), ("id = 1", "integer"),
        ("id / 3", "decimal(14,4)"), ("1e0", "double"), ("TIMESTAMP '2017-03-01 01:02:03.000004'", "timestamp"), ("''", "varchar(1)"),
        ("CURDATE()", "date"), ("CONCAT(id, 'x')", "varchar(12)"), ("GROUP_CONCAT(id)", "text"),
        ("CASE WHEN id = 1 THEN 'a' ELSE 1.5 END", "varchar(4)"), ("18446744073709551615", "decimal(20,0)"),
        ("ST_AsText(ST_GeomFromText('POINT(1 2)'))", "text"), ("MD5('a')", "varchar(32)"),
    ],
)  # fmt: skip
def test_an_expression_has_the_type_the_server_says(
    mariadb: MariaDBServer, tmp_path: Path, expression: str, kind: str
) -> None:
    found = read(
        mariadb, tmp_path, f"SELECT id, {expression} AS v FROM value_bit1 WHERE id = 1 GROUP BY id"
    )
    assert found.kinds["v"] == kind
    assert found.table["v"][0].as_py() is not None


@pytest.mark.parametrize(
    ("natural", "value", "declared", "expected"),
    [
        ("TINYINT(1)", "1", "boolean", True), ("BIGINT", "3", "integer", 3),
        ("INT", "3", "text", "3"), ("DECIMAL(12,4)", "1.5000", "decimal(12,2)", Decimal("1.50")),
        ("DATE", "'2017-01-02'", "text", "2017-01-02"), ("VARCHAR(9)", "'abc'", "varchar(3)", "abc"),
        ("BIGINT UNSIGNED", "7", "bigint", 7), ("DATE", "'0000-00-00'", "text", "0000-00-00"),
    ],
)  # fmt: skip
def test_a_declared_type_is_the_column_s_type(
    mariadb: MariaDBServer,
    tmp_path: Path,
    natural: str,
    value: str,
    declared: str,
    expected: object,
) -> None:
    mariadb.run("SET sql_mode = ''", "DROP TABLE IF EXISTS declared",
                f"CREATE TABLE declared (id INT, v {natural})",
                f"INSERT INTO declared VALUES (1, {value})")  # fmt: skip
    query = "SELECT id, v FROM declared"
    found = read(mariadb, tmp_path, query, columns={"v": {"type": declared}})
    assert found.kinds["v"] == declared
    assert found.records == [{"id": 1, "v": expected}]


@pytest.mark.parametrize(
    ("natural", "value", "declared", "message"),
    [
        ("TINYINT(1)", "2", "boolean", "'2' in `v`, which is boolean, in the record id=1"),
        ("BIGINT", "5000000000", "integer", "'5000000000' in `v`, which is integer"),
        ("DECIMAL(12,4)", "1.5001", "decimal(12,2)", r"'1\.5001' in `v`, which is decimal\(12,2\)"),
        ("VARCHAR(9)", "'abcd'", "varchar(3)", "'abcd' in `v`, which is varchar"),
        ("VARCHAR(9)", "'1'", "integer", "declares integer"),
        ("DOUBLE", "1", "decimal(10,2)", "declares decimal"),
        ("DATETIME", "'2017-01-01'", "date", "declares date"),
    ],
)
def test_a_declared_type_that_would_change_a_value_is_refused(
    mariadb: MariaDBServer, tmp_path: Path, natural: str, value: str, declared: str, message: str
) -> None:
    mariadb.run("DROP TABLE IF EXISTS refused", f"CREATE TABLE refused (id INT, v {natural})",
                f"INSERT INTO refused VALUES (1, {value})")  # fmt: skip
    with pytest.raises(SourceError, match=message):
        read(mariadb, tmp_path, "SELECT id, v FROM refused", columns={"v": {"type": declared}})


def test_a_column_of_nulls_needs_a_declared_type(mariadb: MariaDBServer, tmp_path: Path) -> None:
    query = "SELECT 1 AS id, NULL AS v"
    with pytest.raises(SourceError, match="no way through"):
        read(mariadb, tmp_path, query)
    found = read(mariadb, tmp_path, query, columns={"v": {"type": "date"}})
    assert (found.kinds["v"], found.records) == ("date", [{"id": 1, "v": None}])


def test_every_line_of_the_type_table_is_one_way(mariadb: MariaDBServer) -> None:
    del mariadb
    rows = list(type_rows())
    assert len(rows) == len(MYSQL_TYPES) == len({(t.code, t.variant) for t in MYSQL_TYPES})
    assert all("{" not in cell for row in rows for cell in row[:-1] if "digits" not in cell)
