"""The last step of the chain: staged records take the place of a slice, unless they must not.

What the ledger says of the slice is looked at first (`core/standing.py`), then the dataset's
guards (`core/guards.py`). Both are decided on the key's newest row, and nothing is done when
another is newest by the time it is carried out.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from etl_assets.core.datasets import Dataset
from etl_assets.core.guards import objections
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order, SupersededError, order_load
from etl_assets.core.standing import Status, decide, standing_of, waits
from etl_assets.kept import new_id, stage_of, stage_path
from etl_assets.systems.protocols import Staging, Warehouse

_REASON_CHARACTERS = 1024
_ATTEMPTS = 5
Done = TypeVar("Done")


@dataclass(frozen=True)
class Loaded:
    """What became of a load.

    Attributes:
        row: Of the ledger: that of the load; or the one that made the slice what it is and
            stays. Of a load that is held, the hold. None where there is no slice yet.
        status: `loaded`, `unchanged`, `kept` or `held`; see `Status`.
        reason: Why it is kept or held, and what to do; empty otherwise.
        replaced: The load whose records it replaced; None when there was none, or none was.
    """

    row: Load | None
    status: Status
    reason: str = ""
    replaced: Load | None = None

    @property
    def follows_source(self) -> bool:
        """Whether the slice has what was staged."""
        return self.status in ("loaded", "unchanged")


@dataclass(frozen=True)
class Intent:
    """What is to be done with staged records.

    Attributes:
        order: What to commit; None when nothing is.
        outcome: What became of the load then, but for the row of the order.
    """

    order: Order | None
    outcome: Loaded

    def done(self, row: Load) -> Loaded:
        """Return the outcome once the order is carried out."""
        return self.outcome if self.outcome.row else replace(self.outcome, row=row)


def load(
    dataset: Dataset,
    staged: Stage,
    staging: Staging,
    warehouse: Warehouse,
    *,
    run_id: str | None,
    force: bool = False,
) -> Loaded:
    """Replace the campaign's slice of the target table with the staged records.

    Nothing is changed when the slice was last loaded from the same inputs and still has as
    many records, unless forced; when somebody decided that it stays; or when a guard of the
    dataset holds the load for approval.

    Raises:
        ProofError: When source, stage and table are not equal; the slice is what it was.
        WarehouseError: When the warehouse refuses the load; the slice is what it was.
        StagingError: When a part is missing or was changed.
        TransientError: When the warehouse is busy; a retry is safe.
    """

    def attempt() -> Loaded:
        rows = warehouse.loads(dataset=dataset.name, key=staged.campaign_key)
        records = warehouse.slices(dataset).get(staged.campaign_key, 0)
        intent = intend(dataset, staged, staging, rows, records=records, run_id=run_id, force=force)
        if intent.order is None:
            return intent.outcome
        (row,) = warehouse.commit([intent.order], staging)
        return intent.done(row)

    return decided_anew(attempt)


def decided_anew(attempt: Callable[[], Done]) -> Done:
    """Return what an attempt gives, made again when others committed to the slices meanwhile.

    Raises:
        SupersededError: When that happened to the last attempt, too.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except SupersededError:
            continue
    return attempt()


def intend(
    dataset: Dataset,
    staged: Stage,
    staging: Staging,
    rows: Sequence[Load],
    *,
    records: int,
    run_id: str | None,
    force: bool,
) -> Intent:
    """Return what is to be done with staged records, as these rows say; see `load`.

    Args:
        dataset: Whose records they are.
        staged: What a refresh staged.
        staging: Where that is.
        rows: The key's rows of the ledger, newest first.
        records: Those the slice has, counted after the rows were read: when they are those of
            a later load, the order is refused, for it names the newest of these rows.
        run_id: The Dagster run that asks.
        force: See `decide`.
    """
    standing = standing_of(rows)
    decision = decide(standing, staged, records=records, force=force)
    order = replace(
        order_load(staged, stage_path(staged), dataset=dataset, run_id=run_id), over=standing.newest
    )
    if any(row.load_id == staged.load_id for row in rows):
        order = replace(order, load_id=new_id(_now()))
    if not decision.load:
        outcome = Loaded(standing.current or standing.kept, decision.status, decision.reason)
        return Intent(_settle(order, decision.settled) if decision.settled else None, outcome)
    found = _objections(dataset, staged, standing.current, staging, records)
    if not found:
        return Intent(order, Loaded(None, "loaded", replaced=standing.current))
    waiting = standing.waiting
    if waiting and waiting.inputs_digest == staged.inputs_digest:
        return Intent(None, Loaded(waiting, "held", waits(waiting.load_id, waiting.reason or "")))
    reason = "; ".join(found)[:_REASON_CHARACTERS]
    hold = replace(order, kind="hold", reason=reason)
    return Intent(hold, Loaded(None, "held", waits(hold.load_id, reason)))


def _settle(order: Order, hold: Load) -> Order:
    return replace(
        order,
        kind="release",
        load_id=new_id(_now()),
        stage=None,
        stage_path=None,
        about=hold.load_id,
        undoes=hold.inputs_digest,
        reason="source and rules give what is loaded again",
        made_by=None,
    )


def _objections(
    dataset: Dataset, staged: Stage, current: Load | None, staging: Staging, records: int
) -> list[str]:
    earlier = stage_of(current, staging) if current and current.is_load else None
    before = earlier.fingerprint.non_nulls if earlier and earlier.fingerprint else {}
    return objections(
        dataset.guards,
        staged,
        records=records,
        non_nulls=before,
        staged_non_nulls=staged.fingerprint.non_nulls if staged.fingerprint else {},
        on=_now().date(),
    )


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
