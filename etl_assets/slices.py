"""What a person decides about a campaign's slice, each decision as one transaction.

A decision is made on the rows of the ledger. When somebody else changed the slice before it is
committed, nothing is done and it is made anew, a few times. The source is never read.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, StagingError, WarehouseError
from etl_assets.core.manifest import Kind, Load, Stage
from etl_assets.core.orders import Order, order_for
from etl_assets.core.standing import Standing, keeps, standing_of, waits
from etl_assets.kept import new_id, stage_of
from etl_assets.loading import decided_anew
from etl_assets.systems.protocols import Staging, Warehouse

_LISTED = 5
_REASON_BYTES, _NAME_BYTES = 1024, 256
"""What the ledger's columns hold."""


@dataclass(frozen=True)
class Decided:
    """What a decision did.

    Attributes:
        row: Its row of the ledger.
        stage: What the slice has now, when that was changed.
        about: The row that was decided about; None for a hold.
        before: The row that had made the slice what it was.
    """

    row: Load
    stage: Stage | None = None
    about: Load | None = None
    before: Load | None = None


@dataclass(frozen=True)
class Decisions:
    """The decisions of one person.

    What each raises, besides what it says itself: PermanentError when there is nothing to
    decide; ProofError, WarehouseError or StagingError when the warehouse refuses or a part is
    not what it was; TransientError when the warehouse is busy, or the slice was changed again
    and again meanwhile. The slice is what it was then.

    Attributes:
        made_by: Who decides; the ledger keeps it.
        run_id: The Dagster run that asks, if any.
    """

    warehouse: Warehouse
    staging: Staging
    made_by: str
    run_id: str | None = None

    def roll_back(
        self, dataset: Dataset, key: str, load_id: str, *, reason: str = "", hold: bool = False
    ) -> Decided:
        """Put back what an earlier load had.

        The next refresh does not undo it while source and rules are what they are; with
        `hold`, none does until the key is released.
        """
        return decided_anew(
            lambda: self._roll_back(dataset, key, load_id, reason=reason, hold=hold)
        )

    def approve(self, dataset: Dataset, key: str, load_id: str) -> Decided:
        """Load what a guard holds; the id is that of the hold."""
        return decided_anew(lambda: self._approve(dataset, key, load_id))

    def refuse(self, dataset: Dataset, key: str, load_id: str, *, reason: str = "") -> Decided:
        """End a guard's hold; what it held is not loaded by itself any more."""
        return decided_anew(lambda: self._refuse(dataset, key, load_id, reason=reason))

    def hold(self, dataset: Dataset, key: str, reason: str) -> Decided:
        """Keep the slice as it is, whatever comes, until it is released."""
        return decided_anew(lambda: self._hold(dataset, key, reason=reason))

    def release(self, dataset: Dataset, key: str, *, reason: str = "") -> Decided:
        """End the hold of a person, whoever that was."""
        return decided_anew(lambda: self._release(dataset, key, reason=reason))

    def _roll_back(
        self, dataset: Dataset, key: str, load_id: str, *, reason: str, hold: bool
    ) -> Decided:
        rows = self.warehouse.loads(dataset=dataset.name, key=key)
        target = _find(rows, dataset, key, load_id)
        stage = self._kept_stage(target, dataset)
        standing = standing_of(rows)
        had = next((row for row in rows if row.is_load), None)
        undoes = had.inputs_digest if had and had.inputs_digest != target.inputs_digest else None
        if undoes is None and standing.current is had:
            records = self.warehouse.slices(dataset).get(key, 0)
            if records == target.records:
                raise PermanentError(
                    f"Campaign {key} in {dataset.name} has what load {load_id} had:"
                    " there is nothing to roll back.",
                    _others(row for row in rows if row.inputs_digest != target.inputs_digest),
                )
        order = replace(
            self._order("rollback", dataset, key, standing, reason),
            stage=stage,
            stage_path=target.stage,
            about=target.load_id,
            undoes=undoes,
        )
        orders = [order]
        if hold:
            kept = self._order(
                "hold", dataset, key, standing, reason or f"rolled back to {load_id}"
            )
            orders.append(replace(kept, over=order.load_id))
        row = self.warehouse.commit(orders, self.staging)[0]
        return Decided(row, stage, target, standing.current)

    def _approve(self, dataset: Dataset, key: str, load_id: str) -> Decided:
        standing, waiting = self._waiting(dataset, key, load_id)
        stage = self._kept_stage(waiting, dataset)
        order = replace(
            self._order("load", dataset, key, standing, f"approved: {waiting.reason}"),
            stage=stage,
            stage_path=waiting.stage,
            about=waiting.load_id,
        )
        (row,) = self.warehouse.commit([order], self.staging)
        return Decided(row, stage, waiting, standing.current)

    def _refuse(self, dataset: Dataset, key: str, load_id: str, *, reason: str) -> Decided:
        standing, waiting = self._waiting(dataset, key, load_id)
        order = self._order("release", dataset, key, standing, reason)
        order = replace(order, about=waiting.load_id, undoes=waiting.inputs_digest)
        (row,) = self.warehouse.commit([order], self.staging)
        return Decided(row, about=waiting, before=standing.current)

    def _hold(self, dataset: Dataset, key: str, *, reason: str) -> Decided:
        standing = self._standing(dataset, key)
        if standing.kept:
            raise PermanentError(
                f"Campaign {key} in {dataset.name} is on hold already. {keeps(standing.kept)}"
            )
        order = self._order("hold", dataset, key, standing, reason)
        (row,) = self.warehouse.commit([order], self.staging)
        return Decided(row, before=standing.current)

    def _release(self, dataset: Dataset, key: str, *, reason: str) -> Decided:
        standing = self._standing(dataset, key)
        if standing.kept is None:
            waiting = standing.waiting
            raise PermanentError(
                f"Campaign {key} in {dataset.name} is not on hold.",
                waits(waiting.load_id, waiting.reason or "") if waiting else "",
            )
        order = self._order("release", dataset, key, standing, reason)
        (row,) = self.warehouse.commit([replace(order, about=standing.kept.load_id)], self.staging)
        return Decided(row, about=standing.kept, before=standing.current)

    def _order(
        self, kind: Kind, dataset: Dataset, key: str, standing: Standing, reason: str
    ) -> Order:
        return replace(
            order_for(kind, dataset, key, new_id(dt.datetime.now(dt.UTC))),
            over=standing.newest,
            run_id=self.run_id,
            reason=_cut(reason.strip(), _REASON_BYTES) or None,
            made_by=_cut(self.made_by.strip(), _NAME_BYTES) or "unknown",
        )

    def _standing(self, dataset: Dataset, key: str) -> Standing:
        return standing_of(self.warehouse.loads(dataset=dataset.name, key=key))

    def _waiting(self, dataset: Dataset, key: str, load_id: str) -> tuple[Standing, Load]:
        """Return what the ledger says, and the guard's hold that a load waits in.

        Raises:
            PermanentError: When the load does not wait for approval.
        """
        standing = self._standing(dataset, key)
        waiting = standing.waiting
        if waiting is None or waiting.load_id != load_id:
            waits_now = f"Load {waiting.load_id} does." if waiting else "None of the campaign does."
            raise PermanentError(
                f"Load {load_id} of {dataset.name} for campaign {key} does not wait for approval.",
                waits_now,
            )
        return standing, waiting

    def _kept_stage(self, row: Load, dataset: Dataset) -> Stage:
        """Return the staged parts of a row.

        Raises:
            StagingError: When they are not kept.
            WarehouseError: When they are of another table than the dataset's.
        """
        what = f"Load {row.load_id} of {dataset.name} for campaign {row.campaign_key}"
        stage = stage_of(row, self.staging)
        if stage is None:
            raise StagingError(
                f"{what} cannot be loaded again: its staged parts are no longer kept.",
                "Choose another load, or refresh the campaign; `keep` in the dataset's document"
                " says how many are kept.",
            )
        if stage.table != dataset.table:
            raise WarehouseError(
                f"{what} cannot be loaded again: it is of the table {stage.table}, and the"
                f" dataset's is {dataset.table}.",
                "Choose another load, or refresh the campaign.",
            )
        return stage


