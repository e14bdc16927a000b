"""What only Redshift does: COPY from S3, lengths in bytes, load errors, keys of distribution.

The manifest and the parts are read by the cluster, not by us; what it cannot check must be
found out before readers see it.
"""

import contextlib
import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
import redshift_connector
import zstandard
from click.testing import CliRunner

from etl_assets.cli import cli
from etl_assets.core.errors import EtlError, StagingError, WarehouseError
from etl_assets.core.manifest import Stage, copy_manifest
from etl_assets.rules import transform
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Check, Warehouse
from etl_assets.systems.warehouse_redshift import RedshiftWarehouse
from etl_assets_tests.commits import commit_load
from etl_assets_tests.small import COUNTS, DATASET, Small
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.systems.platforms import RedshiftPlatform
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]


@pytest.fixture
def platform(redshift: Redshift, small: Small) -> RedshiftPlatform:
    """A small platform, nothing loaded yet."""
    return RedshiftPlatform(small, redshift)


def set_notes(platform: RedshiftPlatform, **notes: str) -> None:
    """Write notes into the source: `s3` is that of sale 3."""
    with sqlite3.connect(platform.small.home / "source.sqlite") as source:
        for name, text in notes.items():
            source.execute("UPDATE sales SET note = ? WHERE sale_id = ?", [text, int(name[1:])])
    source.close()


def test_the_table_has_redshifts_types_and_the_datasets_keys(platform: RedshiftPlatform) -> None:
    platform.small.write_dataset(
        DATASET.replace(
            "primary_key", "distribution_key: sale_id\nsort_keys: [sold_on]\nprimary_key"
        )
    )
    platform.refresh()
    described = platform.query(
        "SELECT \"column\", type, distkey, sortkey FROM pg_table_def WHERE tablename = 'sales'"
    )
    assert described == [
        ("sale_id", "bigint", True, 0),
        ("sold_at", "timestamp without time zone", False, 0),
        ("quantity", "bigint", False, 0),
        ("amount", "numeric(10,2)", False, 0),
        ("note", "character varying(65535)", False, 0),
        ("sold_on", "date", False, 1),
        ("campaign_key", "character varying(64)", False, 0),
        ("load_id", "character varying(64)", False, 0),
        ("loaded_at", "timestamp without time zone", False, 0),
    ]


def test_the_same_table_needs_no_change_at_the_second_load(platform: RedshiftPlatform) -> None:
    platform.small.write_dataset("on_schema_change: freeze\n" + DATASET)
    platform.refresh()
    assert platform.refresh().replaced_records == 14


def cast_note(length: int, policy: str = "evolve") -> str:
    rule = f"  - {{id: short, kind: cast, column: note, type: varchar({length})}}\n"
    return f"on_schema_change: {policy}\n{DATASET}{rule}"


def note_type(platform: RedshiftPlatform) -> str:
    ((kind,),) = platform.query(
        "SELECT type FROM pg_table_def WHERE tablename = 'sales' AND \"column\" = 'note'"
    )
    return str(kind)


def test_a_text_that_grows_widens_its_column_and_one_that_shrinks_does_not(
    platform: RedshiftPlatform,
) -> None:
    platform.small.write_dataset(cast_note(100))
    platform.refresh()
    assert note_type(platform) == "character varying(400)"
    platform.small.write_dataset(cast_note(200))
    platform.refresh("AU17")
    assert note_type(platform) == "character varying(800)"
    platform.small.write_dataset(cast_note(50))
    platform.refresh()
    assert note_type(platform) == "character varying(800)"
    assert platform.counts() == {"SP17": 14, "AU17": 13}


def test_a_frozen_table_is_not_widened(platform: RedshiftPlatform) -> None:
    platform.small.write_dataset(cast_note(100))
    platform.refresh()
    before = platform.state()
    platform.small.write_dataset(cast_note(200, "freeze"))
    with pytest.raises(WarehouseError, match=r"`note` needs VARCHAR\(800\)"):
        platform.refresh()
    assert (platform.state(), note_type(platform)) == (before, "character varying(400)")


