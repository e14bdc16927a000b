"""One refresh, one moment: all keys of a dataset read at once, and seen at once.

The source is read as of one consistent snapshot, one key after the other; what came of it
replaces the slices in one transaction. A key that fails holds the whole set, or is left out,
as the dataset's `together` says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from etl_assets import pipeline
from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError, TransientError
from etl_assets.core.manifest import Extract, Stage
from etl_assets.loading import Intent, Loaded, decided_anew, intend
from etl_assets.systems.protocols import Source, Staging, Warehouse


@dataclass(frozen=True)
class Together:
    """What became of one key.

    Attributes:
        extract: What was read; None when that failed.
        stage: What was staged; None when that failed.
        loaded: What became of the load; None when there was none.
        error: Why the key failed; None when it did not.
    """

    extract: Extract | None = None
    stage: Stage | None = None
    loaded: Loaded | None = None
    error: EtlError | None = None


def extract_together(
    dataset: Dataset,
    campaigns: Sequence[Campaign],
    source: Source,
    staging: Staging,
    *,
    source_name: str,
    previous: Mapping[str, Extract | None],
) -> dict[str, Together]:
    """Read all campaigns as of one moment of the source; one that fails stops no other.

    Raises:
        TransientError: When the connection was lost: the moment is gone, and all are to be
            read again.
    """
    found: dict[str, Together] = {}
    with source.moment() as moment:
        for campaign in campaigns:
            try:
                made = pipeline.extract(
                    dataset,
                    campaign,
                    moment,
                    staging,
                    source_name=source_name,
                    previous=previous.get(campaign.key),
                )
            except TransientError:
                raise
            except EtlError as error:
                found[campaign.key] = Together(error=error)
            else:
                found[campaign.key] = Together(extract=made)
    return found


def stage_together(
    found: Mapping[str, Together], stage: Callable[[str, Extract], Stage]
) -> dict[str, Together]:
    """Stage what was read; a campaign whose rules fail stops no other."""
    staged: dict[str, Together] = {}
    for key, one in found.items():
        staged[key] = one
        if one.extract:
            try:
                staged[key] = Together(one.extract, stage(key, one.extract))
            except TransientError:
                raise
            except EtlError as error:
                staged[key] = Together(one.extract, error=error)
    return staged


def load_together(
    dataset: Dataset,
    found: Mapping[str, Together],
    staging: Staging,
    warehouse: Warehouse,
    *,
    run_id: str | None,
    force: bool = False,
) -> dict[str, Together]:
    """Replace the slices of all keys that were staged in one transaction.

    Raises:
        ProofError: When one is not what was staged; every slice is what it was.
        WarehouseError: When the warehouse refuses one; every slice is what it was.
        StagingError: When a part is missing or was changed; every slice is what it was.
        TransientError: When the warehouse is busy; a retry is safe.
    """
    stages = {key: one.stage for key, one in found.items() if one.stage}
    failed = [key for key, one in found.items() if one.error]

    def attempt() -> dict[str, Loaded]:
        rows_of = {key: warehouse.loads(dataset=dataset.name, key=key) for key in stages}
        records = warehouse.slices(dataset)
        intents = {
            key: intend(
                dataset, staged, staging, rows_of[key],
                records=records.get(key, 0), run_id=run_id, force=force,
            )
            for key, staged in stages.items()
        }  # fmt: skip
        waiting = failed + [k for k, intent in intents.items() if intent.outcome.status == "held"]
        if waiting and dataset.together == "hold_set":
            intents = {k: _with_the_set(intent, waiting) for k, intent in intents.items()}
        orders = {key: intent.order for key, intent in intents.items() if intent.order}
        rows = warehouse.commit(list(orders.values()), staging) if orders else []
        committed = dict(zip(orders, rows, strict=True))
        return {
            key: intent.done(committed[key]) if key in committed else intent.outcome
            for key, intent in intents.items()
        }

    loaded = decided_anew(attempt)
    return {
        key: Together(one.extract, one.stage, loaded.get(key), one.error)
        for key, one in found.items()
    }


def _with_the_set(intent: Intent, waiting: Sequence[str]) -> Intent:
    """Return the intent of a key that is published with others which cannot be."""
    if intent.outcome.status != "loaded":
        return intent
    reason = (
        f"The keys of this dataset are published together, and {', '.join(waiting)} could not be."
        " The slice is as it was; the next refresh in which all can be publishes them."
    )
    return Intent(None, Loaded(None, "kept", reason))
