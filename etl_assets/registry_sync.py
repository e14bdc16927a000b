"""The registry as a folder of YAML documents that people edit, and back.

`pull` writes the folder and `pushed.json` beside the documents: which version of each the
folder has seen. `push` writes what was changed in the folder since, over these versions, so
that two people who changed the same document cannot undo each other's work.
"""

import datetime as dt
import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from etl_assets.core.campaigns import Campaign
from etl_assets.core.errors import DocumentError, RegistryError, TransientError
from etl_assets.core.registry_items import (
    CAMPAIGN,
    DAY,
    RULES,
    Stored,
    documents_of,
    registry_of,
)
from etl_assets.core.registry_push import Seen, after, digest, plan_push
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry, LostRaceError, Snapshot
from etl_assets.systems.registry_files import FileRegistry

SEEN = "pushed.json"
_ATTEMPTS = 5


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        revision: The registry's, after it.
        written: Ids of the documents written.
        removed: Ids of the documents removed.
        left: Ids of documents that others wrote and the folder never saw.
    """

    revision: int
    written: list[str]
    removed: list[str]
    left: list[str]


def push(
    registry: DynamoDBRegistry, folder: Path, *, by: str, at: dt.datetime, take_over: bool = False
) -> Pushed:
    """Make the registry say what the folder says, where the folder was changed.

    Args:
        registry: The store.
        folder: Documents as `FileRegistry` reads them.
        by: Who pushes.
        at: When, UTC.
        take_over: Whether to end a push that another began and did not end.

    Raises:
        DocumentError: When a document of the folder is not valid; nothing is written.
        RegistryError: When somebody else changed the same document; it names who.
        TransientError: When AWS is busy, or others write faster than this can.
    """
    wanted = read_folder(folder, registry.datasets)
    seen = _read_seen(folder, registry)
    push_id = uuid.uuid4().hex
    done: set[str] = set()
    for _ in range(_ATTEMPTS):
        snapshot = registry.snapshot(unfinished=True)
        if snapshot.unfinished not in ("", push_id) and not take_over:
            raise RegistryError(
                f"Nothing was pushed: a push by {snapshot.updated_by} at"
                f" {snapshot.updated_at} has not ended.",
                "Wait for it; when it was interrupted, add --take-over.",
            )
        plan = plan_push(wanted, snapshot.documents, seen)
        registry_of(after(snapshot.documents, plan.changes), registry.datasets, registry.name)
        revision = snapshot.revision
        try:
            if plan.changes or snapshot.unfinished or not revision:
                revision = registry.write(plan.changes, snapshot, by=by, at=at, push_id=push_id)
        except LostRaceError:
            mine = registry.snapshot(unfinished=True).documents
            done |= {c.id for c in plan.changes if _same(mine.get(c.id), c.document)}
            continue
        done |= {change.id for change in plan.changes}
        versions = {c.id: c.version + 1 for c in plan.changes}
        _write_seen(folder, registry, seen, wanted, snapshot, versions)
        return Pushed(
            revision, sorted(done & {*wanted}), sorted(done - {*wanted}), sorted(plan.left)
        )
    raise TransientError(
        f"The registry in {registry.name} changed each of {_ATTEMPTS} times it was written.",
        "Push again; `etl-assets registry show` lists who changes it.",
    )


def pull(registry: DynamoDBRegistry, folder: Path, *, force: bool = False) -> Snapshot:
    """Write the registry's documents into a folder.

    Args:
        registry: The store.
        folder: Made when absent.
        force: Whether to overwrite changes that were never pushed.

    Raises:
        RegistryError: When the folder has changes of its own, or a document cannot be
            written as YAML.
        TransientError: When AWS is busy, or a push is under way.
    """
    snapshot = registry.snapshot(unfinished=force)
    live = {id_: d for id_, d in snapshot.documents.items() if not d.removed}
    if not force:
        _refuse_unpushed(registry, folder)
    texts = _texts({id_: d.document for id_, d in live.items() if not d.fault})
    for old in (folder / "rules").glob("*.y*ml"):
        if f"rules/{old.name}" not in texts:
            old.unlink()
    if "calendar.yaml" not in texts:
        (folder / "calendar.yaml").unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    seen = {id_: Seen(d.version, digest(d.document)) for id_, d in live.items() if not d.fault}
    _save_seen(folder, registry, seen)
    return snapshot


def read_folder(folder: Path, datasets: Collection[str]) -> dict[str, object]:
    """Return a folder's documents by id.

    Raises:
        DocumentError: When one is not valid.
        RegistryError: When one cannot be read.
    """
    store = FileRegistry(folder, datasets)
    registry = store.read()
    for problem in registry.problems.values():
        source, _, said = problem.partition(", ")
        raise DocumentError(source, [said])
    return documents_of(registry, store.rule_texts())


def _texts(documents: Mapping[str, object]) -> dict[str, str]:
    """Return the text of each file of a folder, by name."""
    campaigns = []
    calendar: dict[str, object] = {}
    texts: dict[str, str] = {}
    for id_, document in sorted(documents.items()):
        kind, _, name = id_.partition("#")
        content = document if isinstance(document, dict) else {}
        if f"{kind}#" == CAMPAIGN:
            campaigns.append({"key": name, **_in_order(content)})
        elif f"{kind}#" == DAY:
            calendar[name] = content.get("keys", content)
        elif f"{kind}#" == RULES:
            texts[f"rules/{name}.yaml"] = str(document)
    texts["campaigns.yaml"] = _yaml({"campaigns": campaigns})
    if calendar:
        texts["calendar.yaml"] = _yaml({"calendar": calendar})
    return texts


def _in_order(campaign: Mapping[str, object]) -> dict[str, object]:
    """Return a campaign's fields as people read them; DynamoDB keeps no order."""
    fields = list(Campaign.model_fields)
    ordered = {name: campaign[name] for name in fields if name in campaign}
    parameters = ordered.get("parameters")
    if isinstance(parameters, dict):
        ordered["parameters"] = dict(sorted(parameters.items()))
    return {**ordered, **{n: v for n, v in sorted(campaign.items()) if n not in ordered}}


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _same(stored: Stored | None, document: object) -> bool:
    return stored is not None and digest(stored.document) == digest(document)


