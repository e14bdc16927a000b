"""Raw sources in Dagster: their files are noticed, loaded once, shown, and missed.

At risk: a file that nobody loads, one that is loaded twice, and a source that stopped delivering
while everything looks well.
"""

import contextlib
import datetime as dt
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from etl_assets import input_sensor
from etl_assets.core.errors import SourceError
from etl_assets.core.inputs.contract import parse_contract
from etl_assets.core.inputs.delivery import judge_delivery, judge_latest
from etl_assets.core.inputs.files import LoadedFile
from etl_assets.definitions import build_defs
from etl_assets.input_assets import ACCEPTED, DELIVERS, INPUTS_JOB
from etl_assets.input_events import input_key
from etl_assets.input_sensor import SOURCE_TAG, Memory
from etl_assets.resources import InputsResource, build_resources
from etl_assets_tests.dagster_fixtures import Platform, failures, open_platform
from etl_assets_tests.small import Small
from etl_assets_tests.ui_answers import ask

CONTRACT = """\
source: shops
description: A shop.
owner: team:sales
primary_key: [shop]
columns:
  shop: {type: bigint, comment: Its number.}
  town: {type: varchar(20)}
deliver_within_hours: 24
"""
TOWNS = "source: towns\nprimary_key: [town]\ncolumns:\n  town: {type: varchar(20)}\n"


