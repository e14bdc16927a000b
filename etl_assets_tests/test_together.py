"""One refresh, one moment: keys that are read at once and become visible at once."""

import datetime as dt
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as Status,
)

from etl_assets.core.errors import ProofError
from etl_assets.core.manifest import Extract, Stage
from etl_assets.pipeline import stage
from etl_assets.refresh import Refresh
from etl_assets.refresh_together import TOGETHER_JOB
from etl_assets.together import Together, extract_together, load_together, stage_together
from etl_assets_tests.chain import Chain
from etl_assets_tests.dagster_fixtures import Platform, open_platform
from etl_assets_tests.small import COUNTS, DATASET, Small

KEYS = list(COUNTS)
FAILING = """\
dataset: sales
primary_key: [sale_id]
together: {together}
query: |
  SELECT sale_id, sold_at, quantity, amount, note FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
rules:
  - {{id: positive, kind: cast, column: note, type: date, on_error: reject}}
max_rejected: {allowed}
"""


def together(small: Small, how: str = "hold_set", text: str = DATASET) -> Chain:
    """Return the chain of a dataset whose keys are refreshed together."""
    small.write_dataset(f"together: {how}\n{text}")
    return Chain(small.settings())


def read_all(chain: Chain) -> dict[str, Together]:
    """Read and stage every key as of one moment."""
    settings = chain.settings
    registry, staging = settings.open_registry().read(), settings.open_staging()
    dataset = settings.datasets["sales"]
    campaigns = {key: registry.campaign(key) for key in KEYS}
    rules = registry.rules_of(dataset)

    def staged(key: str, extract: Extract) -> Stage:
        return stage(dataset, campaigns[key], extract, rules, staging)

    found = extract_together(
        dataset, list(campaigns.values()), settings.open_source(), staging,
        source_name="source", previous={},
    )  # fmt: skip
    return stage_together(found, staged)


def load_all(chain: Chain, found: dict[str, Together]) -> dict[str, Together]:
    settings = chain.settings
    return load_together(
        settings.datasets["sales"], found, settings.open_staging(), settings.open_warehouse(),
        run_id=None,
    )  # fmt: skip


def statuses(found: dict[str, Together]) -> dict[str, str]:
    return {key: one.loaded.status if one.loaded else "failed" for key, one in found.items()}


def test_all_keys_are_read_as_of_one_moment(small: Small) -> None:
    chain = together(small)
    settings, dataset = chain.settings, chain.settings.datasets["sales"]
    registry = settings.open_registry().read()
    with sqlite3.connect(small.home / "source.sqlite") as connection:
        connection.execute("PRAGMA journal_mode = WAL")  # else the reader keeps writers out
    connection.close()
    with settings.open_source().moment() as moment:
        small.run_sql("DELETE FROM sales")
        for key, count in COUNTS.items():
            with moment.snapshot(dataset, registry.campaign(key).bindings()) as snapshot:
                assert snapshot.fingerprint(()).records == count
                assert sum(batch.num_rows for batch in snapshot.batches()) == count


def test_all_keys_become_visible_in_one_transaction(small: Small) -> None:
    chain = together(small)
    found = load_all(chain, read_all(chain))
    assert statuses(found) == dict.fromkeys(KEYS, "loaded")
    assert chain.counts() == COUNTS
    small.run_sql("UPDATE sales SET amount = amount + 1")
    found = read_all(chain)
    last = found["AU17"]
    assert last.stage
    planted = last.stage.model_copy(update={"records": 12, "filtered": 1})
    with pytest.raises(ProofError, match="AU17"):
        load_all(chain, {**found, "AU17": Together(last.extract, planted)})
    assert chain.query("SELECT count(*) FROM etl_assets.loads") == [(3,)]
    assert chain.query("SELECT sum(amount)::VARCHAR FROM sales WHERE sale_id = 0") == [("0.25",)]


