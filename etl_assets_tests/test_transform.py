"""Between extract and parts no value may change, vanish or come from elsewhere unnoticed."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from etl_assets import received
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.csv_record import length_sql
from etl_assets.core.errors import RuleError, StagingError
from etl_assets.core.manifest import RuleCount, Stage
from etl_assets.rules import transform
from etl_assets.rules.engine import close_off, engine, read_extract
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

HEAD = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, note FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
"""
FILTER = "  - {id: some, kind: filter, keep: quantity > 0}\n"
CAST = "  - {id: number, kind: cast, column: note, type: integer, on_error: POLICY}\n"


@pytest.fixture
def small(small: Small) -> Small:
    """Notes of SP17: 11 numbers, one NULL and two that are none."""
    small.run_sql(
        "UPDATE sales SET note = sale_id * 10",
        "UPDATE sales SET note = 'about 7' WHERE sale_id = 1",
        "UPDATE sales SET note = '1.5' WHERE sale_id = 2",
        "UPDATE sales SET note = NULL WHERE sale_id = 3",
    )
    return small


def stage(small: Small, rules: str, more: str = "") -> Stage:
    small.write_dataset(f"{HEAD}{more}rules:\n{rules}")
    return Chain(small.settings()).stage()


def test_a_value_that_cannot_be_cast_fails_the_key_with_counts_and_records(small: Small) -> None:
    with pytest.raises(RuleError) as caught:
        stage(small, CAST.replace("POLICY", "fail"))
    assert "The rules of sales for campaign SP17 do not fit 2 records" in caught.value.message
    assert "rule `number`, `note` = 'about 7' in the record sale_id=1" in caught.value.message
    assert "rule `number`, `note` = '1.5' in the record sale_id=2" in caught.value.message
    assert not list((small.home / "staging").glob("stage/**/*.json"))


def test_rejected_records_are_counted_listed_and_not_loaded(small: Small) -> None:
    staged = stage(small, CAST.replace("POLICY", "reject"))
    assert (staged.source_records, staged.records, staged.rejected) == (14, 12, 2)
    assert staged.rule_counts == (
        RuleCount(outcome="rejected", rule="number", column="note", records=2),
    )
    assert staged.rejects is not None
    with Chain(small.settings()).settings.open_staging().fetch([staged.rejects]) as (file,):
        assert file.read_text().splitlines() == [
            "rule,column,value,record", "number,note,1.5,sale_id=2", "number,note,about 7,sale_id=1",
        ]  # fmt: skip


def test_nulled_values_are_counted_and_their_records_loaded(small: Small) -> None:
    staged = stage(small, CAST.replace("POLICY", "null"))
    assert (staged.records, staged.rejected, staged.rejects) == (14, 0, None)
    assert staged.rule_counts == (
        RuleCount(outcome="nulled", rule="number", column="note", records=2),
    )
    chain = Chain(small.settings())
    chain.load(staged)
    notes = dict(chain.query("SELECT sale_id, note FROM sales"))
    assert notes == {n: n * 10 for n in range(14)} | {1: None, 2: None, 3: None}


@pytest.mark.parametrize(("allowed", "fails"), [(0, True), (1, True), (2, False)])
def test_more_rejected_records_than_allowed_fail_the_key(
    small: Small, allowed: int, *, fails: bool
) -> None:
    rules, more = CAST.replace("POLICY", "reject"), f"max_rejected: {allowed}\n"
    if fails:
        with pytest.raises(RuleError, match=f"2 rejected records, more than the {allowed} allowed"):
            stage(small, rules, more)
    else:
        assert stage(small, rules, more).rejected == 2


def test_filtered_records_are_counted_also_where_the_condition_is_null(small: Small) -> None:
    small.run_sql("UPDATE sales SET quantity = NULL WHERE sale_id = 5")
    staged = stage(small, FILTER)
    assert (staged.source_records, staged.records, staged.filtered) == (14, 9, 5)
    assert staged.rule_counts == (
        RuleCount(outcome="filtered", rule="some", column=None, records=5),
    )


def test_a_derivation_that_cannot_be_computed_names_its_rule(small: Small) -> None:
    rules = FILTER + (
        "  - {id: fine, kind: derive, column: a, type: bigint, expression: quantity + 1}\n"
        "  - {id: broken, kind: derive, column: b, type: integer, expression: CAST(note AS INTEGER)}\n"
        "  - {id: unused, kind: derive, column: c, type: text, expression: note}\n"
    )
    with pytest.raises(RuleError, match="for campaign SP17 do not fit 1 record: ") as caught:
        stage(small, rules)
    assert "rule `broken`, `b` computed of note=about 7, in the record" in caught.value.message
    assert caught.value.remedy


def test_a_rule_that_names_a_missing_column_is_refused_before_anything_is_written(
    small: Small,
) -> None:
    with pytest.raises(RuleError, match="there is no column `quantty` here; did you mean"):
        stage(small, FILTER.replace("quantity", "quantty"))