@dataclass
class Sources:
    """Raw sources beside a small platform."""

    platform: Platform
    kept: dict[str, Any] = field(default_factory=dict)

    def contract(self, text: str, name: str) -> None:
        """Write a contract."""
        folder = self.platform.small.home / "contracts"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")

    def deliver(self, name: str, text: str, *, hours_ago: float = 1) -> None:
        """Put a file where it arrives."""
        file = self.platform.small.home / "staging" / "inputs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        moment = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours_ago)).timestamp()
        os.utime(file, (moment, moment))

    def sense(self) -> Any:  # noqa: ANN401
        """Evaluate the sensor once, and do with the outcome what the daemon does with it."""
        settings = self.platform.settings
        defs = build_defs(settings)
        instance = self.platform.instance
        with dg.build_sensor_context(
            instance=instance,
            instance_ref=instance.get_ref(),
            cursor=self.kept.get("cursor"),
            repository_def=defs.get_repository_def(),
            resources={"inputs": build_resources(settings)["inputs"]},
        ) as context:
            tick = defs.get_repository_def().get_sensor_def("inputs_sensor").evaluate_tick(context)
        for event in tick.asset_events:
            instance.report_runless_asset_event(event)
        self.kept["cursor"] = tick.cursor
        return tick

    def run(
        self, source: str = "shops", resources: dict[str, object] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Load what a source delivered."""
        defs = build_defs(self.platform.settings, resource_overrides=resources)
        return defs.resolve_job_def(INPUTS_JOB).execute_in_process(
            instance=self.platform.instance,
            asset_selection=[input_key(source)],
            tags={SOURCE_TAG: source},
            raise_on_error=False,
        )

    def towns(self) -> list[tuple[object, ...]]:
        """Return what is in the source's table."""
        file = self.platform.small.home / "source.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as connection:
            return connection.execute("SELECT shop, town FROM shops ORDER BY shop").fetchall()


@pytest.fixture
def sources(small: Small, tmp_path: Path) -> Iterator[Sources]:
    """A platform with one raw source that has delivered nothing."""
    with open_platform(small, tmp_path) as platform:
        made = Sources(platform)
        made.contract(CONTRACT, "shops")
        yield made


def asked(tick: Any) -> list[str]:  # noqa: ANN401
    """Return the sources that a tick asks a run for."""
    return [request.tags[SOURCE_TAG] for request in tick.run_requests]


def checks(tick: Any) -> dict[str, tuple[bool, str]]:  # noqa: ANN401
    """Return what a tick says of checks."""
    return {
        event.check_name: (event.passed, event.description or "")
        for event in tick.asset_events
        if isinstance(event, dg.AssetCheckEvaluation)
    }


def made(result: dg.ExecuteInProcessResult) -> list[dict[str, Any]]:
    """Return the metadata of what a run materialized."""
    return [
        {name: value.value for name, value in one.materialization.metadata.items()}
        for one in (e.step_materialization_data for e in result.get_asset_materialization_events())
    ]


def test_a_file_that_arrived_is_asked_for_once_and_loaded(sources: Sources) -> None:
    assert asked(sources.sense()) == []
    sources.deliver("shops/may.csv", "shop,town\n1,Bonn\n2,Köln\n")
    assert asked(sources.sense()) == ["shops"]
    assert asked(sources.sense()) == []  # a run was asked for just now
    result = sources.run()
    assert result.success
    (shown,) = made(result)
    assert {n: shown[n] for n in ("rows", "accepted", "rejected", "inserted", "status")} == {
        "rows": 2, "accepted": 2, "rejected": 0, "inserted": 2, "status": "loaded",
    }  # fmt: skip
    assert shown["file"].endswith("inputs/shops/may.csv")
    assert sources.towns() == [(1, "Bonn"), (2, "Köln")]
    assert asked(sources.sense()) == []
    assert made(sources.run()) == []  # nothing is new


def test_files_are_loaded_in_order_of_arrival_each_with_an_event(sources: Sources) -> None:
    sources.deliver("shops/a.csv", "shop,town\n1,Bonn\n", hours_ago=1)
    sources.deliver("shops/b.csv", "shop,town\n1,Köln\n", hours_ago=2)
    told = made(sources.run())
    assert [one["file"].rpartition("/")[2] for one in told] == ["b.csv", "a.csv"]
    assert sources.towns() == [(1, "Bonn")]


def test_a_run_that_failed_is_asked_for_again_after_a_while(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(InputsResource):
        def open(self) -> Any:  # noqa: ANN401
            raise SourceError("The database refused the login.", "Check the password.")

    sources.deliver("shops/may.csv", "shop,town\n1,Bonn\n")
    assert asked(sources.sense()) == ["shops"]
    failed = sources.run(resources={"inputs": Broken(url="", staging_url="", contracts="")})
    assert failures(failed) == {
        "inputs__shops": "The database refused the login. Check the password."
    }
    assert asked(sources.sense()) == []
    monkeypatch.setattr(input_sensor, "ASKED_AGAIN_SECONDS", 0)
    assert asked(sources.sense()) == ["shops"]


def test_nothing_is_asked_for_while_a_run_loads_the_source(sources: Sources) -> None:
    sources.contract(TOWNS, "towns")
    sources.deliver("shops/may.csv", "shop,town\n1,Bonn\n")
    sources.deliver("towns/all.csv", "town\nBonn\n")
    sources.platform.instance.create_run_for_job(
        job_def=build_defs(sources.platform.settings).resolve_job_def(INPUTS_JOB),
        tags={SOURCE_TAG: "shops"},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert asked(sources.sense()) == ["towns"]


def test_rejected_rows_are_a_warning_that_shows_them(sources: Sources) -> None:
    sources.contract(CONTRACT + "most_rejected_percent: 60\n", "shops")
    sources.deliver("shops/may.csv", "shop,town\n1,Bonn\nx,Köln\n")
    result = sources.run()
    (shown,) = made(result)
    assert shown["rejected"] == 1
    assert "is not a number" in shown["rejects"].replace("&#", "")
    said = {e.check_name: e for e in result.get_asset_check_evaluations()}
    assert not said[ACCEPTED].passed
    assert said[ACCEPTED].severity is dg.AssetCheckSeverity.WARN
    assert "1 of 2 rows of may.csv were rejected; inputs-rej" in (said[ACCEPTED].description or "")
    assert said[DELIVERS].passed


def test_a_quarantined_file_fails_the_check_and_is_shown_with_its_reason(sources: Sources) -> None:
    sources.deliver("shops/may.csv", "number,place\n1,Bonn\n")
    result = sources.run()
    assert result.success
    assert made(result) == []
    (seen,) = result.get_asset_observation_events()
    metadata = seen.asset_observation_data.asset_observation.metadata
    assert metadata["status"].value == "quarantined"
    logged = result.filter_events(
        lambda e: e.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    )
    said = {e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data for e in logged}
    assert not said[ACCEPTED].passed
    assert said[ACCEPTED].severity is dg.AssetCheckSeverity.ERROR
    assert "no column `shop`" in (said[ACCEPTED].description or "")
    assert not said[DELIVERS].passed  # a file that nobody can read is no delivery
    assert asked(sources.sense()) == []


def test_what_a_terminal_loaded_and_undid_is_told_to_dagster(sources: Sources) -> None:
    sources.deliver("shops/may.csv", "shop,town\n1,Bonn\n")
    inputs = sources.platform.settings.open_inputs()
    (file,) = inputs.pending("shops")
    inputs.load(file)
    tick = sources.sense()
    events = [e for e in tick.asset_events if isinstance(e, dg.AssetMaterialization)]
    assert [e.metadata["status"].value for e in events] == ["loaded"]
    assert checks(tick)[ACCEPTED] == (True, "may.csv: 1 row: 1 new")
    inputs.undo("shops", "may.csv")
    tick = sources.sense()
    events = [e for e in tick.asset_events if isinstance(e, dg.AssetMaterialization)]
    assert [e.metadata["removed"].value for e in events] == [1]
    assert [
        e for e in sources.sense().asset_events if not isinstance(e, dg.AssetCheckEvaluation)
    ] == []


def test_a_source_that_does_not_deliver_fails_its_check_without_a_run(sources: Sources) -> None:
    passed, said = checks(sources.sense())[DELIVERS]
    assert not passed
    assert said.startswith("Source shops has not delivered anything yet; it is to deliver every 24")
    sources.deliver("shops/may.csv", "shop,town\n1,Bonn\n", hours_ago=30)
    sources.run()
    passed, said = checks(sources.sense())[DELIVERS]
    assert not passed
    assert said.startswith("Source shops has not delivered since ")
    sources.deliver("shops/june.csv", "shop,town\n1,Köln\n", hours_ago=2)
    sources.run()
    assert checks(sources.sense())[DELIVERS][0]
    assert checks(sources.sense()) == {}  # the same is not said again


def test_a_verdict_is_by_the_newest_delivery_and_the_latest_file() -> None:
    contract = parse_contract(CONTRACT, "shops.yaml")
    now = dt.datetime(2018, 3, 2, tzinfo=dt.UTC)

    def row(number: int, status: Any, hours: float, **more: Any) -> LoadedFile:  # noqa: ANN401
        at = now - dt.timedelta(hours=hours)
        return LoadedFile(
            id=number, source="shops", path=f"inputs/shops/{number}.csv", sha256="", bytes=1,
            arrived_at=at, recorded_at=at, status=status, **more,
        )  # fmt: skip

    history = [row(3, "quarantined", 1, reason="It is cut off."), row(2, "repeated", 23, about=1),
               row(1, "loaded", 30, rows=2, accepted=1, rejected=1, rejects="r.csv")]  # fmt: skip
    assert judge_delivery(contract, history, now).passed
    assert not judge_delivery(contract, history[2:], now).passed
    assert not judge_delivery(contract, history[:1], now).passed
    assert judge_delivery(parse_contract(TOWNS, "towns.yaml"), [], now).passed
    assert judge_latest(history).is_error
    assert judge_latest([]).passed
    assert not judge_latest(history[2:]).is_error
    assert judge_latest(history[1:]) == judge_latest(history[2:])  # of the bytes, not the name


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"asked": {"a": 1}, "said": {}}'])
def test_a_cursor_of_another_form_is_forgotten(text: str) -> None:
    assert Memory.load(text) == Memory()
    full = Memory({"a": ("b", 1.0)}, {"c": "d"})
    assert Memory.load(full.dump()) == full
    assert json.loads(full.dump())


LINEAGE = """{ assetNodes { assetKey { path } groupName dependencyKeys { path }
  kinds owners { ... on TeamAssetOwner { team } } } }"""


def test_a_source_stands_before_the_table_it_is_loaded_into(sources: Sources) -> None:
    sources.contract(CONTRACT.replace("shop", "sale"), "sales")
    (answer,) = ask(sources.platform, [(LINEAGE, {})])
    nodes = {"/".join(node["assetKey"]["path"]): node for node in answer["assetNodes"]}
    before = {"/".join(key["path"]) for key in nodes["source/shops"]["dependencyKeys"]}
    assert before == {"inputs/shops"}
    assert nodes["inputs/shops"]["groupName"] == "inputs"
    assert nodes["inputs/shops"]["owners"] == [{"team": "sales"}]
    chain = {"/".join(key["path"]) for key in nodes["sales/rds_extract"]["dependencyKeys"]}
    assert "source/sales" in chain
    assert {"/".join(k["path"]) for k in nodes["source/sales"]["dependencyKeys"]} == {
        "inputs/sales"
    }


def test_without_a_contract_there_is_neither_job_nor_sensor(small: Small) -> None:
    defs = build_defs(small.settings())
    repository = defs.get_repository_def()
    assert not repository.has_job(INPUTS_JOB)
    assert "inputs_sensor" not in {sensor.name for sensor in repository.sensor_defs}
