"""What a watcher of the registry remembers from one look to the next, and what it makes of it.

The memory is the sensor's cursor: small, since Dagster stores it with every look, and only
12 characters of each version.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from etl_assets.core.data_versions import CAMPAIGNS, Versions, rules_of

_KEPT = 12
Cause = Literal["rules", "campaign"]


@dataclass(frozen=True, order=True)
class Wanted:
    """A dataset's partition that a change in the registry put out of step.

    Attributes:
        cause: `rules` needs the rules and the load again; `campaign` the extract, too.
    """

    dataset: str
    key: str
    cause: Cause


@dataclass(frozen=True)
class Memory:
    """What the last look left.

    Attributes:
        generation: Counts the looks that found a change, so that what one of them asks for
            has a name of its own, also when a rollback brings an earlier version back.
        versions: As then, shortened.
        waiting: What was not asked for yet.
    """

    generation: int = 0
    versions: Versions = field(default_factory=dict)
    waiting: frozenset[Wanted] = frozenset()

    def dump(self) -> str:
        """Return the memory as a compact text."""
        waiting = [[w.dataset, w.key, w.cause] for w in sorted(self.waiting)]
        content = {"n": self.generation, "seen": self.versions, "waiting": waiting}
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def load(cls, text: str | None) -> "Memory":
        """Return the memory a text holds; an empty one when there is none, or of another form.

        To remember nothing is safe: everything is observed anew, and nothing asked for.
        """
        try:
            content = json.loads(text or "")
            return cls(
                generation=int(content["n"]),
                versions={what: dict(seen) for what, seen in content["seen"].items()},
                waiting=frozenset(Wanted(*entry) for entry in content["waiting"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def changes(self, current: Versions, *, limit: int) -> Versions:
        """Return the versions that are new or others than those remembered, at most so many."""
        found: Versions = {}
        for number, (what, key, version) in enumerate(self._changed(current)):
            if number == limit:
                break
            found.setdefault(what, {})[key] = version
        return found

    def moved(self, changes: Versions, datasets: Iterable[str]) -> Iterator[Wanted]:
        """Yield what changes put out of step in these datasets; a first version puts nothing."""
        for name in datasets:
            for key in sorted(self._known(CAMPAIGNS, changes)):
                yield Wanted(name, key, "campaign")
            for key in sorted(self._known(rules_of(name), changes)):
                yield Wanted(name, key, "rules")

    def after(
        self,
        changes: Versions,
        current: Versions,
        *,
        kept: Collection[str],
        waiting: Iterable[Wanted],
    ) -> "Memory":
        """Return the memory once changes were reported.

        Args:
            changes: What was reported.
            current: All versions; what has none any more is forgotten.
            kept: Keys that are not forgotten, although they have no version.
            waiting: What is still to be asked for.
        """
        versions = {
            what: {
                key: version
                for key, version in {**self.versions.get(what, {}), **_short(changes, what)}.items()
                if key in there or key in kept
            }
            for what, there in current.items()
        }
        return Memory(self.generation + bool(changes), versions, frozenset(waiting))

    def _changed(self, current: Versions) -> Iterator[tuple[str, str, str]]:
        for what, versions in current.items():
            seen = self.versions.get(what, {})
            for key, version in sorted(versions.items()):
                if seen.get(key) != version[:_KEPT]:
                    yield what, key, version

    def _known(self, what: str, changes: Versions) -> set[str]:
        return changes.get(what, {}).keys() & self.versions.get(what, {}).keys()


def merged(wanted: Iterable[Wanted]) -> list[Wanted]:
    """Return each dataset's partition once, sorted: an extract anew makes up for its rules."""
    found: dict[tuple[str, str], Wanted] = {}
    for one in sorted(wanted, reverse=True):  # `rules` before `campaign`, which so wins
        found[one.dataset, one.key] = one
    return sorted(found.values())


def _short(versions: Mapping[str, Mapping[str, str]], what: str) -> dict[str, str]:
    return {key: version[:_KEPT] for key, version in versions.get(what, {}).items()}
