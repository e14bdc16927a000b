"""`etl-assets health` and `etl-assets alerts test`, as their users run them.

At risk: a monitor outside that is told that all is well, and a secret on a screen.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.receivers import WebReceiver, mail_receiver, web_receiver
from etl_assets_tests.small import Small
from etl_assets_tests.test_health import KEY, RUNNING


@pytest.fixture
def command_line(small: Small) -> CommandLine:
    small.write_campaigns(RUNNING)
    return CommandLine.of(small)


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


def test_a_refresh_makes_the_platform_well_and_reports_the_check(
    command_line: CommandLine,
) -> None:
    before = command_line.run("health")
    assert before.returncode == 1
    assert "2 keys are due in sales: 0 failed, 2 late." in before.stdout
    assert "SP17" in before.stdout
    assert command_line.run("refresh").returncode == 0
    after = command_line.run("health")
    assert (after.returncode, after.stdout) == (
        0,
        "2 keys are due in sales; none is failed or late.\n",
    )
    with command_line.instance() as instance:
        storage = instance.event_log_storage
        record = storage.get_latest_asset_check_execution_by_key([KEY])[KEY]
        assert record.evaluation
        assert record.evaluation.passed
        runs = instance.get_runs(dg.RunsFilter(job_name="refresh"))
        assert len(runs) == 2


def test_a_failed_refresh_is_seen_at_once_and_the_json_has_every_key(
    command_line: CommandLine, small: Small
) -> None:
    small.run_sql("ALTER TABLE sales RENAME COLUMN quantity TO pieces")
    assert command_line.run("refresh").returncode == 1
    done = command_line.run("health", "--json")
    assert done.returncode == 1
    (dataset,) = json.loads(done.stdout)
    assert (dataset["dataset"], dataset["due"], dataset["failed"], dataset["late"]) == (
        "sales", 2, 2, 0,
    )  # fmt: skip
    assert {key["key"]: key["is"] for key in dataset["keys"]} == {
        "SP17": "failed",
        "SU17": "failed",
    }
    assert "no such column: quantity" in dataset["keys"][0]["lacks"]
    with command_line.instance() as instance:
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([KEY])[KEY]
        assert record.evaluation
        assert not record.evaluation.passed
        assert "SP17 failed" in str(record.evaluation.description)


def test_the_test_message_goes_to_every_channel(
    command_line: CommandLine, web: WebReceiver
) -> None:
    with mail_receiver() as mail:
        done = command_line.run(
            "alerts", "test",
            ETL_ASSETS_ALERT_WEBHOOK=web.url,
            ETL_ASSETS_ALERT_SLACK=web.url,
            ETL_ASSETS_ALERT_EMAIL="anna@example.com",
            ETL_ASSETS_ALERT_SMTP=f"smtp://127.0.0.1:{mail.port}",
        )  # fmt: skip
    assert done.stdout.splitlines() == [
        "webhook (127.0.0.1): sent.",
        "Slack webhook (127.0.0.1): sent.",
        f"e-mail (anna@example.com by 127.0.0.1:{mail.port}): sent.",
    ]
    assert done.returncode == 0
    assert [d.get("event", "slack") for d in web.documents] == ["test", "slack"]
    assert len(mail.letters) == 1


def test_a_channel_that_does_not_take_it_is_named_without_its_url(
    command_line: CommandLine, web: WebReceiver
) -> None:
    web.status = 404
    tried = command_line.run("alerts", "test", "--json", ETL_ASSETS_ALERT_SLACK=web.url)
    assert tried.returncode == 1
    (row,) = json.loads(tried.stdout)
    assert row["error"].startswith("The Slack webhook at 127.0.0.1 answered 404.")
    looked = command_line.run("doctor", ETL_ASSETS_ALERT_SLACK=web.url)
    for done in (tried, looked):
        assert "hunter2" not in done.stdout + done.stderr


def test_without_a_channel_nothing_is_sent_and_it_says_so(
    command_line: CommandLine, tmp_path: Path
) -> None:
    done = command_line.run("alerts", "test", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("No channel is configured")