def test_a_text_too_long_for_redshift_names_file_line_column_value_and_record(
    platform: RedshiftPlatform,
) -> None:
    platform.refresh()
    before = platform.state()
    set_notes(platform, s2="two\nlines", s5="ü" * 40_000)
    staged = platform.chain.stage()
    with pytest.raises(WarehouseError) as caught:
        platform.load(staged)
    message = caught.value.message
    part = re.escape(platform.settings().open_staging().uri(staged.parts[0].path))
    assert re.search(
        rf"SP17 failed: String length exceeds DDL length in column `note` = 'ü{{60}}'…"
        rf" \(80,000 bytes\) of the record sale_id='5', line \d+ of {part}; the table is as it was",
        message,
    )
    assert caught.value.remedy.startswith("Correct the value at the source")
    assert platform.state() == before


def test_a_value_of_another_type_names_its_record_too(platform: RedshiftPlatform) -> None:
    staged = platform.chain.stage()
    number = staged.columns[0].type
    columns = tuple(
        c.model_copy(update={"type": number}) if c.name == "note" else c for c in staged.columns
    )
    with pytest.raises(
        WarehouseError,
        match=r"Invalid digit.*`note` = 'plain' of the record sale_id='2', line 3 of",
    ):
        platform.load(staged.model_copy(update={"columns": columns}))
    assert platform.warehouse.loads() == []
    assert platform.columns() == []


