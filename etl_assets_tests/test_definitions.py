"""What Dagster loads.

At risk: what people and the daemon find. A renamed asset or job loses its history, a schedule
that is off refreshes nothing, and an import that reaches for the network fails at night.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import yaml

from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.definitions import build_defs
from etl_assets.schedules import REFRESH_JOB
from etl_assets.settings import Settings
from etl_assets_tests.small import Small

ROOT = Path(__file__).parents[1]
CHAINS = {
    f"{dataset}/{asset}"
    for dataset in ("campaign_sales", "campaign_redemptions")
    for asset in ("rds_extract", "s3_staging_csv", "redshift_table")
}
TABLES = {
    f"source/{table}"
    for table in ("campaign_descriptions", "campaign_households", "coupon_redemptions", "coupons",
                  "demographics", "products", "transactions")
}  # fmt: skip
BEHIND = {
    f"{dataset}/{dataset}_{view}"
    for dataset in ("campaign_sales", "campaign_redemptions")
    for view in ("by_campaign", "deduplicated")
} | {
    "campaign_sales/campaign_sales_season_to_date", "campaign_sales/campaign_sales_season_over_season",
    "reader/campaign-sales", "reader/coupon-response", "reader/sales-of-the-season",
    "reader/season-comparison",
}  # fmt: skip
SOURCES = (
    "campaign_descriptions", "campaign_households", "coupon_redemptions", "coupons",
    "demographics", "displays", "household_profile", "price_list", "products", "store_targets",
)  # fmt: skip
INPUTS = {f"inputs/{source}" for source in SOURCES}
DELIVERED = {f"source/{source}" for source in SOURCES}
REGISTRY = {
    "registry/campaigns",
    "registry/campaign_sales_rules",
    "registry/campaign_redemptions_rules",
}

FEEDS = {
    f"feed/{name}"
    for name in ("product_planning_products", "strategic_campaign_results", "supply_chain_units")
}

LOAD_WITHOUT_NETWORK = """
import socket

def refuse(*_args, **_kwargs):
    raise AssertionError("a socket was opened")

socket.socket.connect = refuse
socket.getaddrinfo = refuse
import etl_assets.definitions as module

