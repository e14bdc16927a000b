"""Which staged objects no load needs any more: decided here, removed elsewhere.

What is kept, by dataset and campaign key:

- everything younger than a day, with a manifest or without: it may be in the making;
- the newest complete stage and the newest complete extract, which a refresh that finds
  nothing changed refers to;
- what the newest loads and rollbacks of the ledger were made from, the current one first of
  all; so also the load that a rollback among them put back;
- what waits for approval;
- everything younger than the days asked for;
- the extract of every stage that is kept;
- everything of a key the ledger knows nothing of (the ledger may be the wrong one), and
  everything that does not lie where the platform writes.

Removed is the rest, and parts without a manifest that are older than a day.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from etl_assets.core.keep import Keep
from etl_assets.core.manifest import Load
from etl_assets.core.standing import standing_of

IN_THE_MAKING = dt.timedelta(days=1)
"""Nothing younger is ever removed."""

_MANIFEST = "manifest.json"
_KINDS: tuple[Literal["extract", "stage", "unload"], ...] = ("extract", "stage", "unload")
_DEPTH = 5  # extract/<dataset>/<campaign key>/<id>/<object>


@dataclass(frozen=True)
class StoredObject:
    """One object in a staging store.

    Attributes:
        path: Below the staging URL.
        bytes: Its size.
        modified: When it was written, UTC.
    """

    path: str
    bytes: int
    modified: dt.datetime


@dataclass(frozen=True)
class Folder:
    """The objects of one extract or one stage, or what an UNLOAD wrote to be read once.

    Attributes:
        objects: Its objects, the manifest first: removed in this order, what is left of
            an interrupted removal is never taken for something complete.
    """

    kind: Literal["extract", "stage", "unload"]
    dataset: str
    key: str
    id: str
    objects: tuple[StoredObject, ...]

    @property
    def path(self) -> str:
        """Below the staging URL."""
        return f"{self.kind}/{self.dataset}/{self.key}/{self.id}"

    @property
    def complete(self) -> bool:
        """Whether it has its manifest, which is written last."""
        return any(o.path == f"{self.path}/{_MANIFEST}" for o in self.objects)

    @property
    def bytes(self) -> int:
        """Size of all its objects."""
        return sum(o.bytes for o in self.objects)

    @property
    def modified(self) -> dt.datetime:
        """When its newest object was written."""
        return max(o.modified for o in self.objects)


@dataclass(frozen=True)
class Removal:
    """A folder that no load needs, and why."""

    folder: Folder
    reason: str


def folders_of(objects: Iterable[StoredObject]) -> list[Folder]:
    """Return the extracts and stages that objects belong to, by path; others are left out."""
    found: dict[tuple[str, ...], list[StoredObject]] = defaultdict(list)
    for item in objects:
        segments = tuple(item.path.split("/"))
        if len(segments) == _DEPTH and segments[0] in _KINDS:
            found[segments[:4]].append(item)
    return [
        Folder(
            kind=next(known for known in _KINDS if known == kind),
            dataset=dataset,
            key=key,
            id=id_,
            objects=tuple(
                sorted(items, key=lambda o: (not o.path.endswith(f"/{_MANIFEST}"), o.path))
            ),
        )
        for (kind, dataset, key, id_), items in sorted(found.items())
    ]


def select_removals(
    folders: Sequence[Folder],
    loads: Sequence[Load],
    extract_of: Callable[[Folder], str | None],
    *,
    moment: dt.datetime,
    keep: Callable[[str], Keep],
) -> list[Removal]:
    """Return the folders to remove, by path; see the module for what is kept.

    Args:
        folders: Everything in the store.
        loads: The whole ledger, newest first.
        extract_of: Gives the id of the extract a stage was made from, or None when that
            is not known: then all extracts of its key are kept.
        moment: The time, UTC.
        keep: Gives, by the name of a dataset, how much of it is kept.
    """
    by_key: dict[tuple[str, str], list[Folder]] = defaultdict(list)
    for folder in folders:
        by_key[folder.dataset, folder.key].append(folder)
    ledger: dict[tuple[str, str], list[Load]] = defaultdict(list)
    for load in loads:
        ledger[load.dataset, load.campaign_key].append(load)
    removals = []
    for key, mine in by_key.items():
        wanted = keep(key[0])
        young = moment - max(IN_THE_MAKING, dt.timedelta(days=wanted.days))
        kept = _kept(mine, ledger[key], extract_of, young=young, keep_loads=wanted.loads)
        for folder in mine:
            if folder.path in kept or folder.modified > moment - IN_THE_MAKING:
                continue
            if not folder.complete:
                removals.append(Removal(folder, "never finished"))
            elif ledger[key]:
                removals.append(Removal(folder, "no kept load needs it"))
    return sorted(removals, key=lambda removal: removal.folder.path)


def _kept(
    folders: Sequence[Folder],
    loads: Sequence[Load],
    extract_of: Callable[[Folder], str | None],
    *,
    young: dt.datetime,
    keep_loads: int,
) -> set[str]:
    """Return the paths of one key's folders that must stay, besides those in the making."""
    complete = [folder for folder in folders if folder.complete]
    stages = {folder.path: folder for folder in complete if folder.kind == "stage"}
    extracts = {folder.id: folder.path for folder in folders if folder.kind == "extract"}
    newest = max((f for f in complete if f.kind == "extract"), key=lambda f: f.id, default=None)
    made = [load for load in loads if load.is_load][:keep_loads]
    if waiting := standing_of(loads).waiting:
        made.append(waiting)
    kept = {folder.path for folder in complete if folder.modified > young}
    kept |= {max(stages)} if stages else set()
    kept |= {newest.path} if newest else set()
    kept |= {load.stage.rpartition("/")[0] for load in made if load.stage}
    needed = {load.extract_id for load in made}
    needed |= {extract_of(stage) for path, stage in stages.items() if path in kept}
    if None in needed:
        return kept | set(extracts.values())
    return kept | {extracts[id_] for id_ in needed if id_ in extracts}