def test_what_did_not_change_is_not_loaded_again(small: Small) -> None:
    chain = together(small)
    load_all(chain, read_all(chain))
    small.run_sql("UPDATE sales SET amount = amount + 1 WHERE sale_id = 0")
    assert statuses(load_all(chain, read_all(chain))) == {
        "SP17": "loaded", "SU17": "unchanged", "AU17": "unchanged",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("how", "loaded"), [("hold_set", {}), ("leave_out", {"SU17": 16, "AU17": 13})]
)
def test_a_key_that_fails_holds_the_set_or_is_left_out(
    small: Small, how: str, loaded: dict[str, int]
) -> None:
    small.run_sql("UPDATE sales SET note = 'no date' WHERE sale_id = 0")
    small.run_sql("UPDATE sales SET note = NULL WHERE sale_id > 0")
    small.write_dataset(FAILING.format(together=how, allowed=0))
    chain = Chain(small.settings())
    found = load_all(chain, read_all(chain))
    assert "rejected record" in str(found["SP17"].error)
    other = found["AU17"].loaded
    assert other
    assert other.status == ("loaded" if loaded else "kept")
    assert ("SP17 could not be" in other.reason) is not bool(loaded)
    if loaded:
        assert chain.counts() == loaded
    else:
        assert chain.settings.open_warehouse().loads() == []


@pytest.fixture
def platform(small: Small, tmp_path: Path) -> Iterator[Platform]:
    """A platform with a Dagster instance of its own, whose keys are refreshed together."""
    small.write_dataset(f"together: hold_set\n{DATASET}")
    with open_platform(small, tmp_path) as opened:
        yield opened


def test_a_refresh_reports_the_chains_partitions_as_a_run_per_key_does(platform: Platform) -> None:
    refresh = Refresh(platform.settings, platform.instance)
    assert list(refresh.run(KEYS)) == []
    (results,) = refresh.run_together(KEYS)
    assert {r.key: (r.status, r.loaded_records) for r in results} == {
        key: ("loaded", count) for key, count in COUNTS.items()
    }
    for step in ("rds_extract", "s3_staging_csv", "redshift_table"):
        asset = dg.AssetKey(["sales", step])
        assert platform.instance.get_materialized_partitions(asset) == set(KEYS)
    (again,) = Refresh(platform.settings, platform.instance).run_together(KEYS)
    assert {r.status: r.error for r in again} == {"unchanged": ""}
    assert len(platform.loads()) == 3
    assert checks_shown(platform) == {
        (name, key): Status.SUCCEEDED for name in ("follows_source", "is_fresh") for key in KEYS
    }


def checks_shown(platform: Platform) -> dict[tuple[str, str | None], Status]:
    """Return the outcomes that the UI shows: those of the partitions' latest materializations."""
    table = dg.AssetKey(["sales", "redshift_table"])
    checks = [dg.AssetCheckKey(table, name) for name in ("follows_source", "is_fresh")]
    infos = platform.instance.event_log_storage.get_asset_check_partition_info(checks)
    return {
        (info.check_key.name, info.partition_key): info.latest_execution_status
        for info in infos
        if info.is_current
    }


def test_a_refresh_of_a_failing_key_says_which(platform: Platform) -> None:
    platform.small.run_sql("UPDATE sales SET note = 'no date'")
    platform.small.write_dataset(FAILING.format(together="leave_out", allowed=0))
    (results,) = Refresh(platform.settings, platform.instance).run_together(["SP17"])
    assert [(r.key, r.status) for r in results] == [("SP17", "failed")]
    assert "rejected records" in results[0].error
    (run,) = platform.instance.get_runs(dg.RunsFilter(job_name=TOGETHER_JOB))
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_a_tick_asks_for_one_run_for_all_due_keys_and_for_none_per_key(platform: Platform) -> None:
    night = dt.datetime(2017, 5, 20, 3, tzinfo=dt.UTC)
    assert platform.tick("refresh_schedule", night).run_requests == []
    (request,) = platform.tick("refresh_together_schedule", night).run_requests
    assert request.run_key == "20170520T0300+0000:sales"
    config = request.run_config["ops"]["refresh_keys_together"]["config"]
    assert (config["dataset"], config["campaigns"]) == ("sales", ["SP17", "SU17"])
