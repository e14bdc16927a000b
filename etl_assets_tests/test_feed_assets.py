"""Feeds in Dagster: delivered after the loads they need, late ones said, and shown as assets.

At risk: a feed of half a refresh, one that nobody delivers, and one that is late unseen.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets import feed_sensor
from etl_assets.core.feeds.delivery import Delivery
from etl_assets.definitions import build_defs
from etl_assets.delivery.records import last_delivery, write_delivery
from etl_assets.feed_assets import FEEDS_JOB, FEEDS_OF_KEYS_JOB, NOT_EMPTY
from etl_assets.feed_lateness import IS_DELIVERED
from etl_assets.feed_sensor import Seen
from etl_assets.resources import build_resources
from etl_assets_tests.dagster_fixtures import Platform, open_copy, open_platform
from etl_assets_tests.delivery.platform import write_feed
from etl_assets_tests.small import Small

ALL_SALES = """\
feed: all_sales
owner: team:planning
audience: planning
description: Every sale.
select: SELECT campaign_key, sale_id, amount, quantity * 2 AS doubled FROM sales_by_campaign
columns: {doubled: {type: bigint}}
name: all.csv
deliver_by: "06:00"
"""
OWN_SALES = """\
feed: own_sales
per: key
select: SELECT sale_id, amount FROM sales WHERE campaign_key = :campaign_key
name: own_{key}.csv
"""
SEASONS = """\
campaigns:
  - {key: SP17, start: 2017-03-01, end: 2999-12-31}
  - {key: SU17, start: 2017-05-15, end: 2999-12-31}
"""
ALL_KEY = dg.AssetKey(["feed", "all_sales"])
OWN_KEY = dg.AssetKey(["feed", "own_sales"])


def build(small: Small) -> Small:
    """Write two campaigns that are due every day, and a feed of each kind."""
    small.write_campaigns(SEASONS)
    write_feed(small.home, "all_sales", text=ALL_SALES)
    write_feed(small.home, "own_sales", text=OWN_SALES)
    return small


def with_feeds(platform: Platform) -> Platform:
    return platform.with_(feeds_folder=platform.small.home / "feeds_of_test")


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    """A platform on which nothing was refreshed."""
    build(small)
    with open_platform(small, tmp_path) as opened:
        yield with_feeds(opened)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a platform on which SP17 alone was refreshed."""
    folder = tmp_path_factory.mktemp("done")
    small = build(Small(folder / "small").build())
    with open_platform(small, folder) as platform:
        assert with_feeds(platform).run("SP17").success
    return folder


@pytest.fixture
def refreshed(done: Path, tmp_path: Path) -> Iterator[Platform]:
    """A copy of it for each test."""
    with open_copy(done, tmp_path) as opened:
        yield with_feeds(opened)


def look(platform: Platform, cursor: str | None = None) -> Any:  # noqa: ANN401
    """Evaluate the sensor once, as the daemon does; return the tick's outcome."""
    defs = build_defs(platform.settings)
    resources = build_resources(platform.settings)
    with dg.build_sensor_context(
        instance=platform.instance,
        instance_ref=platform.instance.get_ref(),
        cursor=cursor,
        repository_def=defs.get_repository_def(),
        resources={name: resources[name] for name in ("registry", "staging")},
    ) as context:
        return defs.get_repository_def().get_sensor_def("feeds_sensor").evaluate_tick(context)


def asked(found: Any) -> list[str]:  # noqa: ANN401
    return sorted(str(request.run_key).rpartition(":")[0] for request in found.run_requests or [])


def deliver(platform: Platform, key: str = "", **config: object) -> dg.ExecuteInProcessResult:
    defs = build_defs(platform.settings)
    job, feed = (FEEDS_OF_KEYS_JOB, "own_sales") if key else (FEEDS_JOB, "all_sales")
    return defs.resolve_job_def(job).execute_in_process(
        instance=platform.instance, partition_key=key or None, raise_on_error=False,
        run_config={"ops": {f"feed__{feed}": {"config": config}}},
    )  # fmt: skip


def test_loads_ask_for_the_feeds_that_read_them_when_all_they_need_is_fresh(
    refreshed: Platform,
) -> None:
    first = look(refreshed)
    assert asked(first) == ["own_sales:SP17"]
    assert Seen.load(first.cursor).waiting.keys() == {"all_sales/all"}
    refreshed.run("SU17")
    second = look(refreshed, first.cursor)
    assert asked(second) == ["all_sales:all", "own_sales:SU17"]
    by_feed = {request.run_key.partition(":")[0]: request for request in second.run_requests or []}
    assert (by_feed["all_sales"].job_name, by_feed["all_sales"].partition_key) == (FEEDS_JOB, None)
    assert (by_feed["own_sales"].job_name, by_feed["own_sales"].partition_key) == (
        FEEDS_OF_KEYS_JOB, "SU17",
    )  # fmt: skip
    third = look(refreshed, second.cursor)
    assert (asked(third), Seen.load(third.cursor).waiting) == ([], {})
    assert asked(look(refreshed, "no cursor of ours")) == [
        "all_sales:all", "own_sales:SP17", "own_sales:SU17",
    ]  # fmt: skip


