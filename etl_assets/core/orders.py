"""What a warehouse is asked to commit for one campaign: each order becomes a row of the ledger.

Orders given together are committed in one transaction: all of them, or none.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import TransientError
from etl_assets.core.manifest import Kind, Load, Stage
from etl_assets.core.reporting import Declared

FIRST = ""
"""Stands for the row before a key's first one."""


@dataclass(frozen=True)
class Order:
    """What to do to one campaign's slice.

    Attributes:
        kind: As of the row it becomes.
        load_id: Of that row. An order whose row is there already is not carried out again.
        over: The id of the key's newest row that the decision was made on, or `FIRST`: when
            another is newest by then, nothing is done. None: whatever it is.
        stage: What is loaded, or waits for approval, or is refused.
        stage_path: Where its manifest is.
        run_id: The Dagster run that asks.
        declared: What the dataset's document says of views; None: they are not looked at.
    """

    kind: Kind
    dataset: str
    table: str
    campaign_key: str
    load_id: str
    over: str | None = None
    stage: Stage | None = None
    stage_path: str | None = None
    run_id: str | None = None
    reason: str | None = None
    made_by: str | None = None
    about: str | None = None
    undoes: str | None = None
    declared: Declared | None = None

    @property
    def loaded(self) -> Stage | None:
        """What is to be in the slice; None when the order loads nothing."""
        return self.stage if self.kind in ("load", "rollback") else None

    def __str__(self) -> str:
        if self.loaded:
            return f"The {self.kind} of {self.dataset} for campaign {self.campaign_key}"
        if self.kind == "prune":
            return f"The removal of {self.campaign_key} from {self.table}"
        return f"The {self.kind} of campaign {self.campaign_key} in {self.dataset}"


def declared_by(dataset: Dataset) -> Declared:
    """Return what a dataset's document says of the views beside its table."""
    return Declared(
        description=dataset.description,
        comments={name: spec.comment for name, spec in dataset.columns.items() if spec.comment},
        reporting=dataset.reporting,
        table_read=any(reader.reads == "table" for reader in dataset.readers),
    )


def order_load(
    stage: Stage, stage_path: str, *, dataset: Dataset | None = None, run_id: str | None = None
) -> Order:
    """Return the order to replace a campaign's slice with staged records."""
    return Order(
        kind="load",
        dataset=stage.dataset,
        table=stage.table,
        campaign_key=stage.campaign_key,
        load_id=stage.load_id,
        stage=stage,
        stage_path=stage_path,
        run_id=run_id,
        declared=declared_by(dataset) if dataset else None,
    )


def order_for(kind: Kind, dataset: Dataset, key: str, load_id: str) -> Order:
    """Return the order of another kind for a key, to be completed."""
    return Order(kind=kind, dataset=dataset.name, table=dataset.table, campaign_key=key,
                 load_id=load_id, declared=declared_by(dataset))  # fmt: skip


def describe_orders(orders: Sequence[Order]) -> str:
    """Return what orders ask for, as the subject of a sentence."""
    first, more = orders[0], len(orders) - 1
    return f"{first} (and {more} more in its transaction)" if more else str(first)


def check_over(order: Order, newest: Load | None) -> None:
    """Check that the key's newest row is the one that the decision was made on.

    Raises:
        SupersededError: When it is another; nothing was done.
    """
    found = newest.load_id if newest else FIRST
    if order.over is not None and order.over != found:
        raise SupersededError(
            f"{order} was decided on load {order.over or 'none'}, but {found or 'none'} is the"
            " newest by now; nothing was done.",
            "Try again.",
        )


class SupersededError(TransientError):
    """Somebody else committed a change to the same slice since it was looked at."""


def after(moment: dt.datetime, newest: Load | None) -> dt.datetime:
    """Return the moment, or the first one after a key's newest row, whose clock may be ahead."""
    if newest is None or newest.committed_at < moment:
        return moment
    return newest.committed_at + dt.timedelta(microseconds=1)
