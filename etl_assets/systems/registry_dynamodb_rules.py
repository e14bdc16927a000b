"""The versions of rule sets in the registry's table: its items' history, read and published.

The number people see is that of the text, as in files; an item's own `version` only counts its
writes, whoever made them.
"""

import datetime as dt
import uuid
from typing import TYPE_CHECKING

from etl_assets.core.errors import DocumentError, TransientError
from etl_assets.core.registry_items import RULES, Stored
from etl_assets.core.registry_push import Change
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.texts import said
from etl_assets.core.rules.versions import RuleVersion, current_of, instant, next_version

if TYPE_CHECKING:
    from etl_assets.systems.registry_dynamodb import DynamoDBRegistry

_ATTEMPTS = 5


def rule_versions(registry: "DynamoDBRegistry", dataset: str) -> list[RuleVersion]:
    """Return every version; see `RegistryStore.rule_versions`."""
    history = registry.history(RULES + dataset)  # first: what is published meanwhile is current
    current = registry.filled().documents.get(RULES + dataset)
    return _versions(dataset, history, current)


def publish_rules(
    registry: "DynamoDBRegistry",
    dataset: str,
    text: str,
    *,
    over: int,
    by: str,
    at: dt.datetime,
    comment: str,
) -> RuleVersion:
    """Publish a version; see `RegistryStore.publish_rules`."""
    from etl_assets.systems.registry_dynamodb import LostRaceError

    if dataset not in registry.datasets:
        hint = nearest(dataset, registry.datasets)
        raise DocumentError("rules", [f"there is no dataset `{dataset}`{hint}"])
    id_, made = RULES + dataset, None
    for _ in range(_ATTEMPTS):
        history = registry.history(id_)
        snapshot = registry.filled()
        stored = snapshot.documents.get(id_, Stored(id_))
        versions = _versions(dataset, history, stored)
        if made is not None and current_of(versions) == made:
            return made  # the write that seemed lost was ours: its answer got lost
        made = next_version(versions, dataset, text, over=over, by=by, at=at, comment=comment)
        change = Change(id_, made.text, stored.version)
        try:
            registry.write(
                [change], snapshot, by=made.by, at=made.at or at, push_id=uuid.uuid4().hex
            )
        except LostRaceError:
            continue  # perhaps of another document: what counts is looked at again
        return made
    raise TransientError(
        f"The registry in {registry.name} changed each of {_ATTEMPTS} times it was written.",
        "Publish again; `etl-assets registry show` lists who changes it.",
    )


def _versions(dataset: str, history: list[Stored], current: Stored | None) -> list[RuleVersion]:
    found = [stored for stored in history if not stored.removed]
    if current and (current.version or current.fault) and not current.removed:
        found += [] if current in found else [current]
    made = [_version(dataset, stored, current=stored == current) for stored in found]
    return sorted(made, key=lambda v: (v.version, v.current), reverse=True)


def _version(dataset: str, stored: Stored, *, current: bool) -> RuleVersion:
    text = stored.document if isinstance(stored.document, str) else ""
    version, comment, fault = 0, "", stored.fault
    if stored.aside:
        version, comment = stored.aside.version, stored.aside.comment
    elif not fault:
        try:
            version, comment = said(text, stored.id)
        except DocumentError as error:
            fault = "; ".join(error.problems)
    at = instant(stored.updated_at)
    return RuleVersion(dataset, version, text, stored.updated_by, at, comment, current, fault)