def test_a_record_longer_than_copy_takes_is_named_before_anything_is_staged(small: Small) -> None:
    texts = [f"t{n}" for n in range(66)]
    selected = ", ".join(
        f"CASE WHEN sale_id = 7 THEN printf('%.*c', 65535, 'x') ELSE note END AS {t}" for t in texts
    )
    head = HEAD.replace("quantity, note FROM", f"quantity, {selected} FROM")
    typed = "".join(f"  {t}: {{type: text}}\n" for t in texts)
    small.write_dataset(f"{head}columns:\n{typed}")
    message = r"record sale_id=7 of sales for campaign SP17 takes 4,328,\d+ bytes.* 4,194,304 of"
    with pytest.raises(RuleError, match=message):
        Chain(small.settings()).stage()
    assert not list((small.home / "staging").glob("stage/**/*.json"))
    rules = f"rules:\n  - {{id: less, kind: select, columns: [sale_id, {', '.join(texts[3:])}]}}\n"
    small.write_dataset(f"{head}columns:\n{typed}{rules}")
    assert Chain(small.settings()).stage().records == 14


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 'a"ü' * 20_000), ("text", None), ("binary", b"\x00\xff" * 30_000), ("binary", None),
        ("varchar(9)", '"""""""""'), ("decimal(38,37)", Decimal("-0." + "1" * 37)),
        ("date", dt.date(2017, 1, 1)), ("double", -1.7976931348623157e308),
    ],
)  # fmt: skip
def test_a_record_is_never_longer_than_its_length_says(kind: str, value: object) -> None:
    column = Column(name="a", type=ColumnType.parse(kind))
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t (a {column.type.duckdb})")
        connection.execute("INSERT INTO t VALUES (?)", [value])
        row = connection.execute(f"SELECT {length_sql([column])} FROM t").fetchone()
    shown = value.hex() if isinstance(value, bytes) else str(value)
    written = len(shown.encode()) + shown.count('"') + len(',""\n')
    assert row is not None
    assert written <= row[0] <= written + 60


def test_a_key_of_which_nothing_is_left_has_no_parts(small: Small) -> None:
    staged = stage(small, FILTER.replace("> 0", "> 99"))
    assert (staged.records, staged.filtered, staged.parts) == (0, 14, ())
    assert Chain(small.settings()).load(staged).records == 0


def test_many_parts_hold_every_record_once(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "PARQUET_PART_BYTES", 1)
    monkeypatch.setattr("etl_assets.systems.source_sqlite.CELLS_PER_BATCH", 4_000)
    small.run_sql(
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 4099)"
        " INSERT INTO sales SELECT i, '2017-04-01 10:00:00', i % 4, i, i FROM n"
    )
    staged = stage(small, FILTER)
    assert len(staged.parts) > 3
    chain = Chain(small.settings())
    loaded = chain.load(staged)
    assert loaded.records == staged.records == 3010
    assert chain.query("SELECT count(DISTINCT sale_id) FROM sales") == [(3010,)]


def test_the_rules_can_reach_no_file_but_the_extract_and_the_parts(
    small: Small, tmp_path: Path
) -> None:
    """The second fence: should an expression get through the first, it finds nothing."""
    chain = Chain(small.settings())
    extracted = chain.extract()
    with (
        engine(tmp_path / "scratch") as connection,
        chain.settings.open_staging().fetch(extracted.parts) as files,
    ):
        read_extract(connection, extracted.columns, files)
        close_off(connection, {tmp_path / "scratch", *(file.parent for file in files)})
        assert connection.execute("SELECT count(*) FROM extract").fetchone() == (14,)
        for reach in (
            "SELECT * FROM read_text('/etc/passwd')",
            f"SELECT * FROM read_csv('{tmp_path}/../*')",
            "COPY (SELECT 1) TO '/tmp/stolen.csv'",
            f"ATTACH '{tmp_path}/other.duckdb'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
            "SET memory_limit = '10GB'",
        ):
            with pytest.raises(duckdb.Error, match=r"disabled|locked"):
                connection.execute(reach)
        with pytest.raises(duckdb.Error):
            connection.execute("SELECT getenv('HOME')")


def test_an_interrupted_statement_waits_for_no_other_thread(tmp_path: Path) -> None:
    """With reads by other threads, one of about a hundred interruptions never comes back."""
    with engine(tmp_path) as connection:
        settings = connection.execute(
            "SELECT current_setting('threads'), current_setting('async_threads')"
        ).fetchone()
    assert settings == (1, 0)


def test_rules_that_take_too_long_are_ended_with_a_sentence(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regular expression cannot run away in RE2; a join of everything with everything could."""
    with engine(longest_seconds=0.2) as connection, pytest.raises(duckdb.InterruptException):
        connection.execute("SELECT count(*) FROM range(10000000) a, range(10000000) b").fetchall()
    monkeypatch.setattr(transform, "engine", lambda folder: engine(folder, longest_seconds=0.0))
    monkeypatch.setattr(transform, "run", lambda connection, _: connection.execute(
        "SELECT count(*) FROM range(10000000) a, range(10000000) b").fetchall())  # fmt: skip
    with pytest.raises(RuleError, match="The rules of sales for campaign SP17 took too long"):
        stage(small, FILTER)


def test_parts_are_not_made_from_an_extract_that_was_changed(small: Small) -> None:
    chain = Chain(small.settings())
    extracted = chain.extract()
    path = small.home / "staging" / extracted.parts[0].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StagingError, match="was changed or cut short"):
        chain.stage(extracted=extracted)
    assert not list((small.home / "staging").glob("stage/**/*.json"))
