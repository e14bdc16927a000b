"""What tests of the Dagster layer stand on: a real instance, and a small platform on it."""

import contextlib
import datetime as dt
import itertools
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from etl_assets import pipeline
from etl_assets.core.manifest import Load
from etl_assets.definitions import build_defs
from etl_assets.loading import load as load_staged
from etl_assets.resources import build_resources
from etl_assets.schedules import PRUNE_JOB, REFRESH_JOB, PruneConfig
from etl_assets.settings import Settings
from etl_assets_tests.small import Small

CHAIN = ("rds_extract", "s3_staging_csv", "redshift_table")
OTHER_DATASET = """\
dataset: notes
primary_key: [sale_id]
query: SELECT sale_id, note FROM sales WHERE sold_at >= :starts_at AND sold_at < :ends_before
"""


@dataclass
class Platform:
    """A small platform and the Dagster instance it runs on; both are the test's own."""

    small: Small
    instance: dg.DagsterInstance
    changes: Mapping[str, Any]
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings, over the documents as they are now."""
        return replace(self.small.settings(), **self.changes)

    def with_(self, **changes: object) -> "Platform":
        """Return this platform with other settings."""
        return replace(self, changes={**self.changes, **changes})

    def add(self, *keys: str) -> None:
        """Add partitions."""
        self.instance.add_dynamic_partitions("campaigns", list(keys))

    @property
    def partitions(self) -> set[str]:
        """The partitions there are."""
        return set(self.instance.get_dynamic_partitions("campaigns"))

    def run(
        self,
        key: str,
        *assets: str,
        tags: Mapping[str, str] | None = None,
        resources: Mapping[str, object] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run the refresh job for a key: everything, or the assets named `dataset/asset`."""
        self.add(key)
        defs = build_defs(self.settings, resource_overrides=resources)
        return defs.resolve_job_def(REFRESH_JOB).execute_in_process(
            instance=self.instance,
            partition_key=key,
            asset_selection=[dg.AssetKey(a.split("/")) for a in assets],
            tags=dict(tags or {}),
            raise_on_error=False,
        )

    def load(self, *keys: str) -> None:
        """Bring keys into the tables without Dagster, which takes a tenth of the time."""
        load(self.settings, *keys)

    def prune(self, due: list[str], *, allow: bool = False) -> dg.ExecuteInProcessResult:
        """Run the prune job."""
        config = PruneConfig(due=due, allow_mass_removal=allow)
        job = build_defs(self.settings).resolve_job_def(PRUNE_JOB)
        return job.execute_in_process(
            instance=self.instance,
            run_config=dg.RunConfig(ops={"prune_tables": config}),
            raise_on_error=False,
        )

    def tick(self, schedule: str, moment: dt.datetime) -> Any:  # noqa: ANN401
        """Evaluate a schedule at a moment, as the daemon would; return the tick's outcome."""
        defs = build_defs(self.settings)
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=moment,
            repository_def=defs.get_repository_def(),
            resources={"registry": build_resources(self.settings)["registry"]},
        ) as context:
            return defs.resolve_schedule_def(schedule).evaluate_tick(context)

    def sense(self) -> Any:  # noqa: ANN401
        """Evaluate the sensor once, and do with the outcome what the daemon does with it."""
        defs = build_defs(self.settings)
        with dg.build_sensor_context(
            instance=self.instance,
            instance_ref=self.instance.get_ref(),
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            resources={"registry": build_resources(self.settings)["registry"]},
        ) as context:
            sensor = defs.get_repository_def().get_sensor_def("registry_sensor")
            tick = sensor.evaluate_tick(context)
        for event in tick.asset_events:
            self.instance.report_runless_asset_event(event)
        self.kept["cursor"] = tick.cursor
        return tick

    @property
    def cursor(self) -> str | None:
        """What the sensor remembers."""
        return self.kept.get("cursor")

    def run_requested(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a sensor or schedule asked for."""
        assets = [key.to_user_string() for key in request.asset_selection or []]
        return self.run(str(request.partition_key), *assets, tags=request.tags)

    def start_run(self, key: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """Record a run of a key that nobody executes."""
        location = RegisteredCodeLocationOrigin("etl_assets")
        origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin("x")
        return self.instance.create_run_for_job(
            job_def=build_defs(self.settings).resolve_job_def(REFRESH_JOB),
            tags={"dagster/partition": key},
            status=status,
            remote_job_origin=origin,
            job_code_origin=None,
        )

    def shown(self, asset: str, key: str) -> dict[str, Any]:
        """Return the metadata of the latest materialization of `dataset/asset`."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=[key]),
            limit=1,
        ).records
        materialization = records[0].asset_materialization if records else None
        assert materialization, f"{asset} has no materialization of {key}"
        return {name: value.value for name, value in materialization.metadata.items()}

    def slices(self, dataset: str = "sales") -> dict[str, int]:
        """Return the records in a dataset's table, by key."""
        return self.settings.open_warehouse().slices(self.settings.datasets[dataset])

    def loads(self, key: str | None = None) -> list[Load]:
        """Return the ledger, newest first."""
        return self.settings.open_warehouse().loads(key=key)

    def warehouse_sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on the warehouse's file."""
        with duckdb.connect(str(self.settings.home / "warehouse.duckdb")) as connection:
            return connection.execute(statement).fetchall()


def load(settings: Settings, *keys: str) -> None:
    """Extract, stage and load keys without Dagster."""
    registry, store = settings.open_registry().read(), settings.open_staging()
    for key, dataset in itertools.product(keys, settings.datasets.values()):
        campaign = registry.campaign(key)
        made = pipeline.extract(
            dataset, campaign, settings.open_source(), store, source_name=settings.source_url
        )
        staged = pipeline.stage(dataset, campaign, made, registry.rules_of(dataset), store)
        load_staged(dataset, staged, store, settings.open_warehouse(), run_id=None)


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return by step what the failed steps of a run say."""
    found = {}
    for event in result.filter_events(lambda e: e.is_step_failure):
        data = event.step_failure_data.user_failure_data
        error = event.step_failure_data.error
        described = data.description if data else None
        found[event.step_key or ""] = described or (error.to_string() if error else "")
    return found


@contextlib.contextmanager
def open_platform(small: Small, folder: Path) -> Iterator[Platform]:
    """Give a platform on an instance below a folder: a new one, unless one is there."""
    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    quiet = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=quiet) as instance:
        yield Platform(small, instance, {})


@contextlib.contextmanager
def open_copy(refreshed: Path, folder: Path) -> Iterator[Platform]:
    """Give a copy of a platform, which takes a tenth of the time that refreshing it takes."""
    shutil.copytree(refreshed, folder / "copy")
    with open_platform(Small(folder / "copy" / "small"), folder / "copy") as platform:
        cursor = folder / "copy" / "cursor"
        platform.kept["cursor"] = cursor.read_text(encoding="utf-8") if cursor.exists() else None
        yield platform


def keep_cursor(platform: Platform, folder: Path) -> None:
    """Write what the sensor remembers to where `open_copy` reads it."""
    (folder / "cursor").write_text(str(platform.cursor), encoding="utf-8")
