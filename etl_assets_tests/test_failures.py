"""What is tried again, and what is not.

At risk: a blip of a system that costs the refresh, a mistake that is tried three times, and a
person's Ctrl-C that is taken for a blip.
"""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import duckdb
import pytest
import yaml
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run

from etl_assets import failures
from etl_assets.core.errors import PermanentError, SourceError, TransientError
from etl_assets.definitions import build_defs
from etl_assets.failures import NO_RUN_RETRY, reported_to_dagster
from etl_assets.home import TEMPLATE
from etl_assets.resources import SourceResource
from etl_assets.systems.protocols import Source
from etl_assets_tests import dagster_fixtures
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import COUNTS, Small

EXTRACT = "sales__rds_extract"
_opened: list[str] = []


class FailingSource(SourceResource):
    """A source that cannot be opened the first so many times."""

    times: int
    transient: bool = True

    def open(self) -> Source:
        _opened.append(self.url)
        if len(_opened) <= self.times:
            kind = TransientError if self.transient else SourceError
            raise kind("The source is not to be had.", "Look after it.")
        return super().open()


@dataclass
class Step:
    """As much of a step's context as the reporting of failures reads."""

    retry_number: int = 0


@pytest.fixture
def platform(small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    _opened.clear()
    monkeypatch.setattr(failures, "RETRIES", dg.RetryPolicy(max_retries=2, delay=0))
    with open_platform(small, tmp_path) as opened:
        yield opened


def run(platform: Platform, times: int, *, transient: bool = True) -> dg.ExecuteInProcessResult:
    source = FailingSource(url=platform.settings.source_url, times=times, transient=transient)
    return platform.run("SP17", resources={"source": source})


def test_a_transient_failure_is_tried_again_by_the_step(platform: Platform) -> None:
    result = run(platform, times=1)
    assert result.success
    assert len(_opened) == 2
    restarts = result.filter_events(lambda e: e.event_type == dg.DagsterEventType.STEP_RESTARTED)
    assert [event.step_key for event in restarts] == [EXTRACT]
    assert platform.slices() == {"SP17": COUNTS["SP17"]}


def test_a_transient_failure_that_stays_fails_with_its_sentence(platform: Platform) -> None:
    result = run(platform, times=9)
    assert not result.success
    assert len(_opened) == 3
    said = dagster_fixtures.failures(result)
    assert said == {EXTRACT: "The source is not to be had. Look after it."}


def test_a_permanent_failure_is_not_tried_again(platform: Platform) -> None:
    result = run(platform, times=1, transient=False)
    assert not result.success
    assert len(_opened) == 1
    said = dagster_fixtures.failures(result)
    assert said == {EXTRACT: "The source is not to be had. Look after it."}


def test_an_error_nobody_expected_is_not_tried_again_and_keeps_its_trace(
    platform: Platform,
) -> None:
    class Broken(SourceResource):
        def open(self) -> Source:
            _opened.append(self.url)
            raise ZeroDivisionError("a mistake of ours")

    result = platform.run("SP17", resources={"source": Broken(url="sqlite:///x")})
    assert len(_opened) == 1
    assert "a mistake of ours" in dagster_fixtures.failures(result)[EXTRACT]


def test_waits_between_tries_are_anywhere_below_a_bound_that_grows() -> None:
    waits = [[failures.RETRIES.calculate_delay(n) for _ in range(200)] for n in (1, 2)]
    assert failures.RETRIES.max_retries == 2
    for some, bound in zip(waits, (10, 30), strict=True):
        assert 0 <= min(some) < bound / 4
        assert 3 * bound / 4 < max(some) <= bound


INSISTENT = {"run_retries": {"enabled": True, "max_retries": 9}}
"""An instance that starts also those runs again whose step failed: Dagster's own default."""


@pytest.mark.parametrize("overrides", [{}, INSISTENT], ids=["as shipped", "insistent"])
@pytest.mark.parametrize("job", ["refresh", "prune"])
def test_a_run_whose_step_failed_is_not_started_again_and_one_that_died_is(
    platform: Platform, tmp_path: Path, job: str, overrides: dict[str, object]
) -> None:
    shipped = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))["run_retries"]
    configuration = {"run_retries": shipped, "telemetry": {"enabled": False}, **overrides}
    folder = tmp_path / "other"
    folder.mkdir()
    definition = build_defs(platform.settings).resolve_job_def(job)
    with dg.DagsterInstance.local_temp(str(folder), overrides=configuration) as instance:
        run = instance.create_run_for_job(
            definition,
            tags=definition.run_tags,
            run_config={"ops": {"prune_tables": {"config": {"due": []}}}} if job == "prune" else {},
            status=dg.DagsterRunStatus.FAILURE,
        )

        def retried(reason: RunFailureReason) -> bool:
            return bool(auto_reexecution_should_retry_run(instance, run, reason))

        assert not retried(RunFailureReason.STEP_FAILURE)
        assert retried(RunFailureReason.START_TIMEOUT)
        assert retried(RunFailureReason.RUN_EXCEPTION)


def test_every_run_tells_dagster_so(platform: Platform) -> None:
    run_ = platform.instance.get_run_by_id(platform.run("SP17").run_id)
    assert run_ is not None
    assert run_.tags.items() >= NO_RUN_RETRY.items()


def test_no_step_has_a_retry_policy_which_would_try_again_what_a_person_stopped(
    platform: Platform,
) -> None:
    defs = build_defs(platform.settings)
    for job in ("refresh", "prune"):
        nodes = defs.resolve_job_def(job).graph.node_dict.values()
        ops = [node.definition for node in nodes if isinstance(node.definition, dg.OpDefinition)]
        assert ops
        assert [op.name for op in ops if op.retry_policy] == []


def test_a_step_that_is_stopped_is_not_tried_again_and_the_run_fails(platform: Platform) -> None:
    class Stopped(SourceResource):
        def open(self) -> Source:
            _opened.append(self.url)
            signal.raise_signal(signal.SIGINT)
            return super().open()

    result = platform.run("SP17", resources={"source": Stopped(url=platform.settings.source_url)})
    assert len(_opened) == 1
    assert not result.success
    run_ = platform.instance.get_run_by_id(result.run_id)
    assert run_ is not None
    assert run_.status is dg.DagsterRunStatus.FAILURE
    assert (
        result.filter_events(lambda e: e.step_key == "sales__s3_staging_csv" and e.is_step_start)
        == []
    )


def test_duckdbs_word_for_a_signal_is_understood_as_one() -> None:
    class Stopped(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGINT, stop)
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    seconds_of_work = "SELECT sum(hash(a.range + b.range)) FROM range(30000) a, range(30000) b"
    with duckdb.connect(config={"threads": 1}) as connection:
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt), reported_to_dagster(Step()):
                connection.execute(seconds_of_work).fetchall()
        finally:
            timer.join()
            signal.signal(signal.SIGINT, before)


def test_other_runtime_errors_pass_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="another"), reported_to_dagster(Step()):
        raise RuntimeError("another")


def test_the_cause_of_a_failure_stays_with_it_for_the_log() -> None:
    with pytest.raises(dg.Failure) as caught, reported_to_dagster(Step()):
        raise PermanentError("No.", "Go.")
    assert isinstance(caught.value.__cause__, PermanentError)
    assert caught.value.description == "No. Go."
    assert caught.value.allow_retries is False