def _refuse_unpushed(registry: DynamoDBRegistry, folder: Path) -> None:
    if not (folder / "campaigns.yaml").exists():
        return
    seen = _read_seen(folder, registry)
    try:
        mine = {id_: digest(d) for id_, d in read_folder(folder, registry.datasets).items()}
    except DocumentError:
        mine = {"it": "is being edited"}
    changed = sorted({*mine.items()} ^ {(id_, known.digest) for id_, known in seen.items()})
    if changed:
        raise RegistryError(
            f"Nothing was pulled: {folder} has changes that were never pushed ({changed[0][0]}).",
            "Push them, or add --force to lose them.",
        )


def _read_seen(folder: Path, registry: DynamoDBRegistry) -> dict[str, Seen]:
    """Return what the folder knows of this very table; nothing when it knows another."""
    file = folder / SEEN
    if not file.exists():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["registry"] != _address(registry):
            return {}
        return {id_: Seen(int(v), str(d)) for id_, (v, d) in content["documents"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"{file} cannot be read ({error}).",
            "Remove it; a push then refuses what others wrote instead of comparing.",
        ) from error


def _write_seen(
    folder: Path,
    registry: DynamoDBRegistry,
    seen: Mapping[str, Seen],
    wanted: Mapping[str, object],
    snapshot: Snapshot,
    written: Mapping[str, int],
) -> None:
    """Note the versions that now say what the folder says; older ones stay what they were."""
    known = {id_: s for id_, s in seen.items() if id_ in wanted}
    for id_, document in wanted.items():
        now = snapshot.documents.get(id_)
        if id_ in written:
            known[id_] = Seen(written[id_], digest(document))
        elif now and not now.removed and _same(now, document):
            known[id_] = Seen(now.version, digest(document))
    _save_seen(folder, registry, known)


def _save_seen(folder: Path, registry: DynamoDBRegistry, seen: Mapping[str, Seen]) -> None:
    content = {
        "registry": _address(registry),
        "documents": {id_: [s.version, s.digest] for id_, s in sorted(seen.items())},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SEEN).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _address(registry: DynamoDBRegistry) -> str:
    place = registry.place
    return f"{place.name} {place.region or ''} {place.endpoint_url or ''}".strip()
