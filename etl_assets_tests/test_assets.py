"""The chain of a dataset, run by Dagster, whole or in part.

At risk: the metadata people act on, what is repeated needlessly, and whose failure stops whom.
"""

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets.core.manifest import Extract, Stage
from etl_assets.references import FORCE_TAG
from etl_assets.settings import Settings
from etl_assets.systems.staging import sha256_of
from etl_assets_tests.dagster_fixtures import (
    CHAIN,
    OTHER_DATASET,
    Platform,
    failures,
    open_platform,
)
from etl_assets_tests.small import CAMPAIGNS, COUNTS, DATASET, MAY_BE_EMPTIED, Small

BROKEN_DATASET = "dataset: broken\nprimary_key: [a]\nquery: SELECT a FROM no_such_table\n"


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    with open_platform(small, tmp_path) as opened:
        yield opened


def test_the_chain_brings_a_campaigns_records_into_the_table(platform: Platform) -> None:
    assert platform.run("SP17").success
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


def test_the_extract_shows_where_its_records_are_and_how_many(platform: Platform) -> None:
    platform.run("SP17", "sales/rds_extract")
    shown = platform.shown("sales/rds_extract", "SP17")
    staging = platform.settings.home / "staging"
    manifest = staging / shown["etl_assets/manifest"]
    extract = Extract.model_validate_json(manifest.read_text(encoding="utf-8"))
    (part,) = [path for path in manifest.parent.iterdir() if path != manifest]
    assert shown["dagster/row_count"] == shown["source_records"] == COUNTS["SP17"]
    assert shown["dagster/uri"] == manifest.as_uri()
    assert shown["season"] == "2017-03-01 to 2017-05-31"
    assert shown["extracted_at"] == pytest.approx(extract.extracted_at.timestamp())
    assert shown["bytes"] == part.stat().st_size
    assert shown["sha256"] == {part.name: sha256_of(part)}
    assert shown["seconds"] > 0
    assert shown["unchanged"] is False
    assert _columns(shown) == {
        "sale_id": "bigint", "sold_at": "timestamp", "quantity": "bigint",
        "amount": "decimal(10,2)", "note": "text",
    }  # fmt: skip


def test_the_stage_shows_what_the_rules_did(platform: Platform) -> None:
    platform.small.write_rules(
        "version: 7\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}\n"
    )
    platform.run("SP17")
    shown = platform.shown("sales/s3_staging_csv", "SP17")
    staging = platform.settings.home / "staging"
    sidecar = staging / shown["etl_assets/manifest"]
    stage = Stage.model_validate_json(sidecar.read_text(encoding="utf-8"))
    rules = platform.settings.open_registry().read().rule_sets["sales"]
    kept = sum(1 for n in range(COUNTS["SP17"]) if n % 4)
    assert shown["dagster/row_count"] == kept
    assert shown["source_records"] == COUNTS["SP17"]
    assert shown["filtered"] == COUNTS["SP17"] - kept
    assert shown["rejected"] == 0
    assert shown["rule_version"] == 7
    assert shown["rules_sha256"] == rules.digest
    assert shown["bytes"] == sum((staging / part.path).stat().st_size for part in stage.parts)
    assert shown["sha256"] == {
        part.path.rpartition("/")[2]: sha256_of(staging / part.path) for part in stage.parts
    }
    (counted,) = shown["rule_counts"].records
    assert counted.data == {
        "rule": "some", "outcome": "filtered", "column": "", "records": COUNTS["SP17"] - kept,
    }  # fmt: skip


def test_rejected_records_are_shown_with_their_key_and_value(platform: Platform) -> None:
    platform.small.write_rules(
        "version: 2\nrules:\n"
        "  - {id: number, kind: cast, column: note, type: integer, on_error: reject}\n"
    )
    assert platform.run("SP17").success
    shown = platform.shown("sales/s3_staging_csv", "SP17")
    assert shown["rejected"] > 0
    assert shown["rejected"] + shown["dagster/row_count"] == COUNTS["SP17"]
    assert "| plain |" in shown["rejects"]
    assert "sale_id=" in html.unescape(shown["rejects"])
    assert shown["rejects_uri"].endswith("/rejects.csv")


