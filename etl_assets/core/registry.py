"""The registry's content, and which keys a day needs."""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from etl_assets.core.campaigns import Campaign, check_key, read_date
from etl_assets.core.datasets import Dataset
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.rule_set import RuleSet

T = TypeVar("T")


@dataclass(frozen=True)
class Registry:
    """One consistent reading of the registry.

    Attributes:
        campaigns: By key.
        entries: The calendar's explicit entries: the keys a date needs, in order.
        rule_sets: By dataset name; a dataset without one uses the rules of its own document.
        problems: By campaign key, why that campaign cannot be used. Such a key stops
            alone: it is neither refreshed, nor pruned, nor dropped as a partition.
        revision: Counts the registry's writes, where it can be read again as it was then;
            None where it keeps no history of its whole.
    """

    campaigns: Mapping[str, Campaign] = field(default_factory=dict)
    entries: Mapping[dt.date, tuple[str, ...]] = field(default_factory=dict)
    rule_sets: Mapping[str, RuleSet] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    revision: int | None = None

    @property
    def keys(self) -> list[str]:
        """Every campaign key, usable or not, sorted."""
        return sorted({*self.campaigns, *self.problems})

    def campaign(self, key: str) -> Campaign:
        """Return the campaign of that key.

        Raises:
            PermanentError: When there is none, or its document is not valid.
        """
        if key in self.problems:
            raise PermanentError(
                f"Campaign {key} cannot be refreshed: {self.problems[key]}.",
                "Correct the campaign in the registry; the table keeps its earlier records.",
            )
        if key not in self.campaigns:
            raise PermanentError(
                f"Campaign {key} is not in the registry.",
                "Add it there, or choose a key that `etl-assets campaigns` lists.",
            )
        return self.campaigns[key]

    def rules_of(self, dataset: Dataset) -> RuleSet:
        """Return the rules of a dataset: the registry's, else those of its own document."""
        return self.rule_sets.get(dataset.name, dataset.own_rules)

    def due_on(self, day: dt.date) -> list[str]:
        """Return the keys that `day` needs, sorted.

        An explicit entry wins, also an empty one. Without one: every campaign that is
        not paused and whose season covers the day, read in the campaign's time zone.
        """
        if day in self.entries:
            return sorted(self.entries[day])
        return sorted(c.key for c in self.campaigns.values() if not c.paused and c.covers(day))

    def due_at(self, moment: dt.datetime) -> list[str]:
        """Return the keys that the instant `moment` (with a time zone) needs, sorted.

        As `due_on`, but a season counts when it covers the instant; the explicit entry
        looked for is that of the moment's date in the time zone it carries.
        """
        if moment.date() in self.entries:
            return sorted(self.entries[moment.date()])
        return sorted(
            c.key for c in self.campaigns.values() if not c.paused and c.covers_instant(moment)
        )