def find_row(
    warehouse: Warehouse, load_id: str, *, dataset: str | None = None, key: str | None = None
) -> Load:
    """Return a row of the ledger by its id.

    Args:
        warehouse: Whose ledger it is.
        load_id: The row's.
        dataset: Only of this dataset.
        key: Only of this campaign.

    Raises:
        PermanentError: When there is none, with those there are.
    """
    rows = warehouse.loads(dataset=dataset, key=key)
    found = next((row for row in rows if row.load_id == load_id), None)
    if found is None:
        of = " ".join(filter(None, [f"of campaign {key}" if key else "",
                                    f"in {dataset}" if dataset else ""]))  # fmt: skip
        raise PermanentError(
            f"The ledger has no load {load_id}{f' {of}' if of else ''}.", _others(rows)
        )
    return found


def _find(rows: Sequence[Load], dataset: Dataset, key: str, load_id: str) -> Load:
    """Return the load to put back; raise when there is none, or the row is none."""
    found = next((row for row in rows if row.load_id == load_id), None)
    if found is None:
        raise PermanentError(
            f"There is no load {load_id} of {dataset.name} for campaign {key}.", _others(rows)
        )
    if not found.is_load:
        hint = (
            f" `etl-assets loads approve {load_id}` loads it."
            if found.kind == "hold" and found.stage
            else ""
        )
        raise PermanentError(
            f"{load_id} of {dataset.name} for campaign {key} is no load, but a {found.kind}:"
            f" it cannot be put back.{hint}",
            _others(rows),
        )
    return found


def _others(rows: Iterable[Load]) -> str:
    """Return which loads there are to choose from, newest first, as a sentence."""
    loads = [row for row in rows if row.is_load]
    if not loads:
        return "There is no other load."
    listed = ", ".join(f"{row.load_id} ({row.records:,} records)" for row in loads[:_LISTED])
    more = f" and {len(loads) - _LISTED} earlier ones" if len(loads) > _LISTED else ""
    return f"Choose one of {listed}{more}; `etl-assets loads` lists them."


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
