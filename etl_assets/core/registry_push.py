"""What a push writes: what a folder changed, over the versions it has seen, and nothing else."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.core.errors import RegistryError
from etl_assets.core.registry_items import Stored

_SHOWN = 5


@dataclass(frozen=True)
class Change:
    """A document to write, or to remove when `document` is None, over the version read."""

    id: str
    document: object
    version: int


@dataclass(frozen=True)
class Seen:
    """What a folder knew of a document when it was last pulled or pushed."""

    version: int
    digest: str


@dataclass(frozen=True)
class Push:
    """What a push would write.

    Attributes:
        changes: The documents to write or remove.
        left: Ids of documents that others wrote and the folder never saw; they stay.
    """

    changes: list[Change] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def plan_push(
    wanted: Mapping[str, object],
    current: Mapping[str, Stored],
    seen: Mapping[str, Seen],
) -> Push:
    """Return what makes the registry say what a folder says, without undoing others' work.

    Args:
        wanted: The folder's documents by id.
        current: The registry's, removed ones included.
        seen: What the folder knew of them.

    Raises:
        RegistryError: When a document was changed on both sides; it names who won.
    """
    push, lost = Push(), []
    for id_ in sorted({*wanted, *current}):
        stored = current.get(id_, Stored(id_))
        mine, theirs = wanted.get(id_), None if stored.removed else stored.document
        base = seen.get(id_)
        same = digest(mine) == digest(theirs) and not stored.fault
        if same or (base and mine is not None and base.digest == digest(mine)
                    and base.version != stored.version):  # fmt: skip
            continue  # nothing to say, or nothing of ours: what others wrote stays
        if mine is None and base is None:
            push.left.append(id_)
        elif base and base.version != stored.version:
            lost.append(f"{id_}, now {stored.written} (this folder has version {base.version})")
        elif base is None and stored.version and not stored.removed:
            lost.append(f"{id_}, now {stored.written} (this folder never saw it)")
        else:
            push.changes.append(Change(id_, mine, stored.version))
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise RegistryError(
            f"Nothing was pushed: others changed {'; '.join(lost[:_SHOWN])}{more}.",
            "Keep a copy of your change, run `etl-assets registry pull DIR --force`, make it"
            " again and push.",
        )
    return push


def after(current: Mapping[str, Stored], changes: Sequence[Change]) -> list[Stored]:
    """Return the documents as they will be once changes are written."""
    changed = {
        change.id: Stored(change.id, change.document, removed=change.document is None)
        for change in changes
    }
    return [*{**current, **changed}.values()]


def digest(document: object) -> str:
    """Return a SHA-256 that two documents share when they say the same."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