def test_a_load_error_is_found_where_there_are_only_stl_tables_or_only_sys_views(
    platform: RedshiftPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl_assets.systems import redshift_load_error

    set_notes(platform, s5="x" * 70_000)
    both = redshift_load_error._QUERIES
    for query in both:
        monkeypatch.setattr(redshift_load_error, "_QUERIES", ("SELECT nothing", query))
        with pytest.raises(WarehouseError, match="sale_id='5'"):
            platform.refresh()
    monkeypatch.setattr(redshift_load_error, "_QUERIES", ("SELECT nothing",))
    with pytest.raises(WarehouseError, match=r"failed: Load into table 'etl_staging_0' failed"):
        platform.refresh()


def test_the_null_token_is_never_a_text_of_the_data(
    platform: RedshiftPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COPY makes NULL of it even in quotes, and nothing would tell."""
    drawn = iter(["aaaaaaaa", "bbbbbbbb"])
    planted = SimpleNamespace(token_hex=lambda _: next(drawn))
    monkeypatch.setattr(transform, "secrets", planted)
    set_notes(platform, s1="~Naaaaaaaa~", s2="~Nbbbbbbbb")
    staged = platform.chain.stage()
    assert staged.null_token == "~Nbbbbbbbb~"  # noqa: S105  (it stands for NULL)
    platform.load(staged)
    loaded = dict(platform.query("SELECT sale_id, note FROM sales WHERE sale_id IN (1, 2, 6)"))
    assert loaded == {1: "~Naaaaaaaa~", 2: "~Nbbbbbbbb", 6: None}


def restaged(platform: RedshiftPlatform, content: bytes) -> Stage:
    """Return a stage whose one part has other bytes, as if it had been written so."""
    staged = platform.chain.stage()
    staging = platform.settings().open_staging()
    folder = f"{staged.copy_manifest.rpartition('/')[0]}/again"
    with staging.scratch() as scratch:
        file = scratch / "part"
        file.write_bytes(content)
        part = staging.put(f"{folder}/part-00000.csv.zst", file)
    manifest = f"{folder}/manifest.json"
    staging.put_text(manifest, copy_manifest([part], staging.uri))
    return staged.model_copy(update={"parts": (part,), "copy_manifest": manifest})


def other_value_of_the_same_size(content: bytes) -> bytes:
    """Return a part with other amounts that has as many records and bytes."""
    text = zstandard.decompress(content)
    for digit in b"0123456789":
        changed = zstandard.compress(text.replace(b".25", b".2%c" % digit))
        if changed != content and len(changed) == len(content):
            return changed
    raise AssertionError("no digit gives a part of the same size")


def test_a_part_with_other_values_loads_and_is_found_out_before_the_commit(
    platform: RedshiftPlatform,
) -> None:
    """Size and count are right, so COPY and its manifest have nothing against it."""
    platform.refresh()
    before, staged = platform.state(), platform.chain.stage()
    file = platform.small.home / "staging" / staged.parts[0].path
    with file.open("rb") as handle:
        text = zstandard.ZstdDecompressor().stream_reader(handle).read()
    content = zstandard.compress(text.replace(staged.null_token.encode(), b"~N~"))
    planted = restaged(platform, content).model_copy(update={"null_token": "~N~"})
    platform.damage(planted.parts[0].path, other_value_of_the_same_size(content))
    with pytest.raises(StagingError, match="changed"):
        platform.load(planted)
    assert platform.query("SELECT DISTINCT status FROM sys_load_history WHERE data_source ="
                          f" '{platform.settings().open_staging().uri(planted.copy_manifest)}'"
                          ) == [("completed",)]  # fmt: skip
    assert platform.state() == before
    platform.damage(planted.parts[0].path, None)
    with pytest.raises(StagingError, match="missing"):
        platform.load(planted)


@pytest.mark.parametrize(
    "manifest", [b'{"entries": []}', b"not JSON", b"", None, "optional", "another campaign's"]
)
def test_a_manifest_that_is_not_what_was_staged_stops_the_load(
    platform: RedshiftPlatform, manifest: bytes | str | None
) -> None:
    platform.refresh()
    before, staged = platform.state(), platform.chain.stage()
    text = platform.settings().open_staging().read_text(staged.copy_manifest)
    if manifest == "optional":
        manifest = text.replace("true", "false").encode()
    elif isinstance(manifest, str):
        other = platform.chain.stage()
        manifest = text.replace(staged.load_id, other.load_id).encode()
    platform.damage(staged.copy_manifest, manifest)
    with pytest.raises(StagingError, match="manifest"):
        platform.load(staged)
    assert platform.state() == before


def test_staging_that_is_not_in_s3_is_refused_before_anything_is_done(
    platform: RedshiftPlatform,
) -> None:
    settings = platform.small.settings()
    staged = platform.chain.stage()
    with pytest.raises(WarehouseError, match=r"from S3, and they are at file:///") as caught:
        commit_load(platform.warehouse, staged, settings.open_staging())
    assert "ETL_ASSETS_STAGING" in caught.value.remedy
    assert platform.warehouse.loads() == []


def test_a_role_that_may_not_read_shows_what_redshift_says(
    platform: RedshiftPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = platform.warehouse
    staged = platform.chain.stage()
    staging = platform.settings().open_staging()
    monkeypatch.setattr(staging, "uri", lambda path: f"s3://no-such-bucket/{path}")
    with pytest.raises(EtlError) as caught:
        commit_load(warehouse, staged, staging)
    assert "manifest" in caught.value.message
    assert platform.warehouse.loads() == []


def test_both_drivers_of_redshift_read_the_same_values(platform: RedshiftPlatform) -> None:
    set_notes(platform, s3="grün 漢字 😀", s4="two\nlines \\N NULL", s5="  blanks  ")
    platform.refresh()
    query = "SELECT * FROM sales ORDER BY sale_id"
    standin = platform.redshift.standin
    connection = redshift_connector.connect(
        host=standin.host, port=standin.port, user=standin.user, password=standin.password,
        database=standin.database, ssl=False,
    )  # fmt: skip
    with contextlib.closing(connection):
        cursor = connection.cursor()
        cursor.execute(query)
        connector_rows = [tuple(row) for row in cursor.fetchall()]
    rows = platform.query(query)
    assert connector_rows == rows
    assert [row[0] for row in rows] == list(range(14))
    assert [[type(value) for value in row] for row in connector_rows] == [
        [type(value) for value in row] for row in rows
    ]
    assert [row[4] for row in rows[3:6]] == ["grün 漢字 😀", "two\nlines \\N NULL", "  blanks  "]


def test_loads_at_once_end_well_at_snapshot_isolation_too(redshift: Redshift, small: Small) -> None:
    with RedshiftStandin(redshift.bucket.endpoint, isolation="snapshot") as standin:
        platform = RedshiftPlatform(small, replace(redshift, standin=standin))
        staged = [platform.chain.stage(key) for key in (*COUNTS, "SP17")]
        with ThreadPoolExecutor(len(staged)) as pool:
            list(pool.map(platform.load, staged))
        assert platform.counts() == COUNTS
        last = platform.warehouse.loads(key="SP17")[0]
        assert {row[-1] for row in platform.rows("campaign_key = 'SP17'")} == {last.load_id}


def checks_of(warehouse: Warehouse) -> dict[str, Check]:
    return {check.name: check for check in warehouse.check()}


def test_the_check_says_who_where_and_what_is_allowed(platform: RedshiftPlatform) -> None:
    platform.refresh()
    found = checks_of(platform.warehouse)
    assert all(check.ok for check in found.values())
    assert re.search(r"127\.0\.0\.1:\d+ as awsuser: Redshift 1", found["reachable"].detail)
    assert found["isolation level"].detail == "Serializable"
    assert found["tables can be made"].detail == "schema public"
    assert found["ledger writable"].detail == '1 rows in "etl_assets"."loads"'
    assert found["COPY reads S3 as"].detail == "arn:aws:iam::123456789012:role/loader"


def test_the_check_of_a_user_without_rights_names_each_that_is_missing(
    platform: RedshiftPlatform,
) -> None:
    redshift = platform.redshift
    redshift.run("DROP USER IF EXISTS guest", "CREATE USER guest PASSWORD 'Guest1234'")
    warehouse = RedshiftWarehouse(redshift.url.replace("awsuser@", "guest@"), lambda: "Guest1234")
    found = checks_of(warehouse)
    assert found["reachable"].ok
    assert not found["tables can be made"].ok
    assert "GRANT CREATE" in found["tables can be made"].remedy
    assert not found["ledger writable"].ok
    assert "permission denied" in found["ledger writable"].detail
    with pytest.raises(WarehouseError, match="permission denied"):
        commit_load(warehouse, platform.chain.stage(), platform.settings().open_staging())


def test_the_check_of_a_schema_that_is_not_there_says_so(platform: RedshiftPlatform) -> None:
    redshift = platform.redshift
    found = checks_of(RedshiftWarehouse(f"{redshift.url}&schema=nowhere", redshift.password))
    assert 'schema "nowhere" does not exist' in found["tables can be made"].detail
    assert found["ledger writable"].ok


def test_the_probe_says_what_it_found_and_leaves_no_table(platform: RedshiftPlatform) -> None:
    platform.refresh()
    before = platform.state()
    tables = "SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2"
    there = platform.query(tables)
    checks = platform.warehouse.probe(platform.settings().open_staging())
    assert all(check.ok for check in checks)
    said = "\n".join(check.detail for check in checks)
    assert "reads the staging store as arn:aws:iam::123456789012:role/loader" in said
    assert "the unquoted NULL token is NULL" in said
    assert "the quoted NULL token is NULL" in said
    assert "10 difficult texts are kept exactly" in said
    assert "bytes of length 0 are '', beside NULL" in said
    assert "moments from 0001-01-01 00:00:00 to 9999-12-31 23:59:59.999999 are kept exactly" in said
    assert "recorded as: String length exceeds DDL length, column value, line 1" in said
    assert "a snapshot begins after the wait for LOCK" in said
    assert "a late-binding view takes other columns" in said
    assert "the views over days can be made and read" in said
    assert platform.state() == before
    assert platform.query(tables) == there


def test_the_probe_of_staging_that_is_not_in_s3_says_so(platform: RedshiftPlatform) -> None:
    (check,) = platform.warehouse.probe(platform.small.settings().open_staging())
    assert not check.ok
    assert "reads staged parts from S3" in check.detail


def test_the_doctor_probes_only_when_asked(
    platform: RedshiftPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = platform.settings()
    monkeypatch.setattr(Settings, "from_environment", lambda: settings)
    for options, probed in ((["doctor"], False), (["doctor", "--probe"], True)):
        done = CliRunner().invoke(cli, [*options, "--json"])
        assert done.exit_code == 0
        names = [check["name"] for check in json.loads(done.stdout)["warehouse"]]
        assert "ledger writable" in names
        assert ("probe: LOCK" in names) == probed