def test_the_load_shows_the_ledgers_row(platform: Platform) -> None:
    result = platform.run("SP17")
    shown = platform.shown("sales/redshift_table", "SP17")
    (load,) = platform.loads()
    assert load.run_id == result.run_id
    assert shown["dagster/row_count"] == shown["dagster/partition_row_count"] == load.records
    assert shown["dagster/table_name"] == "sales"
    assert shown["load_id"] == load.load_id
    assert shown["loaded_at"] == pytest.approx(load.committed_at.timestamp())
    assert shown["proof"] == load.proof == "14 read = 14 loaded + 0 filtered + 0 rejected"
    assert shown["replaced_records"] == 0
    assert shown["rules_sha256"] == load.rules_digest
    assert (shown["source_records"], shown["filtered"], shown["rejected"]) == (14, 0, 0)
    assert shown["rule_version"] == 0
    assert _columns(shown)["sold_on"] == "date"


def test_every_materialization_of_a_chain_shows_the_same_facts_by_the_same_names(
    platform: Platform,
) -> None:
    platform.run("SP17")
    shown = {asset: set(platform.shown(f"sales/{asset}", "SP17")) for asset in CHAIN}
    everywhere = {
        "dagster/row_count", "dagster/column_schema", "dagster/uri", "source_records", "rejected",
        "bytes", "seconds", "sha256", "unchanged",
    }  # fmt: skip
    ruled = {"filtered", "rule_version", "rules_sha256"}
    assert everywhere <= shown["rds_extract"]
    assert everywhere | ruled <= shown["s3_staging_csv"]
    assert everywhere | ruled | {"dagster/table_name"} <= shown["redshift_table"]


def test_a_load_shows_the_parts_it_was_made_of(platform: Platform) -> None:
    platform.run("SP17")
    staged = platform.shown("sales/s3_staging_csv", "SP17")
    loaded = platform.shown("sales/redshift_table", "SP17")
    assert [loaded[n] for n in ("staged_uri", "bytes", "sha256")] == [
        staged[n] for n in ("dagster/uri", "bytes", "sha256")
    ]
    assert loaded["dagster/uri"] == f"{platform.settings.warehouse_url}/sales"


def test_a_load_shows_the_records_of_its_key_and_of_the_whole_table(platform: Platform) -> None:
    platform.run("SP17")
    platform.run("SU17")
    shown = platform.shown("sales/redshift_table", "SU17")
    assert shown["dagster/partition_row_count"] == COUNTS["SU17"]
    assert shown["dagster/row_count"] == COUNTS["SP17"] + COUNTS["SU17"]


