"""A refresh from the command line: the same assets, in this process, on the same instance."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

import dagster as dg

from etl_assets.assets import table_key
from etl_assets.core.changes import PartitionChanges
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError
from etl_assets.core.registry import Registry
from etl_assets.definitions import build_defs
from etl_assets.health_sensor import report
from etl_assets.home import COMMAND_LINE_TAGS, end_dead_runs
from etl_assets.in_process import LOGGER, Progress, progress_logger, signals_kept, step_errors
from etl_assets.metadata import ERROR, HELD
from etl_assets.metadata_parts import FALLBACK
from etl_assets.partitions import keys_in_flight, sync_partitions
from etl_assets.references import FORCE_TAG
from etl_assets.refresh_together import TOGETHER_JOB, together_config
from etl_assets.resources import revision_tags
from etl_assets.results import KeyResult
from etl_assets.run_tags import CAMPAIGN_TAG, dataset_tags
from etl_assets.schedules import PRUNE_JOB, REFRESH_JOB, PruneConfig, assets_of, due_in, runnable
from etl_assets.settings import Settings


class Refresh:
    """One refresh: partitions synced, keys run one after the other, expired keys pruned."""

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        *,
        progress: Progress = lambda _: None,
        force: bool = False,
    ) -> None:
        """Read the registry and sync the partitions.

        Raises:
            RegistryError: When the registry cannot be read; nothing was changed.
            DocumentError: When a document is not valid; nothing was changed.
        """
        self.settings = settings
        self.instance = instance
        self.force = force
        self.registry: Registry = settings.open_registry().read()
        self.dead_runs = end_dead_runs(instance)
        self.changes: PartitionChanges = sync_partitions(
            instance, self.registry, allow_mass_removal=settings.allow_mass_removal
        )
        self._defs = build_defs(settings, loggers={LOGGER: progress_logger(progress)})

    def due(self, day: dt.date | None) -> list[str]:
        """Return the keys due on a day, or now, and those whose campaign cannot be read."""
        now = dt.datetime.now(dt.UTC)
        due = self.registry.due_at(now) if day is None else self.registry.due_on(day)
        return runnable(self.registry, due, self.settings)

    def check(self, keys: Iterable[str]) -> None:
        """Raise unless each key can be refreshed.

        Raises:
            PermanentError: When one is not in the registry, or its campaign cannot be read or
                takes part in no dataset.
        """
        for key in keys:
            self.registry.campaign(key)
            if not self._datasets(key):
                raise PermanentError(
                    f"Campaign {key} takes part in no dataset.",
                    "Add one to its `datasets`, or leave them out for all.",
                )

    def run(self, keys: Sequence[str]) -> Iterator[list[KeyResult]]:
        """Refresh keys; yield each key's results when it is done. One's failure stops no other.

        Raises:
            KeyboardInterrupt: When Ctrl-C was pressed; the run it stopped is marked as failed.
        """
        job = self._defs.resolve_job_def(REFRESH_JOB)
        for key in keys:
            assets = assets_of(self.registry, key, self.settings)
            if assets == []:  # all its datasets are refreshed together
                continue
            if key in keys_in_flight(self.instance):
                yield self._failed(key, f"Campaign {key} is being refreshed by another run."
                                   " Wait until it has ended, or cancel it in the UI.")  # fmt: skip
                continue
            with signals_kept():
                result = job.execute_in_process(
                    instance=self.instance,
                    partition_key=key,
                    asset_selection=assets,
                    tags=self._tags(key),
                    run_config={"loggers": {LOGGER: {}}},
                    raise_on_error=False,
                )
            yield self._results(key, result)

    def run_together(self, keys: Sequence[str]) -> Iterator[list[KeyResult]]:
        """Refresh the datasets whose keys belong together; yield the results of each.

        Raises:
            KeyboardInterrupt: As `run`.
        """
        for dataset in self.settings.datasets.values():
            mine = sorted(due_in(dataset, self.registry, keys))
            if not dataset.together or not mine:
                continue
            job = self._defs.resolve_job_def(TOGETHER_JOB)
            config = together_config(dataset, mine, force=self.force)
            with signals_kept():
                result = job.execute_in_process(
                    instance=self.instance,
                    run_config=dg.RunConfig(ops=config.ops, loggers={LOGGER: {}}),
                    tags={
                        **COMMAND_LINE_TAGS,
                        **dataset_tags([dataset.name]),
                        **revision_tags(self.registry),
                    },
                    raise_on_error=False,
                )
            yield self._together_results(dataset, mine, result)

    def prune(self, due: Sequence[str]) -> tuple[list[str], str]:
        """Remove keys that are not due; return `table: key` of each removed, or the error."""
        config = PruneConfig(due=list(due), allow_mass_removal=self.settings.allow_mass_removal)
        with signals_kept():
            result = self._defs.resolve_job_def(PRUNE_JOB).execute_in_process(
                instance=self.instance,
                run_config=dg.RunConfig(ops={"prune_tables": config}, loggers={LOGGER: {}}),
                tags=COMMAND_LINE_TAGS,
                raise_on_error=False,
            )
        removed = [
            f"{event.asset_key.path[0]}: {event.partition}"
            for event in result.get_asset_materialization_events()
            if event.asset_key
        ]
        return removed, step_errors(result).get("prune_tables", "")

    def report_health(self) -> None:
        """Evaluate the standing check over what was just done, for the UI; see `health.py`."""
        report(self.settings, self.registry, self.instance)

    def _tags(self, key: str) -> dict[str, str]:
        datasets = [dataset.name for dataset in self._datasets(key) if not dataset.together]
        tags = {**COMMAND_LINE_TAGS, CAMPAIGN_TAG: key, **dataset_tags(datasets)}
        tags |= revision_tags(self.registry)
        return {**tags, FORCE_TAG: "true"} if self.force else tags

    def _together_results(
        self, dataset: Dataset, keys: Sequence[str], result: dg.ExecuteInProcessResult
    ) -> list[KeyResult]:
        shown = {key: one for (asset, key), one in _shown(result).items()
                 if asset == table_key(dataset)}  # fmt: skip
        failed = "; ".join(step_errors(result).values())
        seconds = self._seconds(result.run_id)
        return [
            self._result(
                dataset, key, result.run_id, seconds, shown.get(key), "" if key in shown else failed
            )
            for key in keys
        ]

    def _seconds(self, run_id: str) -> float:
        stats = self.instance.get_run_stats(run_id)
        return (stats.end_time or 0) - (stats.start_time or 0)

    def _results(self, key: str, result: dg.ExecuteInProcessResult) -> list[KeyResult]:
        seconds = self._seconds(result.run_id)
        errors = step_errors(result)
        shown, names = _shown(result), self.settings.datasets
        return [
            self._result(
                dataset,
                key,
                result.run_id,
                seconds,
                shown.get((table_key(dataset), key)),
                "; ".join(e for step, e in errors.items() if _owner(step, names) == dataset.name),
            )
            for dataset in self._datasets(key)
            if not dataset.together
        ]

    def _result(
        self,
        dataset: Dataset,
        key: str,
        run_id: str,
        seconds: float,
        metadata: Mapping[str, dg.MetadataValue] | None,
        error: str,
    ) -> KeyResult:
        shown = {name: value.value for name, value in (metadata or {}).items()}
        error = error or str(shown.get(ERROR, ""))
        error = error or ("" if metadata else "The run ended before the load.")
        status = "unchanged" if shown.get("unchanged") else str(shown.get("status", "loaded"))
        return KeyResult(
            dataset=dataset.name,
            status="failed" if error else status,
            source_records=int(str(shown.get("source_records", 0))),
            loaded_records=int(str(shown.get("dagster/partition_row_count", 0))),
            filtered=int(str(shown.get("filtered", 0))),
            rejected=int(str(shown.get("rejected", 0))),
            seconds=round(seconds, 2),
            proof=str(shown.get("proof", "")),
            load_id=str(shown.get("load_id", "")),
            run_id=run_id,
            error=error,
            fallback=str(shown.get(FALLBACK, "")),
            held=str(shown.get(HELD, "")),
            **self._season(key),
        )

    def _failed(self, key: str, error: str) -> list[KeyResult]:
        return [
            self._result(dataset, key, "", 0.0, None, error)
            for dataset in self._datasets(key)
            if not dataset.together
        ]

    def _season(self, key: str) -> dict[str, str]:
        campaign = self.registry.campaigns.get(key)
        return {
            "key": key,
            "start": campaign.start.isoformat() if campaign else "",
            "end": campaign.end.isoformat() if campaign else "",
        }

    def _datasets(self, key: str) -> list[Dataset]:
        campaign = self.registry.campaigns.get(key)
        return [
            dataset
            for dataset in self.settings.datasets.values()
            if campaign is None or campaign.takes_part_in(dataset.name)
        ]


def _owner(step: str, datasets: Iterable[str]) -> str:
    """Return the dataset a step belongs to: `sales__eu__rds_extract` is none of `sales`."""
    return max((name for name in datasets if step.startswith(f"{name}__")), key=len, default="")


def _shown(
    result: dg.ExecuteInProcessResult,
) -> dict[tuple[dg.AssetKey, str], Mapping[str, dg.MetadataValue]]:
    """Return the metadata of what a run materialized or observed, by asset and partition."""
    found: dict[tuple[dg.AssetKey, str], Mapping[str, dg.MetadataValue]] = {}
    for event in result.get_asset_materialization_events():
        made = event.step_materialization_data.materialization
        found[made.asset_key, str(made.partition)] = made.metadata
    for event in result.get_asset_observation_events():
        seen = event.asset_observation_data.asset_observation
        found[seen.asset_key, str(seen.partition)] = seen.metadata
    return found