def parse_campaigns(
    document: Document, datasets: Collection[str]
) -> tuple[dict[str, Campaign], dict[str, str]]:
    """Return the campaigns of `campaigns.yaml`, and per key why others cannot be used.

    Args:
        document: A mapping with one list, `campaigns`.
        datasets: The names a campaign's `datasets` may hold.

    Raises:
        DocumentError: When the document is no such list, a key is missing, written twice
            (in any case) or breaks the grammar: what the keys are must be certain.
    """
    if document.data is None:  # a file cut short to nothing says nothing, least of all "no keys"
        raise DocumentError(
            document.source, ["it is empty; write `campaigns: []` if that is meant"]
        )
    items = _only(document, "campaigns", list)
    campaigns: dict[str, Campaign] = {}
    problems: dict[str, str] = {}
    seen: dict[str, int] = {}
    places: dict[str, tuple[str | int, ...]] = {}
    for index, item in enumerate(items):
        at = ("campaigns", index)
        line = document.line(at)
        key = item.get("key") if isinstance(item, dict) else None
        if not isinstance(key, str):
            raise DocumentError(document.source, [f"line {line}: a campaign has no `key`"])
        try:
            check_key(key)
        except ValueError as error:
            raise DocumentError(document.source, [f"line {line}: `key`: {error}"]) from None
        if key.lower() in seen:
            first = seen[key.lower()]
            raise DocumentError(
                document.source,
                [f"line {line}: `key`: {key} is already on line {first} (case does not count)"],
            )
        seen[key.lower()] = line
        try:
            campaign = Campaign.model_validate(item)
        except ValidationError as error:
            found = document.problems(error, Campaign, at)
            problems[key] = f"{document.source}, {'; '.join(found)}"
            continue
        unknown = [name for name in campaign.datasets or () if name not in datasets]
        if unknown:
            problems[key] = (
                f"{document.source}, line {document.line((*at, 'datasets'))}: `datasets`:"
                f" there is no dataset `{unknown[0]}`{nearest(unknown[0], datasets)}"
            )
            continue
        campaigns[key] = campaign
        places[key] = (*at, "compared_with")
    for key, problem in misfit_comparisons(campaigns, {*campaigns, *problems}).items():
        del campaigns[key]
        problems[key] = f"{document.source}, line {document.line(places[key])}: {problem}"
    return campaigns, problems


def misfit_comparisons(campaigns: Mapping[str, Campaign], keys: Collection[str]) -> dict[str, str]:
    """Return the campaigns that cannot be compared with the one they name, and why.

    Args:
        campaigns: Those that can be read, by key.
        keys: Of all there are. One that cannot be read is nobody else's fault.
    """
    found: dict[str, str] = {}
    for key, campaign in campaigns.items():
        other, earlier = campaign.compared_with, campaigns.get(campaign.compared_with or "")
        if other is not None and other not in keys:
            found[key] = f"`compared_with`: no campaign has the key {other}{nearest(other, keys)}"
        elif earlier is not None and earlier.start >= campaign.start:
            found[key] = (
                f"`compared_with`: the season of {other} begins on {earlier.start}, which is not"
                f" before {campaign.start}"
            )
    return found


def parse_entries(document: Document, keys: Collection[str]) -> dict[dt.date, tuple[str, ...]]:
    """Return the explicit entries of `calendar.yaml`: a mapping from date to a list of keys.

    Raises:
        DocumentError: Naming the line of a date that does not exist or a key that no
            campaign has.
    """
    entries: dict[dt.date, tuple[str, ...]] = {}
    for day, value in _only(document, "calendar", dict).items():
        line = document.line(("calendar", str(day)))
        try:
            date = read_date(str(day))
        except ValueError:
            problem = f"line {line}: {day} is not a date that exists, written YYYY-MM-DD"
            raise DocumentError(document.source, [problem]) from None
        if not isinstance(value, list):
            raise DocumentError(document.source, [f"line {line}: {day} needs a list of keys"])
        unknown = [str(key) for key in value if not (isinstance(key, str) and key in keys)]
        if unknown:
            hint = nearest(unknown[0], keys)
            raise DocumentError(
                document.source, [f"line {line}: no campaign has the key {unknown[0]}{hint}"]
            )
        entries[date] = tuple(dict.fromkeys(value))
    return entries


def _only(document: Document, name: str, kind: type[T]) -> T:
    """Return the document's one entry, `name`, which must be of that kind; empty when absent."""
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise DocumentError(document.source, [f"line 1: expected a mapping with `{name}`"])
    for other in data:
        if other != name:
            line = document.line((str(other),))
            hint = nearest(str(other), [name])
            raise DocumentError(
                document.source, [f"line {line}: `{other}` is not a known field{hint}"]
            )
    value = data.get(name)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        line = document.line((name,))
        raise DocumentError(document.source, [f"line {line}: `{name}` must be a {kind.__name__}"])
    return value
