"""A value that is not what was read must be found, on its way and ever after, and named."""

import json
import re
from collections.abc import Iterator

import pyarrow as pa
import pytest

from etl_assets.core import redshift_sql
from etl_assets.core.errors import ProofError
from etl_assets.core.manifest import Stage
from etl_assets.kept import stage_path
from etl_assets.systems import duckdb_tables
from etl_assets.systems.source_sqlite import SqliteSnapshot
from etl_assets.verify import Verified, verify
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

DOCUMENT = """\
dataset: sales
primary_key: [sale_id]
source_proof: all
columns: {note: {type: varchar(40)}, remark: {type: varchar(40)}}
query: |
  SELECT sale_id, amount, CONCAT('n', sale_id) AS note, CONCAT('r', sale_id) AS remark
  FROM sales WHERE sold_at >= :starts_at AND sold_at < :ends_before
"""
CHANGED = "CASE WHEN sale_id = 3 THEN 'other' ELSE note END"
EXCHANGED = "CASE sale_id WHEN 3 THEN 'n4' WHEN 4 THEN 'n3' ELSE note END"


@pytest.fixture(params=["duckdb", "redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A small platform on each warehouse, whose records have two texts."""
    small.write_dataset(DOCUMENT)
    if request.param == "duckdb":
        return DuckDBPlatform(small)
    return RedshiftPlatform(small, request.getfixturevalue("redshift"))


def verified(platform: Platform, *, source: bool = False) -> Verified:
    """Verify the only slice there is."""
    settings = platform.settings()
    warehouse, staging = settings.open_warehouse(), settings.open_staging()
    origin = settings.open_source() if source else None
    (found,) = verify(settings.datasets, warehouse, staging, key="SP17", source=origin)
    return found


def plant(monkeypatch: pytest.MonkeyPatch, note: str) -> None:
    """Let loads put another text into the column `note`."""
    from_csv, insert_slice = duckdb_tables.from_csv, redshift_sql.insert_slice

    def other_csv(stage: Stage) -> str:
        return from_csv(stage).replace('"note"', note)

    def other_insert(schema: str, stage: Stage, number: int = 0) -> str:
        head, select, rest = insert_slice(schema, stage, number).partition(" SELECT ")
        return head + select + rest.replace('"note"', note)

    monkeypatch.setattr(duckdb_tables, "from_csv", other_csv)
    monkeypatch.setattr(redshift_sql, "insert_slice", other_insert)


def test_a_text_changed_by_the_load_is_named_and_the_old_slice_stays(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.chain.refresh()
    before = platform.query("SELECT * FROM sales ORDER BY sale_id")
    plant(monkeypatch, CHANGED)
    with pytest.raises(ProofError, match=r"campaign SP17 .* the checksum of `note` is") as raised:
        platform.chain.load(platform.chain.stage(), force=True)
    assert "remark" not in raised.value.message
    assert platform.query("SELECT * FROM sales ORDER BY sale_id") == before


def test_texts_that_two_records_exchanged_in_the_load_are_noticed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, EXCHANGED)
    said = "the values of `note`, `remark` are the same but in other records"
    with pytest.raises(ProofError, match=said):
        platform.chain.refresh()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("note", "'other'", "the checksum of `note` is"),
        ("remark", "NULL", "`remark` has 13 values that are not NULL instead of 14"),
        ("amount", "amount + 1", "the sum of `amount` is"),
    ],
)
def test_a_value_changed_in_the_table_is_named(
    platform: Platform, column: str, value: str, said: str
) -> None:
    platform.chain.refresh()
    assert verified(platform).faults == ()
    platform.write(f"UPDATE sales SET {column} = {value} WHERE sale_id = 3")
    (fault,) = verified(platform).faults
    assert said in fault
    assert set(re.findall(r"`(\w+)`", fault)) == {column}


def test_records_that_came_or_went_are_counted(platform: Platform) -> None:
    platform.chain.refresh()
    platform.write("DELETE FROM sales WHERE sale_id = 3")
    assert verified(platform).faults == ("13 records in sales, 14 committed.",)
    platform.write("UPDATE sales SET campaign_key = 'XX'")
    settings = platform.settings()
    found = list(verify(settings.datasets, settings.open_warehouse(), settings.open_staging()))
    assert [(one.key, one.records, len(one.faults)) for one in found] == [
        ("SP17", 0, 1), ("XX", 13, 1),
    ]  # fmt: skip
    assert "the ledger has no load of" in found[1].faults[0]


@pytest.mark.parametrize("what", ["part", "manifest"])
@pytest.mark.parametrize("content", [None, b"something else"])
def test_what_is_kept_of_a_load_is_verified_too(
    platform: Platform, what: str, content: bytes | None
) -> None:
    staged = platform.chain.stage()
    platform.chain.load(staged)
    platform.damage(staged.parts[0].path if what == "part" else stage_path(staged), content)
    (fault,) = verified(platform).faults
    assert "SP17" in fault or "sidecar" in fault or "part-00000" in fault


def test_a_load_of_an_earlier_release_is_compared_by_its_counts(platform: Platform) -> None:
    staged = platform.chain.stage()
    old = staged.model_copy(update={"fingerprint": None})
    platform.damage(stage_path(staged), old.model_dump_json().encode())
    platform.chain.load(old)
    found = verified(platform)
    assert (found.faults, len(found.notes)) == ((), 1)
    assert "earlier release" in found.notes[0]


def test_a_source_that_has_changed_since_is_told_with_its_column_and_is_no_fault(
    platform: Platform,
) -> None:
    platform.chain.refresh()
    (note,) = verified(platform, source=True).notes
    assert note.startswith("The source is as it was at ")
    assert note.endswith(": 4 columns are equal.")
    platform.small.run_sql("UPDATE sales SET amount = amount + 1 WHERE sale_id = 3")
    changed = verified(platform, source=True)
    assert changed.faults == ()
    assert changed.notes[0].startswith("The source has changed since ")
    assert set(re.findall(r"`(\w+)`", changed.notes[0])) == {"amount"}


def test_a_text_changed_while_it_is_extracted_is_named_and_nothing_is_stored(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.write_dataset(DOCUMENT)
    batches = SqliteSnapshot.batches

    def others(self: SqliteSnapshot) -> Iterator[pa.RecordBatch]:
        for batch in batches(self):
            notes = ["other" if note == "n3" else note for note in batch["note"].to_pylist()]
            at = batch.schema.get_field_index("note")
            yield batch.set_column(at, "note", pa.array(notes, pa.string()))

    monkeypatch.setattr(SqliteSnapshot, "batches", others)
    platform = DuckDBPlatform(small)
    with pytest.raises(ProofError, match=r"campaign SP17 .* the checksum of `note` is") as raised:
        platform.chain.extract()
    assert "remark" not in raised.value.message
    assert platform.settings().open_staging().objects() == []


def test_the_command_says_what_differs_and_ends_with_1(small: Small) -> None:
    small.write_dataset(DOCUMENT)
    platform, command = DuckDBPlatform(small), CommandLine.of(small)
    platform.chain.refresh()
    done = command.run("verify", "--source")
    assert done.returncode == 0, done.stderr
    assert "sales SP17: equal, 14 records. The source is as it was at " in done.stdout
    platform.write("UPDATE sales SET note = 'other' WHERE sale_id = 3")
    done = command.run("verify", "--key", "SP17", "--json")
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert "the checksum of `note` is" in found["faults"][0]
    assert "No table has a slice of campaign NO" in command.run("verify", "--key", "NO").stderr
