"""The versions of a dataset's rules: what each said, who published it, and how the next is made.

A version is the text of a rule set, as its author wrote it. The number and the comment that
people see stand in the text itself, so a text says the same in every registry.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError, PermanentError, RegistryError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.texts import stamped


@dataclass(frozen=True)
class RuleVersion:
    """One version of a dataset's rules.

    Attributes:
        dataset: Whose rules.
        version: The number people see; that of the text.
        text: The YAML document, with its comments.
        by: Who published it; empty when the document was written by hand.
        at: When, UTC, to the second; None when nobody noted it.
        comment: Why.
        current: Whether it is the version that counts.
        fault: Why the text cannot be read; empty when it can.
    """

    dataset: str
    version: int
    text: str
    by: str
    at: dt.datetime | None
    comment: str
    current: bool = False
    fault: str = ""

    @cached_property
    def rule_set(self) -> RuleSet:
        """What the text means.

        Raises:
            DocumentError: When it cannot be read, or is not valid in this release.
        """
        source = f"version {self.version} of the rules of {self.dataset}"
        if self.fault:
            raise DocumentError(source, [self.fault])
        return read_rules(self.text, source)

    @property
    def digest(self) -> str:
        """SHA-256 of what the rules do, as loads keep it; errors as `rule_set`."""
        return self.rule_set.digest

    @property
    def written(self) -> str:
        """Who made it, when and why, for people."""
        who = f"published by {self.by}" if self.by else "written by hand"
        when = f" at {self.at:%Y-%m-%d %H:%M:%S} UTC" if self.at else ""
        return f"{who}{when}" + (f" ({self.comment})" if self.comment else "")


def read_rules(text: str, source: str) -> RuleSet:
    """Return what a text means.

    Texts that were read lately are not read again: one of 10,000 lines takes a second, and the
    registry is read every half minute.

    Args:
        text: YAML.
        source: Names it in errors.

    Raises:
        DocumentError: Naming line and field of everything that is wrong.
    """
    try:
        return _read_rules(text)
    except DocumentError as error:
        raise DocumentError(source, error.problems) from error


@lru_cache(maxsize=16)
def _read_rules(text: str) -> RuleSet:
    document = Document(text, "rules")
    if document.data is None:
        raise DocumentError("rules", ["it is empty; write `rules: []` if that is meant"])
    return document.validate(RuleSet, document.data)


def current_of(versions: Sequence[RuleVersion]) -> RuleVersion | None:
    """Return the version that counts; None when the dataset's own rules do."""
    return next((version for version in versions if version.current), None)


def base_of(versions: Sequence[RuleVersion]) -> int:
    """Return the number that the next version is published over.

    That of the version that counts; where none does, or its text is damaged, the highest
    there ever was, so that no number is given twice.
    """
    current = current_of(versions)
    if current and not current.fault:
        return current.version
    return max((version.version for version in versions), default=0)


def find_version(versions: Sequence[RuleVersion], dataset: str, number: int) -> RuleVersion:
    """Return the version of that number; where two have it, the one that counts or the newer.

    Raises:
        PermanentError: When there is none, or its text is damaged.
    """
    found = [version for version in versions if version.version == number]
    if not found:
        raise PermanentError(
            f"There is no version {number} of the rules of {dataset} in the registry.",
            f"`etl-assets rules history {dataset}` lists the versions.",
        )
    if found[0].fault:
        raise PermanentError(
            f"Version {number} of the rules of {dataset} cannot be read: {found[0].fault}.",
            "Choose another version.",
        )
    return found[0]


def next_version(
    versions: Sequence[RuleVersion],
    dataset: str,
    text: str,
    *,
    over: int,
    by: str,
    at: dt.datetime,
    comment: str,
) -> RuleVersion:
    """Return what is to be published as version `over` + 1.

    Args:
        versions: Those there are.
        dataset: Whose rules.
        text: The author's document; its version and comment are replaced.
        over: The version the author began with.
        by: Who publishes.
        at: When.
        comment: Why.

    Raises:
        RegistryError: When another version counts by now; it shows whose.
        DocumentError: When the text is not valid.
    """
    if base_of(versions) != over:
        raise lost_race(versions, dataset, over)
    if taken := [version for version in versions if version.version == over + 1]:
        highest = max(version.version for version in versions)
        raise RegistryError(
            f"Nothing was published: the rules of {dataset} say version {over}, but there was"
            f" a version {over + 1} already, {taken[0].written}.",
            f"Set `version:` of the rules that count now to {highest + 1}, a number of their"
            " own, and begin the edit with them.",
        )
    source = f"the rules of {dataset}"
    who = " ".join("".join(c if c.isprintable() else " " for c in by).split()) or "?"
    made = RuleVersion(
        dataset, over + 1, stamped(text, over + 1, comment, source), who,
        at.astimezone(dt.UTC).replace(microsecond=0), comment, current=True,
    )  # fmt: skip
    _ = made.rule_set  # proves that it is valid
    return made


def instant(text: str) -> dt.datetime | None:
    """Return the time that ISO 8601 text says, as UTC; None when it says none."""
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except ValueError:
        return None


def lost_race(versions: Sequence[RuleVersion], dataset: str, over: int) -> RegistryError:
    """Return the error of an author whose base is no longer what counts."""
    winner = current_of(versions)
    if winner:
        counts = f"version {winner.version} counts, {winner.written}"
    else:
        counts = f"none counts, and the last had the number {base_of(versions)}"
    return RegistryError(
        f"Nothing was published: the edit of the rules of {dataset} began with version {over},"
        f" and by now {counts}.",
        f"Keep a copy of your change, begin again with `etl-assets rules show {dataset}`, make"
        " the change there and publish that.",
    )
