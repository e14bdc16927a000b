"""The sensor that notices what raw sources deliver, and what they do not.

For each source it lists the files that arrived and asks the ledger which of them are new; a run
loads them. What became of files without a run, from a terminal, it tells Dagster itself, and so
what the checks say when they say something else than before.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import dagster as dg

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import InputFile, LoadedFile
from etl_assets.input_assets import INPUTS_JOB, evaluation, untold, verdicts
from etl_assets.input_events import Event, event_of, input_key
from etl_assets.partitions import IN_FLIGHT
from etl_assets.resources import InputsResource
from etl_assets.settings import Settings

SENSOR_INTERVAL_SECONDS = 30
ASKED_AGAIN_SECONDS = 600
"""The same files are asked for again no sooner: a run that fails once fails at once again, too."""

SOURCE_TAG = "etl_assets/source"


@dataclass(frozen=True)
class Memory:
    """What the sensor did last.

    Attributes:
        asked: By source, the digest of the files that a run was asked for, and when.
        said: By source and check, the digest of what was said.
    """

    asked: dict[str, tuple[str, float]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    def dump(self) -> str:
        """Return it as a compact text."""
        return json.dumps(vars(self), separators=(",", ":"))

    @classmethod
    def load(cls, text: str | None) -> "Memory":
        """Return what a text holds; nothing when there is none, or of another form.

        To have asked nothing is safe: a file is loaded once, whoever asks.
        """
        try:
            content = json.loads(text or "")
            asked = {name: (str(one[0]), float(one[1])) for name, one in content["asked"].items()}
            return cls(asked, {str(k): str(v) for k, v in content["said"].items()})
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return cls()


def build_inputs_sensor(settings: Settings) -> list[dg.SensorDefinition]:
    """Return the sensor; none where no source has a contract."""
    if not settings.contracts:
        return []

    @dg.sensor(
        name="inputs_sensor",
        job_name=INPUTS_JOB,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run when a source delivers a file, and says which source is late.",
    )
    def inputs_sensor(
        context: dg.SensorEvaluationContext, inputs: InputsResource
    ) -> dg.SensorResult:
        opened = inputs.open()
        memory = Memory.load(context.cursor)
        now = dt.datetime.now(dt.UTC)
        busy = _sources_in_flight(context.instance)
        history: dict[str, list[LoadedFile]] = {name: [] for name in opened.contracts}
        for row in opened.history():
            history.setdefault(row.source, []).append(row)
        requests: list[dg.RunRequest] = []
        events: list[Event | dg.AssetCheckEvaluation] = []
        for name, contract in opened.contracts.items():
            if name in busy:  # its run tells of everything
                continue
            if request := _request(name, opened.pending(name, history[name]), memory, now):
                requests.append(request)
            rows = untold(name, history[name], context.instance)
            events += [event_of(row, opened.files.staging) for row in rows]
            events += _news(contract, history[name], memory, now)
        waiting = ", ".join(request.tags[SOURCE_TAG] for request in requests)
        if waiting:
            context.log.info(f"Files arrived of {waiting}.")
        return dg.SensorResult(
            run_requests=requests,
            asset_events=events,
            cursor=memory.dump(),
            skip_reason=None if requests else f"Nothing new of {len(opened.contracts)} sources.",
        )

    return [inputs_sensor]


def _sources_in_flight(instance: dg.DagsterInstance) -> set[str]:
    """Return the sources that a run is to load."""
    runs = instance.get_runs(dg.RunsFilter(job_name=INPUTS_JOB, statuses=IN_FLIGHT))
    return {run.tags[SOURCE_TAG] for run in runs if SOURCE_TAG in run.tags}


def _request(
    source: str, pending: Sequence[InputFile], memory: Memory, now: dt.datetime
) -> dg.RunRequest | None:
    """Return the request of a run that loads files, and remember it; None when there is none.

    It has no name of its own: what a run has loaded is in the ledger.
    """
    if not pending:
        memory.asked.pop(source, None)
        return None
    digest = _digest([[file.path, file.bytes, file.modified.isoformat()] for file in pending])
    before, at = memory.asked.get(source, ("", 0.0))
    if digest == before and now.timestamp() - at < ASKED_AGAIN_SECONDS:
        return None
    memory.asked[source] = (digest, now.timestamp())
    return dg.RunRequest(asset_selection=[input_key(source)], tags={SOURCE_TAG: source})


def _news(
    contract: Contract, history: Sequence[LoadedFile], memory: Memory, now: dt.datetime
) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield what the checks of a source say now, where they said something else before."""
    for name, verdict in verdicts(contract, history, now).items():
        place = f"{contract.source}/{name}"
        digest = _digest([verdict.passed, verdict.said])
        if memory.said.get(place) != digest:
            memory.said[place] = digest
            yield evaluation(contract, name, verdict)


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
