"""The sensor that tells people of problems.

At risk: an outage that nobody is told of, a message a minute about the same one, a receiver
that is down and takes the message with it, and a secret that leaves with one.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets.definitions import build_defs
from etl_assets.resources import build_resources
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.receivers import WebReceiver, mail_receiver, web_receiver
from etl_assets_tests.small import Small
from etl_assets_tests.test_health import RUNNING, fail
from etl_assets_tests.test_input_assets import Sources


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def platform(small: Small, tmp_path: Path, web: WebReceiver) -> Iterator[Platform]:
    small.write_campaigns(RUNNING)
    with open_platform(small, tmp_path) as opened:
        opened.sense()  # the campaigns are new: none of them is late before the next tick
        yield opened.with_(alert_webhook=web.url)


def sensor_of(platform: Platform) -> dg.SensorDefinition:
    return build_defs(platform.settings).get_repository_def().get_sensor_def("alerts_sensor")


def sense(platform: Platform) -> Any:  # noqa: ANN401
    """Evaluate the sensor once, with what it remembers."""
    defs = build_defs(platform.settings)
    with dg.build_sensor_context(
        instance=platform.instance,
        instance_ref=platform.instance.get_ref(),
        cursor=platform.kept.get("alerts"),
        repository_def=defs.get_repository_def(),
        resources={"registry": build_resources(platform.settings)["registry"]},
    ) as context:
        tick = defs.get_repository_def().get_sensor_def("alerts_sensor").evaluate_tick(context)
    platform.kept["alerts"] = tick.cursor
    return tick


def test_nothing_is_sent_and_the_sensor_is_off_until_a_channel_is_configured(
    platform: Platform, web: WebReceiver
) -> None:
    fail(platform, "SP17")
    off = platform.with_(alert_webhook="")
    assert sensor_of(off).default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor_of(platform).default_status is dg.DefaultSensorStatus.RUNNING
    assert sense(off).skip_message == (
        "No channel is configured; set one of the ETL_ASSETS_ALERT_… variables."
    )
    assert web.documents == []


def test_a_failed_run_is_told_once_and_that_it_is_over_once(
    platform: Platform, web: WebReceiver
) -> None:
    sense(platform)
    assert web.documents == []
    fail(platform, "SP17")
    sense(platform)
    sense(platform)
    fail(platform, "SP17")
    sense(platform)
    assert web.titles == ["SP17 failed"]
    assert web.documents[0]["text"] == "sales: The source refused the login. Check the password."
    platform.run("SP17")
    sense(platform)
    sense(platform)
    assert web.titles == ["SP17 failed", "Over: SP17 failed"]
    fail(platform, "SP17")
    sense(platform)
    assert web.titles == ["SP17 failed", "Over: SP17 failed", "SP17 failed"]


def test_keys_that_are_late_are_told_as_one(platform: Platform, web: WebReceiver) -> None:
    with ExitStack() as stack:
        folder = platform.small.home / "fresh"
        folder.mkdir()
        fresh = stack.enter_context(open_platform(platform.small, folder))
        sense(fresh.with_(alert_webhook=web.url))
    assert web.titles == ["Keys are late in sales"]
    assert "2 keys are due in sales: 0 failed, 2 late. SP17 late:" in web.documents[0]["text"]


def test_a_failed_check_is_told_with_what_it_says(platform: Platform, web: WebReceiver) -> None:
    platform.run("SP17")
    platform.warehouse_sql("DELETE FROM sales WHERE sale_id = 3")
    check = dg.AssetCheckKey(dg.AssetKey(["sales", "redshift_table"]), "slice_equals_ledger")
    job = build_defs(platform.settings).resolve_implicit_global_asset_job_def()
    job.get_subset(asset_check_selection={check}).execute_in_process(
        instance=platform.instance, tags={"dagster/partition": "SP17"}
    )
    sense(platform)
    sense(platform)
    (document,) = web.documents
    assert document["title"] == "The check slice_equals_ledger of sales failed for SP17"
    assert document["text"].startswith("39 records in sales, 40 committed.")
    platform.run("SP17", tags={"etl_assets/force": "true"})
    sense(platform)
    assert web.titles[1:] == ["Over: The check slice_equals_ledger of sales failed for SP17"]


def test_a_load_that_is_held_is_told_with_what_to_do(platform: Platform, web: WebReceiver) -> None:
    platform.run("SP17")
    platform.small.run_sql("DELETE FROM sales")
    platform.run("SP17")
    sense(platform)
    sense(platform)
    (document,) = web.documents
    assert document["title"] == "The check follows_source of sales failed for SP17"
    assert "etl-assets loads approve" in document["text"]


def test_the_check_of_a_campaign_that_left_is_not_told(
    platform: Platform, web: WebReceiver
) -> None:
    platform.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(["sales", "redshift_table"]), check_name="slice_equals_ledger",
            passed=False, metadata={}, partition="GONE",
        )
    )  # fmt: skip
    sense(platform)
    assert web.documents == []


def test_a_removal_that_failed_is_told(platform: Platform, web: WebReceiver) -> None:
    platform.load("SP17", "SU17")
    assert not platform.prune([]).success
    sense(platform)
    assert web.titles == ["Keys that left the calendar were not removed"]
    assert "2 of 2 keys would be removed" in web.documents[0]["text"]
    assert platform.prune(["SP17"]).success
    sense(platform)
    assert web.titles[1:] == ["Over: Keys that left the calendar were not removed"]


def test_a_registry_that_cannot_be_read_is_told_and_ends_nothing_else(
    platform: Platform, small: Small, web: WebReceiver
) -> None:
    fail(platform, "SP17")
    sense(platform)
    small.write_campaigns("campaigns: 7")
    sense(platform)
    assert web.titles == ["SP17 failed", "The registry cannot be read"]
    small.write_campaigns(RUNNING)
    sense(platform)
    assert web.titles[2:] == ["Over: The registry cannot be read"]


def test_a_receiver_that_is_down_gets_the_message_when_it_is_back(
    platform: Platform, web: WebReceiver
) -> None:
    fail(platform, "SP17")
    fail(platform, "SU17")
    web.status = 503
    sense(platform)
    assert web.titles == ["SP17 failed"]  # and it was not asked again in the same look
    web.status = 200
    sense(platform)
    sense(platform)
    assert web.titles == ["SP17 failed", "SP17 failed", "SU17 failed"]


def test_one_channel_that_is_down_keeps_no_other_from_its_message(
    platform: Platform, web: WebReceiver
) -> None:
    web.status = 500
    fail(platform, "SP17")
    with mail_receiver() as mail:
        both = platform.with_(
            alert_email="anna@example.com", alert_smtp=f"smtp://127.0.0.1:{mail.port}"
        )
        sense(both)
        sense(both)
        assert [recipients for _, recipients, _ in mail.letters] == [["anna@example.com"]]
        assert web.titles == ["SP17 failed"] * 2
        web.status = 200
        sense(both)
        sense(both)
    assert web.titles == ["SP17 failed"] * 3
    assert len(mail.letters) == 1


def test_no_secret_leaves_with_a_message_or_stands_in_what_the_sensor_says(
    platform: Platform, web: WebReceiver, small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    platform.run("SP17")
    fail(platform, "SU17", ours=False)
    small.write_campaigns(RUNNING.replace("end: 2199-05-31", "end: hunter2-planted"))
    capfd.readouterr()
    web.status = 500
    with_secret = platform.with_(source_password="planted")  # noqa: S106
    first = sense(with_secret)
    web.status = 200
    tick = sense(with_secret)
    assert web.titles == ["SP17 failed", "SP17 failed", "SU17 failed"]
    said = f"{web.documents}{tick.cursor}{tick.skip_message}{first.cursor}{first.skip_message}"
    assert "planted" not in said
    assert "mysql://" not in said
    logged = "".join(capfd.readouterr())
    assert web.url not in logged
    assert "T000/hunter2" not in logged


def test_a_source_whose_file_is_quarantined_and_that_is_late_is_told(
    platform: Platform, web: WebReceiver
) -> None:
    folder = platform.small.home / "contracts"
    folder.mkdir()
    (folder / "shops.yaml").write_text(
        "source: shops\nprimary_key: [shop]\ncolumns: {shop: {type: bigint}}\n"
        "deliver_within_hours: 24\n",
        encoding="utf-8",
    )
    Sources(platform).deliver("shops/may.csv", "number\n1\n")
    Sources(platform).run()
    sense(platform)
    sense(platform)
    assert sorted(web.titles) == [
        "The check delivers_in_time of source shops failed",
        "The check files_are_accepted of source shops failed",
    ]
    said = {one["title"]: one["text"] for one in web.documents}
    assert "Nothing of may.csv was loaded: It has no column `shop`" in said[max(said)]
