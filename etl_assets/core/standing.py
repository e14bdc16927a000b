"""What the ledger says about one campaign's slice, and what that means for a new load.

Pure: the rows in, the decision out. Whoever carries it out says which row was newest, and is
refused when another is by then (`core/orders.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import FIRST

Status = Literal["loaded", "unchanged", "kept", "held"]
"""What became of a load. `unchanged`: the slice has these records already. `kept`: somebody
decided that the slice stays as it is. `held`: it waits for approval."""


@dataclass(frozen=True)
class Standing:
    """What is true of a slice now.

    Attributes:
        newest: Id of the key's newest row; `FIRST` when there is none.
        current: The row that made the slice what it is.
        kept: The hold of a person that keeps it so, whatever comes.
        waiting: The hold of a guard whose load nobody has decided on.
        refused: The release by which a person refused the load of a guard's hold, last of all.
        undone: `inputs_digest` of what rollbacks took away since the last load.
    """

    newest: str = FIRST
    current: Load | None = None
    kept: Load | None = None
    waiting: Load | None = None
    refused: Load | None = None
    undone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What to do with staged records.

    Attributes:
        load: Whether to load them, unless a guard objects.
        status: What becomes of them otherwise.
        reason: Why, as a sentence; empty when nothing has to be said.
        settled: A guard's hold that is no longer about anything.
    """

    load: bool
    status: Status = "unchanged"
    reason: str = ""
    settled: Load | None = None


def standing_of(rows: Sequence[Load]) -> Standing:
    """Return what the rows of one key say, given newest first."""
    current = next((row for row in rows if row.changes_slice), None)
    persons = (row for row in rows if _is_persons(row))
    last = next(persons, None)
    since = [row for row in rows[: rows.index(current) if current else None] if _is_guards(row)]
    decided = since[0] if since else None
    return Standing(
        newest=rows[0].load_id if rows else FIRST,
        current=current,
        kept=last if last and last.kind == "hold" else None,
        waiting=decided if decided and decided.kind == "hold" else None,
        refused=decided if decided and decided.kind == "release" and decided.made_by else None,
        undone=frozenset(_undone(rows)),
    )


def decide(standing: Standing, staged: Stage, *, records: int, force: bool) -> Decision:
    """Return whether staged records are to be loaded.

    Args:
        standing: What the ledger says of the slice.
        staged: What a refresh staged.
        records: Those the slice has, counted now.
        force: Load also what is unchanged, refused or rolled back, but not what is on hold.
    """
    current, digest = standing.current, staged.inputs_digest
    if standing.kept:
        return Decision(load=False, status="kept", reason=keeps(standing.kept))
    if force:
        return Decision(load=True)
    shown = current is not None and current.reporting == staged.reporting
    if current and shown and current.inputs_digest == digest and current.records == records:
        return Decision(load=False, settled=standing.waiting)
    reason = _stays(standing, staged)
    return Decision(load=not reason, status="kept", reason=reason)


def _stays(standing: Standing, staged: Stage) -> str:
    """Return why these records in particular are not to be loaded; empty when they are."""
    current, refused = standing.current, standing.refused
    unchanged = (
        ", and neither source nor rules have changed since."
        f" `etl-assets refresh --key {staged.campaign_key} --force` loads what they give now."
    )
    if current and staged.inputs_digest in standing.undone:
        return (
            f"The slice was rolled back to load {current.about} by {current.made_by}"
            f"{_because(current)}{unchanged}"
        )
    if refused and refused.undoes == staged.inputs_digest:
        return f"This load was refused by {refused.made_by}{_because(refused)}{unchanged}"
    if current and current.kind == "load" and _is_overtaken(staged, current):
        return (
            f"Load {current.load_id}, of a newer extract, was committed since this was staged."
            " Refresh the campaign again."
        )
    return ""


def follows(standing: Standing, staged: Stage | None, *, records: int) -> tuple[Status, str]:
    """Return what is true of a slice between two loads, and why, as of one that was refreshed.

    Args:
        standing: What the ledger says of the slice.
        staged: What was staged last; None when that is not known.
        records: Those the slice has.
    """
    kept, waiting = standing.kept, standing.waiting
    if kept:
        return "kept", keeps(kept)
    if waiting and (staged is None or staged.inputs_digest == waiting.inputs_digest):
        return "held", waits(waiting.load_id, waiting.reason or "")
    if staged is None:
        return "unchanged", ""
    made = decide(standing, staged, records=records, force=False)
    if made.load:
        return "unchanged", "Nothing holds the slice; the next refresh loads what was staged last."
    return made.status, made.reason


def keeps(hold: Load) -> str:
    """Return the sentence for a slice that a person keeps as it is."""
    return (
        f"The slice is on hold since {hold.committed_at:%Y-%m-%d %H:%M} UTC, by {hold.made_by}"
        f"{_because(hold)}. `etl-assets loads release --key {hold.campaign_key}` ends it."
    )


def waits(load_id: str, reason: str) -> str:
    """Return the sentence for a load that waits for approval, by the id of its hold."""
    return (
        f"The load is held for approval: {reason}. The slice is as it was. Load it with"
        f" `etl-assets loads approve {load_id}`, or refuse it with"
        f" `etl-assets loads refuse {load_id}`."
    )


def _is_persons(row: Load) -> bool:
    return (row.kind == "hold" and row.stage is None) or (
        row.kind == "release" and row.undoes is None
    )


def _is_guards(row: Load) -> bool:
    return (row.kind == "hold" and row.stage is not None) or (
        row.kind == "release" and row.undoes is not None
    )


def _undone(rows: Sequence[Load]) -> list[str]:
    """Return what the rollbacks since the last load or prune took away."""
    found = []
    for row in rows:
        if row.kind == "rollback":
            found.append(row.undoes or "")
        elif row.changes_slice:
            break
    return found


def _is_overtaken(staged: Stage, current: Load) -> bool:
    newer = (current.extract_id or "") > staged.extract_id
    return newer and current.committed_at > staged.staged_at


def _because(row: Load) -> str:
    return f" ({row.reason})" if row.reason else ""