def test_a_delivery_is_a_materialization_with_what_people_ask_for(refreshed: Platform) -> None:
    refreshed.run("SU17")
    result = deliver(refreshed)
    assert result.success
    (made,) = result.asset_materializations_for_node("feed__all_sales")
    told = {name: value.value for name, value in made.metadata.items()}
    content = (refreshed.small.home / "feeds" / "all.csv").read_bytes()
    assert (told["dagster/row_count"], told["bytes"], told["status"]) == (
        40 + 29, len(content), "delivered",
    )  # fmt: skip
    assert str(told["destination"]).endswith("/feeds/all.csv")
    lineage = told["dagster/column_lineage"].deps_by_column  # type: ignore[union-attr]
    (dep,) = lineage["doubled"]
    assert (dep.asset_key.path[-1], dep.column_name) == ("sales_by_campaign", "quantity")
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (NOT_EMPTY, True)
    again = deliver(refreshed).asset_materializations_for_node("feed__all_sales")[0]
    assert again.metadata["status"].value == "unchanged"
    key = deliver(refreshed, "SP17").asset_materializations_for_node("feed__own_sales")[0]
    assert (key.partition, key.metadata["dagster/partition_row_count"].value) == (
        "SP17",
        40 - 26 + 26,
    )


def test_a_feed_that_is_asked_for_too_early_says_what_it_waits_for(refreshed: Platform) -> None:
    result = deliver(refreshed)
    assert not result.success
    (failed,) = [e for e in result.all_events if e.is_step_failure]
    said = failed.step_failure_data.user_failure_data.description  # type: ignore[union-attr]
    assert "The feed all_sales of all waits: not refreshed since the tick of" in str(said)
    assert "SU17 in sales" in str(said)
    assert not (refreshed.small.home / "feeds").exists()
    assert deliver(refreshed, force=True).success


def test_an_empty_delivery_fails_its_check(refreshed: Platform) -> None:
    write_feed(
        refreshed.small.home, "all_sales",
        text=ALL_SALES.replace("sales_by_campaign", "sales_by_campaign WHERE amount < 0"),
    )  # fmt: skip
    (check,) = deliver(refreshed, force=True).get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_feed_that_was_not_delivered_by_its_time_is_late(
    refreshed: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look(refreshed)
    (said,) = found.asset_events or []
    assert isinstance(said, dg.AssetCheckEvaluation)
    assert (said.check_name, said.asset_key, said.passed) == (IS_DELIVERED, ALL_KEY, False)
    assert "and it had to be by" in str(said.description)
    assert look(refreshed, found.cursor).asset_events == []  # said once
    monkeypatch.setattr(feed_sensor, "REPORTED_AGAIN_SECONDS", 0)
    assert len(look(refreshed, found.cursor).asset_events or []) == 1
    deliver(refreshed, force=True)
    (now,) = look(refreshed, found.cursor).asset_events or []
    assert isinstance(now, dg.AssetCheckEvaluation)
    assert now.passed
    staging = refreshed.settings.open_staging()
    made = last_delivery(staging, "all_sales", "all")
    assert isinstance(made, Delivery)
    old = dt.datetime(2017, 1, 1, tzinfo=dt.UTC)
    write_delivery(staging, made.model_copy(update={"delivery": "9999", "checked_at": old}))
    (late,) = look(refreshed, found.cursor).asset_events or []
    assert isinstance(late, dg.AssetCheckEvaluation)
    assert not late.passed


def test_the_check_can_be_evaluated_by_hand(platform: Platform) -> None:
    defs = build_defs(platform.settings)
    checks = [c for c in defs.asset_checks or [] if isinstance(c, dg.AssetChecksDefinition)]
    (check,) = [c for c in checks if any(k.name == IS_DELIVERED for k in c.check_keys)]
    result = dg.materialize(
        [check], instance=platform.instance, resources=defs.resources,
        selection=dg.AssetSelection.checks(check),
    )  # fmt: skip
    assert [e.passed for e in result.get_asset_check_evaluations()] == [False]


def test_feeds_are_downstream_of_what_they_read(platform: Platform) -> None:
    graph = build_defs(platform.settings).resolve_asset_graph()
    assert graph.get(ALL_KEY).parent_keys == {dg.AssetKey(["sales", "sales_by_campaign"])}
    assert graph.get(OWN_KEY).parent_keys == {dg.AssetKey(["sales", "redshift_table"])}
    assert graph.get(ALL_KEY).group_name == "feeds"
    assert graph.get(ALL_KEY).owners == ["team:planning"]
    assert graph.get(ALL_KEY).kinds == {"csv", "file"}


def test_without_feeds_there_is_neither_job_nor_sensor(platform: Platform) -> None:
    none = build_defs(platform.with_(feeds_folder=platform.small.home / "nothing").settings)
    assert "feeds_sensor" not in {sensor.name for sensor in none.sensors or []}
    assert FEEDS_JOB not in {getattr(job, "name", "") for job in none.jobs or []}