assert not list(__import__("pathlib").Path(".").iterdir()), "importing wrote a file"
names = sorted(job.name for job in module.defs().resolve_all_job_defs())
assert not list(__import__("pathlib").Path(".").iterdir()), "loading wrote a file"
print(names)
"""


@pytest.fixture
def defs(tmp_path: Path) -> dg.Definitions:
    return build_defs(Settings(home=tmp_path / "absent"))


def test_definitions_load_without_network_and_without_writing_anything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_NETWORK],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.strip()
        == "['__ASSET_JOB', 'clean', 'decide_slice', 'deliver_feeds', 'deliver_feeds_of_keys',"
        " 'freshness', 'load_inputs', 'prune', 'refresh']"
    )


def test_the_asset_keys_are_those_people_know(defs: dg.Definitions) -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys == CHAINS | TABLES | REGISTRY | BEHIND | INPUTS | DELIVERED | FEEDS


def test_each_chain_runs_from_source_and_registry_to_the_table(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()

    def parents(key: str) -> set[str]:
        node = graph.get(dg.AssetKey(key.split("/")))
        return {parent.to_user_string() for parent in node.parent_keys}

    assert parents("campaign_redemptions/rds_extract") == {
        "source/coupon_redemptions", "source/coupons", "source/products", "registry/campaigns",
    }  # fmt: skip
    rules = "registry/campaign_redemptions_rules"
    assert parents("campaign_redemptions/s3_staging_csv") == {
        "campaign_redemptions/rds_extract", rules,
    }  # fmt: skip
    assert parents("campaign_redemptions/redshift_table") == {
        "campaign_redemptions/s3_staging_csv", rules,
    }  # fmt: skip


def test_chains_and_registry_have_the_campaigns_as_partitions(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in CHAINS | REGISTRY:
        partitions = graph.get(dg.AssetKey(key.split("/"))).partitions_def
        assert isinstance(partitions, dg.DynamicPartitionsDefinition)
        assert partitions.name == "campaigns"


def test_the_registry_is_observed_and_never_materialized(defs: dg.Definitions) -> None:
    nodes = [defs.resolve_asset_graph().get(dg.AssetKey(k.split("/"))) for k in sorted(REGISTRY)]
    assert {(n.is_observable, n.is_materializable, n.group_name) for n in nodes} == {
        (True, False, "registry")
    }
    assert {kind for node in nodes for kind in node.kinds} == {"file"}


def test_kinds_name_the_systems_there_are(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    kinds = {
        asset: graph.get(dg.AssetKey(["campaign_sales", asset])).kinds
        for asset in ("rds_extract", "s3_staging_csv", "redshift_table")
    }
    assert kinds == {
        "rds_extract": {"sqlite", "parquet"},
        "s3_staging_csv": {"file", "csv"},
        "redshift_table": {"duckdb", "table"},
    }


def test_each_check_is_partitioned_like_its_asset_but_the_one_of_all_keys(
    defs: dg.Definitions,
) -> None:
    graph = defs.resolve_asset_graph()
    checks = {key.to_user_string(): graph.get(key) for key in graph.asset_check_keys}
    of_inputs = {
        f"{source}:{check}"
        for source in INPUTS
        for check in ("files_are_accepted", "delivers_in_time")
    }
    assert set(checks) - of_inputs == {
        f"{dataset}/{check}"
        for dataset in ("campaign_sales", "campaign_redemptions")
        for check in (
            "s3_staging_csv:rule_examples_hold",
            "redshift_table:follows_source",
            "redshift_table:is_fresh",
            "redshift_table:slice_equals_ledger",
            "redshift_table:each_record_once",
            "redshift_table:no_key_is_failed_or_late",
        )
    } | {f"{feed}:not_empty" for feed in FEEDS} | {
        f"feed/{feed}:is_delivered" for feed in ("strategic_campaign_results", "supply_chain_units")
    }  # fmt: skip
    one_for_all = ("feed/strategic", "feed/supply")
    standing = {
        name
        for name in checks
        if name.endswith(":no_key_is_failed_or_late") or name.startswith(one_for_all)
    } | of_inputs
    assert {checks[name].partitions_def for name in standing} == {None}
    assert {check.partitions_def for name, check in checks.items() if name not in standing} == {
        dg.DynamicPartitionsDefinition(name="campaigns")
    }


def test_jobs_and_everything_else_run_in_one_process(defs: dg.Definitions) -> None:
    assert defs.executor is dg.in_process_executor
    jobs = [defs.resolve_job_def(name) for name in ("refresh", "prune")]
    assert [job.executor_def.name for job in jobs] == ["in_process", "in_process"]
    assert defs.resolve_implicit_global_asset_job_def().executor_def.name == "in_process"


def test_schedules_are_on_at_three_and_fourteen_utc(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    found = {
        s.name: (s.job_name, s.cron_schedule, s.execution_timezone, s.default_status)
        for s in repository.schedule_defs
    }
    on = dg.DefaultScheduleStatus.RUNNING
    assert found == {
        "refresh_schedule": ("refresh", "0 3,14 * * *", "UTC", on),
        "prune_schedule": ("prune", "0 3,14 * * *", "UTC", on),
        "clean_schedule": ("clean", "30 5 * * *", "UTC", on),
    }


def test_the_sensor_is_on_and_looks_within_a_minute(defs: dg.Definitions) -> None:
    sensor = defs.get_repository_def().get_sensor_def("registry_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert (sensor.minimum_interval_seconds or 0) <= 60


def test_cron_and_time_zone_are_settings(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, schedule="30 5 * * 1", schedule_time_zone="Europe/Paris")
    for schedule in build_defs(settings).get_repository_def().schedule_defs:
        daily = schedule.name == "clean_schedule"
        assert schedule.cron_schedule == ("30 5 * * *" if daily else "30 5 * * 1")
        assert schedule.execution_timezone == "Europe/Paris"


def test_a_cron_expression_that_is_none_is_refused_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="ETL_ASSETS_SCHEDULE is 'every noon', which is no"):
        build_defs(Settings(home=tmp_path, schedule="every noon"))


def test_a_new_dataset_is_one_file_and_gives_one_chain(small: Small) -> None:
    small.write_dataset("dataset: more\nprimary_key: [a]\nquery: SELECT sale_id AS a FROM sales\n",
                        "more")  # fmt: skip
    graph = build_defs(small.settings()).resolve_asset_graph()
    added = {k.to_user_string() for k in graph.get_all_asset_keys() if k.path[0] == "more"}
    assert added == {
        "more/rds_extract", "more/s3_staging_csv", "more/redshift_table",
        "more/more_by_campaign", "more/more_deduplicated",
    }  # fmt: skip
    job = build_defs(small.settings()).resolve_job_def(REFRESH_JOB)
    assert "more__redshift_table" in job.graph.node_dict


def test_a_dataset_with_a_typo_does_not_load_and_names_the_field(small: Small) -> None:
    small.write_dataset("dataset: more\nprimry_key: [a]\nquery: SELECT 1 AS a\n", "more")
    with pytest.raises(DocumentError, match="`primry_key` is not a known field"):
        build_defs(small.settings())


def test_overridden_resources_take_the_place_of_the_environments(small: Small) -> None:
    class Other(dg.ConfigurableResource[None]):
        """Another source."""

    other = Other()
    defs = build_defs(replace(small.settings()), resource_overrides={"source": other})
    assert defs.resources is not None
    assert defs.resources["source"] is other


def test_the_workspace_file_names_these_definitions() -> None:
    from etl_assets.home import WORKSPACE

    ours = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    assert ours == yaml.safe_load(WORKSPACE)
