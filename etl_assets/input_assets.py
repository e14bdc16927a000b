"""The raw sources in the graph: an asset each, before the table that it is loaded into.

What became of a file is in the ledger of inputs, beside the tables. A run tells Dagster of the
files it loaded; of those that were loaded or undone from a terminal, the sensor does.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.delivery import Verdict, describe, judge_delivery, judge_latest
from etl_assets.core.inputs.files import FOLDER, LoadedFile
from etl_assets.failures import NO_RUN_RETRY, reported_to_dagster
from etl_assets.input_events import event_of, input_key, last_told
from etl_assets.lineage import owners_of
from etl_assets.metadata_parts import column_schema
from etl_assets.resources import InputsResource
from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind

INPUTS_JOB = "load_inputs"
DELIVERS, ACCEPTED = "delivers_in_time", "files_are_accepted"
_KINDS = {"excel": "excel", "json_lines": "json", "parquet": "parquet", "csv": "csv"}


def build_input_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return an asset for every source that has a contract."""
    return [_source(contract, settings) for contract in settings.contracts.values()]


def build_input_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """Return the checks of every source."""
    return [
        check
        for contract in settings.contracts.values()
        for check in (_files_are_accepted(contract), _delivers_in_time(contract))
    ]


def build_inputs_job(
    assets: Sequence[dg.AssetsDefinition],
) -> list[UnresolvedAssetJobDefinition]:
    """Return the job that loads what sources delivered; none where there is no source."""
    if not assets:
        return []
    return [
        dg.define_asset_job(
            INPUTS_JOB,
            selection=dg.AssetSelection.assets(*(asset.key for asset in assets)),
            executor_def=dg.in_process_executor,
            run_tags=NO_RUN_RETRY,
            description="Loads the files that sources delivered, in order of arrival, each in one"
            " transaction. The sensor asks for it.",
        )
    ]


def verdicts(
    contract: Contract, history: Sequence[LoadedFile], now: dt.datetime
) -> dict[str, Verdict]:
    """Return what each check of a source says, by its name.

    Args:
        contract: Of the source.
        history: Its rows of the ledger, newest first.
        now: The moment, with a time zone.
    """
    return {
        ACCEPTED: judge_latest(history),
        DELIVERS: judge_delivery(contract, history, now),
    }


def evaluation(contract: Contract, name: str, verdict: Verdict) -> dg.AssetCheckEvaluation:
    """Return what Dagster is told of a source's check where no step of its own does it."""
    return dg.AssetCheckEvaluation(
        asset_key=input_key(contract.source),
        check_name=name,
        passed=verdict.passed,
        description=verdict.said,
        severity=_severity(verdict),
    )


def _severity(verdict: Verdict) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if verdict.is_error else dg.AssetCheckSeverity.WARN


def _source(contract: Contract, settings: Settings) -> dg.AssetsDefinition:
    source = contract.source
    file_kind = _KINDS.get(contract.format or "", "file")

    @dg.asset(
        key=input_key(source),
        group_name="inputs",
        kinds={file_kind, system_kind(settings.staging_url)},
        owners=owners_of(contract.owner),
        description=f"{contract.description}\n\nFiles below `{FOLDER}/{source}/` in the staging"
        f" store, loaded into the table `{contract.table}` by their contract,"
        f" `{source}.yaml`. A row of a later file replaces that of an earlier one with the same"
        f" {', '.join(f'`{name}`' for name in contract.primary_key)}.",
        metadata={
            "dagster/table_name": contract.table,
            "dagster/column_schema": column_schema(contract.table_columns),
        },
        output_required=False,
        pool="source",
    )
    def load_files(
        context: dg.AssetExecutionContext, inputs: InputsResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        with reported_to_dagster(context):
            opened = inputs.open()
            pending = opened.pending(source)
            result: dg.AssetMaterialization | None = None
            for number, file in enumerate(pending, 1):
                row = opened.load(file)
                context.log.info(f"[{number}/{len(pending)}] {file.name}: {describe(row)}")
                event = event_of(row, opened.files.staging)
                if isinstance(event, dg.AssetObservation):
                    context.log_event(event)
                    continue
                if result is not None:
                    context.log_event(result)
                result = event
            if not pending:
                context.log.info(f"Nothing new below {FOLDER}/{source}/.")
            if result is None:  # Dagster passes over the steps of the checks then
                now, history = dt.datetime.now(dt.UTC), opened.history(source)
                for name, verdict in verdicts(contract, history, now).items():
                    said = evaluation(contract, name, verdict)
                    context.log_event(said)
        if result is not None:
            yield dg.MaterializeResult(metadata=result.metadata)

    return load_files


def untold(
    source: str, history: Sequence[LoadedFile], instance: dg.DagsterInstance
) -> list[LoadedFile]:
    """Return the rows of the ledger that Dagster was not told of, oldest first."""
    told = last_told(instance, source)
    return [row for row in reversed(history) if row.id > told]


def _files_are_accepted(contract: Contract) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=input_key(contract.source),
        name=ACCEPTED,
        description="The file that was read last was accepted, every row of it.",
        pool="source",
    )
    def files_are_accepted(
        context: dg.AssetCheckExecutionContext, inputs: InputsResource
    ) -> dg.AssetCheckResult:
        return _result(context, inputs, contract, ACCEPTED)

    return files_are_accepted


def _delivers_in_time(contract: Contract) -> dg.AssetChecksDefinition:
    hours = contract.deliver_within_hours
    says = f"every {hours:g} hours" if hours else "when it likes: its contract says no hours"

    @dg.asset_check(
        asset=input_key(contract.source),
        name=DELIVERS,
        description=f"The source delivers {says}. It is looked at twice a minute while the daemon"
        " runs.",
        pool="source",
    )
    def delivers_in_time(
        context: dg.AssetCheckExecutionContext, inputs: InputsResource
    ) -> dg.AssetCheckResult:
        return _result(context, inputs, contract, DELIVERS)

    return delivers_in_time


def _result(
    context: dg.AssetCheckExecutionContext,
    inputs: InputsResource,
    contract: Contract,
    name: str,
) -> dg.AssetCheckResult:
    with reported_to_dagster(context):
        history = inputs.open().history(contract.source)
    said = verdicts(contract, history, dt.datetime.now(dt.UTC))[name]
    return dg.AssetCheckResult(passed=said.passed, description=said.said, severity=_severity(said))