def test_numbers_of_the_real_sample_are_in_the_metadata(
    settings: Settings, platform: Platform
) -> None:
    sample = platform.with_(
        **{name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    )
    assert sample.run("CJ24").success
    shown = sample.shown("campaign_sales/redshift_table", "CJ24")
    assert shown["dagster/row_count"] == 661
    assert shown["rule_version"] > 0
    assert sample.shown("campaign_redemptions/redshift_table", "CJ24")["dagster/row_count"] == 0
    described = {c.name: c.description for c in shown["dagster/column_schema"].columns}
    assert described["basket_id"] == "One visit of a household to a store."


def test_a_run_without_a_change_says_so_and_adds_no_row_to_the_ledger(platform: Platform) -> None:
    platform.run("SP17")
    before = {asset: platform.shown(f"sales/{asset}", "SP17") for asset in CHAIN}
    staged = _files(platform)
    assert platform.run("SP17").success
    after = {asset: platform.shown(f"sales/{asset}", "SP17") for asset in CHAIN}
    assert [after[asset]["unchanged"] for asset in CHAIN] == [True, True, True]
    assert len(platform.loads()) == 1
    assert _files(platform) == staged
    for asset in CHAIN:
        assert _lasting(after[asset]) == _lasting(before[asset])


def test_a_run_tells_what_changed_since_the_one_before(platform: Platform) -> None:
    platform.run("SP17")
    first = [platform.shown(f"sales/{asset}", "SP17") for asset in CHAIN]
    assert not any("records_changed" in shown for shown in first)  # there is none before
    platform.small.run_sql(
        "UPDATE sales SET amount = amount + 1, note = 'new' WHERE sale_id IN (2, 3)",
        "DELETE FROM sales WHERE sale_id = 4",
        "INSERT INTO sales VALUES (99, '2017-04-01 00:00:00', 7, 100.5, NULL)",
        "INSERT INTO sales VALUES (98, '2017-04-01 00:00:00', 7, 100.5, NULL)",
    )
    platform.run("SP17")
    counted = {"added": 2, "removed": 1, "changed": 2}
    for asset, earlier in (("rds_extract", first[0]), ("redshift_table", first[2])):
        shown = platform.shown(f"sales/{asset}", "SP17")
        assert {name: shown[f"records_{name}"] for name in counted} == counted
        assert shown["cells_changed"] == 4
        assert shown["changed_since"] in (earlier.get("load_id"), _extract_id(earlier))
    load_ids = first[2]["load_id"], shown["load_id"]
    assert shown["changes_shown_by"] == "`etl-assets loads diff {} {}`".format(*load_ids)
    platform.run("SP17")
    for asset in ("rds_extract", "redshift_table"):
        shown = platform.shown(f"sales/{asset}", "SP17")
        assert [shown[f"records_{name}"] for name in counted] == [0, 0, 0]
        assert shown["cells_changed"] == 0


def test_a_changed_rule_is_a_change_of_the_table_alone(platform: Platform) -> None:
    platform.run("SP17")
    platform.small.write_rules(
        "version: 1\nrules:\n  - {id: one, kind: derive, column: quantity, type: bigint, expression: quantity + 1}\n"
        "  - {id: day, kind: derive, column: sold_on, type: date, expression: CAST(sold_at AS DATE)}\n"
    )
    platform.run("SP17")
    assert platform.shown("sales/rds_extract", "SP17")["unchanged"] is True
    table = platform.shown("sales/redshift_table", "SP17")
    assert (table["records_changed"], table["cells_changed"]) == (COUNTS["SP17"], COUNTS["SP17"])


def test_what_a_step_took_is_shown_part_by_part(platform: Platform) -> None:
    platform.run("SP17")
    parts = {
        "rds_extract": {"query", "read", "proof", "profile", "store"},
        "s3_staging_csv": {"fetch", "rules", "write", "proof", "profile", "store"},
        "redshift_table": {"wait", "fetch", "swap", "proof", "commit"},
    }
    for asset, names in parts.items():
        shown = platform.shown(f"sales/{asset}", "SP17")
        took = {n.removeprefix("seconds_"): v for n, v in shown.items() if n.startswith("seconds_")}
        assert set(took) == names
        assert sum(took.values()) <= shown["seconds"] + 0.01


def test_records_are_shown_first_and_digests_last(platform: Platform) -> None:
    platform.run("SP17")
    for asset in CHAIN:
        names = list(platform.shown(f"sales/{asset}", "SP17"))
        assert names.index("records_per_day") < names.index("preview") < names.index("seconds")
        assert names.index("seconds") < names.index("sha256") < names.index("fingerprint")


def test_the_first_records_are_shown_and_their_days_of_the_season(platform: Platform) -> None:
    platform.run("SP17")
    for asset in CHAIN:
        shown = platform.shown(f"sales/{asset}", "SP17")
        header, _, first, *_ = html.unescape(shown["preview"]).split("\n")
        assert header.startswith("| sale_id | sold_at | quantity | amount | note |")
        assert first.startswith("| 0 | 2017-03-01 00:00:00 | 0 | 0.25 |  |")
        assert "14 records on 14 of the " in shown["records_per_day"]
        assert "![Records per day](data:image/svg+xml;base64," in shown["records_per_day"]


def test_a_dataset_that_says_so_shows_no_records_from_then_on(platform: Platform) -> None:
    platform.run("SP17")
    platform.small.write_dataset(f"preview: false\n{DATASET}")
    platform.run("SP17")  # nothing changed, so the manifests still have the sample
    platform.run("SU17")
    for asset in CHAIN:
        for key in ("SP17", "SU17"):
            shown = platform.shown(f"sales/{asset}", key)
            assert "preview" not in shown
            assert "records_per_day" in shown
    manifest = platform.shown("sales/rds_extract", "SU17")["etl_assets/manifest"]
    text = (platform.settings.home / "staging" / manifest).read_text(encoding="utf-8")
    extract = Extract.model_validate_json(text)
    assert extract.profile is not None
    assert extract.profile.sample == ()


def test_what_is_only_shown_does_not_fail_a_run(platform: Platform) -> None:
    platform.run("SP17")
    for part in (platform.settings.home / "staging").rglob("part-*"):
        part.unlink()
    platform.small.run_sql("DELETE FROM sales WHERE sale_id = 4")
    assert platform.run("SP17").success
    for asset in ("rds_extract", "redshift_table"):
        assert "records_changed" not in platform.shown(f"sales/{asset}", "SP17")


def test_a_forced_run_extracts_stages_and_loads_what_is_unchanged(platform: Platform) -> None:
    platform.run("SP17")
    first = platform.shown("sales/rds_extract", "SP17")["etl_assets/manifest"]
    platform.run("SP17", tags={FORCE_TAG: "true"})
    shown = [platform.shown(f"sales/{asset}", "SP17") for asset in CHAIN]
    assert [s["unchanged"] for s in shown] == [False, False, False]
    assert shown[0]["etl_assets/manifest"] != first
    assert [load.kind for load in platform.loads()] == ["load", "load"]
    assert platform.loads()[0].replaced_records == COUNTS["SP17"]
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


def test_a_changed_rule_stages_and_loads_anew_from_the_same_extract(platform: Platform) -> None:
    platform.run("SP17")
    platform.small.write_rules(
        "version: 1\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}\n"
    )
    platform.run("SP17")
    assert [platform.shown(f"sales/{a}", "SP17")["unchanged"] for a in CHAIN] == [
        True,
        False,
        False,
    ]
    assert platform.slices()["SP17"] < COUNTS["SP17"]


def test_a_stage_alone_uses_the_latest_extract(platform: Platform) -> None:
    platform.run("SP17", "sales/rds_extract")
    platform.small.run_sql("DELETE FROM sales")
    assert platform.run("SP17", "sales/s3_staging_csv").success
    assert platform.shown("sales/s3_staging_csv", "SP17")["dagster/row_count"] == COUNTS["SP17"]


def test_a_load_alone_uses_the_latest_stage(platform: Platform) -> None:
    platform.run("SP17", "sales/rds_extract", "sales/s3_staging_csv")
    platform.small.run_sql("DELETE FROM sales")
    assert platform.run("SP17", "sales/redshift_table").success
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


@pytest.mark.parametrize(
    ("asset", "upstream"),
    [("s3_staging_csv", "rds_extract"), ("redshift_table", "s3_staging_csv")],
)
def test_an_asset_alone_says_what_to_do_when_there_is_nothing_to_work_from(
    platform: Platform, asset: str, upstream: str
) -> None:
    platform.run("SU17", f"sales/{upstream}")  # of another campaign: it is no help
    result = platform.run("SP17", f"sales/{asset}")
    assert failures(result) == {
        f"sales__{asset}": f"sales/{upstream} was never materialized for campaign SP17."
        " Materialize it first, or select the whole chain."
    }


def test_a_staged_part_that_was_changed_is_not_loaded(platform: Platform) -> None:
    platform.run("SP17", "sales/rds_extract", "sales/s3_staging_csv")
    (part,) = (platform.settings.home / "staging").glob("stage/sales/SP17/*/part-*")
    part.write_bytes(part.read_bytes()[:-1])
    said = failures(platform.run("SP17", "sales/redshift_table"))["sales__redshift_table"]
    assert re.search(r"part-00000\.csv\.zst was changed or cut short", said)
    assert platform.slices() == {}


def test_a_campaign_whose_kept_objects_are_gone_is_extracted_and_staged_anew(
    platform: Platform,
) -> None:
    platform.run("SP17")
    for folder in ("extract", "stage"):
        shutil.rmtree(platform.settings.home / "staging" / folder)
    assert platform.run("SP17").success
    assert platform.shown("sales/s3_staging_csv", "SP17")["unchanged"] is False
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


def test_one_datasets_failure_does_not_stop_the_other(platform: Platform) -> None:
    platform.small.write_dataset(BROKEN_DATASET, "broken")
    result = platform.run("SP17")
    assert not result.success
    assert set(failures(result)) == {"broken__rds_extract"}
    assert "no_such_table" in failures(result)["broken__rds_extract"]
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


def test_a_problem_of_one_campaign_fails_that_campaign_alone(platform: Platform) -> None:
    platform.small.write_campaigns(CAMPAIGNS.replace("end: 2017-05-31", "end: 2017-02-30"))
    said = failures(platform.run("SP17"))["sales__rds_extract"]
    assert said.startswith("Campaign SP17 cannot be refreshed: campaigns.yaml, line 2: `end`")
    assert said.endswith(
        "Correct the campaign in the registry; the table keeps its earlier records."
    )
    assert platform.run("SU17").success


def test_a_campaign_of_some_datasets_refuses_the_others(platform: Platform) -> None:
    platform.small.write_dataset(OTHER_DATASET, "notes")
    platform.small.write_campaigns(
        "campaigns:\n  - {key: SP17, start: 2017-03-01, end: 2017-05-31, datasets: [notes]}\n"
    )
    said = failures(platform.run("SP17"))
    assert said == {
        "sales__rds_extract": "Campaign SP17 does not take part in sales."
        " Add the dataset to the campaign's `datasets`, or choose another key."
    }
    assert platform.slices("notes") == {"SP17": COUNTS["SP17"]}


def test_a_campaign_emptied_at_the_source_empties_its_slice_where_it_may(
    platform: Platform,
) -> None:
    platform.small.write_dataset(MAY_BE_EMPTIED)
    platform.run("SP17")
    platform.small.run_sql("DELETE FROM sales")
    assert platform.run("SP17").success
    assert platform.slices() == {}
    assert platform.loads()[0].replaced_records == COUNTS["SP17"]


def test_a_failed_query_leaves_the_old_slice(platform: Platform) -> None:
    platform.run("SP17")
    platform.small.write_dataset(DATASET.replace("FROM sales", "FROM gone"))
    assert not platform.run("SP17").success
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


def _columns(shown: dict[str, object]) -> dict[str, str]:
    schema = shown["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    return {column.name: column.type for column in schema.columns}


def _files(platform: Platform) -> set[str]:
    staging = platform.settings.home / "staging"
    return {str(path) for path in staging.rglob("*") if path.is_file()}


def _lasting(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of the records, without what is of the run."""
    changing = re.compile("unchanged|seconds.*|(records|cells)_(added|removed|changed)")
    return {name: value for name, value in shown.items() if not changing.fullmatch(name)}


def _extract_id(shown: dict[str, Any]) -> str:
    return str(shown.get("etl_assets/manifest", "/")).split("/")[-2]
