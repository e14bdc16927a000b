"""Whether a source delivers: what arrived last, what became of it, and whether it is late."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import LoadedFile

_DELIVERED = ("loaded", "repeated", "undone")
"""What became of a file that was a delivery; one that is quarantined is none."""


@dataclass(frozen=True)
class Verdict:
    """What a check of a source says.

    Attributes:
        passed: Whether it is well.
        said: A sentence, and what to do when it is not.
        is_error: Whether it is a failure and no warning, when not passed.
    """

    passed: bool
    said: str
    is_error: bool = True


def judge_delivery(contract: Contract, history: Sequence[LoadedFile], at: dt.datetime) -> Verdict:
    """Return whether a source has delivered within the hours that its contract says.

    Args:
        contract: Of the source.
        history: Its rows of the ledger.
        at: The moment, with a time zone.
    """
    arrived = [row.arrived_at for row in history if row.status in _DELIVERED]
    last = max(arrived, default=None)
    since = (
        f"Source {contract.source} has not delivered since {last:%Y-%m-%d %H:%M} UTC"
        if last
        else f"Source {contract.source} has not delivered anything yet"
    )
    hours = contract.deliver_within_hours
    if hours is None:
        return Verdict(passed=True, said=f"{since}; its contract says no time.")
    due = last + dt.timedelta(hours=hours) if last else None
    if due is None or due < at:
        return Verdict(
            passed=False,
            said=f"{since}; it is to deliver every {hours:g} hours. Ask who sends it, or see with"
            f" `etl-assets inputs list` whether its files are quarantined.",
        )
    return Verdict(passed=True, said=f"{since}; the next file is due {due:%Y-%m-%d %H:%M} UTC.")


def judge_latest(history: Sequence[LoadedFile]) -> Verdict:
    """Return whether the file that was read last was accepted, every row of it.

    Rejected rows are a warning: the others are loaded. A quarantined file is a failure.

    Args:
        history: A source's rows of the ledger, newest first.
    """
    if not history:
        return Verdict(passed=True, said="No file was read yet.")
    row = history[0]
    if row.status == "quarantined":
        return Verdict(
            passed=False,
            said=f"Nothing of {row.name} was loaded: {row.reason}"
            " It is tried again when the file is replaced, or the contract changed.",
        )
    loaded = next((one for one in history if one.id == row.about), row)
    if loaded.rejected and loaded.status == "loaded":
        return Verdict(
            passed=False,
            is_error=False,
            said=f"{loaded.rejected:,} of {loaded.rows:,} rows of {loaded.name} were rejected;"
            f" {loaded.rejects} says which, and why.",
        )
    return Verdict(passed=True, said=f"{row.name}: {describe(row)}")


def describe(row: LoadedFile) -> str:
    """Return what became of a file, in a few words."""
    if row.status == "undone":
        return f"undone, {count_rows(row.removed)} removed, {row.restored:,} restored"
    if row.status != "loaded":
        return f"{row.status}: {row.reason}"
    counts = {
        "new": row.inserted, "changed": row.updated, "unchanged": row.unchanged,
        "outdated": row.outdated, "duplicate": row.duplicates, "rejected": row.rejected,
    }  # fmt: skip
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    text = count_rows(row.rows) + (f": {told}" if told else "")
    return f"{text} ({row.reason})" if row.reason else text


def count_rows(count: int) -> str:
    """Return a number of rows, as people say it."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"
