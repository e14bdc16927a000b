"""The registry as documents with versions, each an item of a key-value table.

A document's id is `CAMPAIGN#<key>`, `DAY#<date>` or `RULES#<dataset>`. Campaigns and days
are maps; a rule set is its YAML text, so that order and comments are kept. How a document
becomes a stored value and back is decided here; the table itself is in systems/.

Numbers: a stored number that is whole is an integer, any other a float, which must hold it
exactly. A float that would come back as something else (1.0, 1e-200) is stored as the map
`{"float": "1.0"}`.
"""

import datetime as dt
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from pydantic import ValidationError

from etl_assets.core.campaigns import Campaign, check_key, read_date
from etl_assets.core.documents import explain
from etl_assets.core.errors import DocumentError
from etl_assets.core.registry import Registry, misfit_comparisons
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules

CAMPAIGN, DAY, RULES = "CAMPAIGN#", "DAY#", "RULES#"
_SMALLEST = Decimal("1E-120")


@dataclass(frozen=True)
class Aside:
    """A text that is kept beside its item, in parts, because an item holds 400 KB at most.

    Attributes:
        sha256: Of its UTF-8 bytes; names it.
        bytes: How many.
        version: What the text says, so that it is known of a text that is damaged.
        comment: As `version`.
    """

    sha256: str
    bytes: int
    version: int
    comment: str


@dataclass(frozen=True)
class Stored:
    """One document as the registry holds it.

    Attributes:
        id: Names it.
        document: What it says; None when it was removed or has a fault.
        version: Counts its writes; 0 when there is none.
        revision: The registry's revision that wrote it.
        updated_by: Who wrote this version.
        updated_at: When, ISO 8601, UTC.
        removed: Whether this version is its removal.
        fault: Why it cannot be read; empty when it can.
        aside: Where its text is kept, when that is not in the item.
    """

    id: str
    document: object = None
    version: int = 0
    revision: int = 0
    updated_by: str = ""
    updated_at: str = ""
    removed: bool = False
    fault: str = ""
    aside: Aside | None = None

    @property
    def written(self) -> str:
        """Who wrote it and when, for people."""
        return f"version {self.version} by {self.updated_by} at {self.updated_at}"


def documents_of(registry: Registry, rule_texts: Mapping[str, str]) -> dict[str, object]:
    """Return a registry's documents by id.

    Args:
        registry: Without problems.
        rule_texts: The YAML text of each rule set, by dataset.
    """
    found: dict[str, object] = {
        f"{CAMPAIGN}{key}": campaign.model_dump(mode="json", exclude_defaults=True, exclude={"key"})
        for key, campaign in registry.campaigns.items()
    }
    found |= {f"{DAY}{day}": {"keys": list(keys)} for day, keys in registry.entries.items()}
    return found | {f"{RULES}{name}": text for name, text in rule_texts.items()}


def registry_of(documents: Iterable[Stored], datasets: Collection[str], source: str) -> Registry:
    """Return what documents mean, validated.

    A campaign that is not valid is one of the registry's problems and stops alone.

    Raises:
        DocumentError: When it is uncertain what the keys are, what a day needs, or what a
            dataset's rules are; it names the item and the field.
    """
    campaigns: dict[str, Campaign] = {}
    problems: dict[str, str] = {}
    others: list[Stored] = []
    lower: dict[str, str] = {}
    for stored in documents:
        if stored.removed:
            continue
        if not stored.id.startswith(CAMPAIGN):
            others.append(stored)
            continue
        key = _certain_key(stored.id.removeprefix(CAMPAIGN), lower, source)
        try:
            campaigns[key] = _campaign(key, stored, datasets)
        except ValueError as error:
            problems[key] = f"item {stored.id} of {source}: {error}"
    for key, problem in misfit_comparisons(campaigns, {*campaigns, *problems}).items():
        del campaigns[key]
        problems[key] = f"item {CAMPAIGN}{key} of {source}: {problem}"
    entries: dict[dt.date, tuple[str, ...]] = {}
    rule_sets: dict[str, RuleSet] = {}
    for stored in others:
        name = f"item {stored.id} of {source}"
        if stored.id.startswith(DAY):
            day, keys = _entry(stored, {*campaigns, *problems}, name)
            entries[day] = keys
        elif stored.id.startswith(RULES):
            rule_sets[stored.id.removeprefix(RULES)] = _rule_set(stored, datasets, name)
        else:
            raise DocumentError(name, ["it is no campaign, day or rule set"])
    return Registry(campaigns, entries, rule_sets, problems)


def _certain_key(key: str, lower: dict[str, str], source: str) -> str:
    try:
        check_key(key)
    except ValueError as error:
        raise DocumentError(source, [f"item {CAMPAIGN}{key[:80]}: {error}"]) from None
    if key.lower() in lower:
        other = lower[key.lower()]
        problem = f"there are both {CAMPAIGN}{other} and {CAMPAIGN}{key} (case does not count)"
        raise DocumentError(source, [problem])
    lower[key.lower()] = key
    return key


def _campaign(key: str, stored: Stored, datasets: Collection[str]) -> Campaign:
    if stored.fault:
        raise ValueError(stored.fault)
    if not isinstance(stored.document, dict):
        raise ValueError("`document` is not a map")  # noqa: TRY004  (a problem, as the others)
    try:
        campaign = Campaign.model_validate({**stored.document, "key": key})
    except ValidationError as error:
        found = [explain(detail, detail["loc"], Campaign) for detail in error.errors()]
        raise ValueError("; ".join(found)) from None
    for name in campaign.datasets or ():
        if name not in datasets:
            hint = nearest(name, datasets)
            raise ValueError(f"`datasets`: there is no dataset `{name}`{hint}")
    return campaign


def _entry(stored: Stored, keys: Collection[str], name: str) -> tuple[dt.date, tuple[str, ...]]:
    text = stored.id.removeprefix(DAY)
    document = stored.document
    problem = stored.fault
    try:
        day = read_date(text)
    except ValueError as error:
        raise DocumentError(name, [f"{text} {error}"]) from None
    wanted = document.get("keys") if isinstance(document, dict) else None
    if not problem and not isinstance(wanted, list):
        problem = "`keys` is not a list"
    elif not problem and isinstance(document, dict) and len(document) > 1:
        problem = f"`{next(k for k in document if k != 'keys')}` is not a known field"
    for key in wanted if isinstance(wanted, list) and not problem else []:
        if not isinstance(key, str) or key not in keys:
            problem = f"`keys`: no campaign has the key {key}{nearest(str(key), keys)}"
    if problem:
        raise DocumentError(name, [problem])
    return day, tuple(dict.fromkeys(wanted or ()))


def _rule_set(stored: Stored, datasets: Collection[str], name: str) -> RuleSet:
    dataset = stored.id.removeprefix(RULES)
    if stored.fault:
        raise DocumentError(name, [stored.fault])
    if dataset not in datasets:
        hint = nearest(dataset, datasets)
        raise DocumentError(name, [f"there is no dataset `{dataset}`{hint}"])
    if not isinstance(stored.document, str):
        raise DocumentError(name, ["`document` is not the text of a rule set"])
    return read_rules(stored.document, name)


def to_stored(value: object) -> object:
    """Return a document's value as it is stored: floats as decimals or marked maps."""
    if isinstance(value, float):
        exact = Decimal(repr(value))
        whole = exact == exact.to_integral_value()
        kept = math.isfinite(value) and not whole and abs(exact) >= _SMALLEST
        return exact if kept else {"float": repr(value)}
    if isinstance(value, dict):
        return {name: to_stored(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_stored(item) for item in value]
    return value


def from_stored(value: object, at: str = "document") -> object:
    """Return a stored value as a document's.

    Raises:
        ValueError: Naming the field whose value no document can hold.
    """
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        if Decimal(repr(float(value))) != value:
            raise ValueError(f"`{at}` is {value}, more digits than a float holds")
        return float(value)
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return _marked_float(value["float"], at)
        return {name: from_stored(item, f"{at}.{name}") for name, item in value.items()}
    if isinstance(value, list):
        return [from_stored(item, f"{at}.{number}") for number, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int):
        return value
    raise ValueError(f"`{at}` is a {type(value).__name__.lower()}, which no document can hold")


def _marked_float(text: object, at: str) -> float:
    try:
        return float(str(text))
    except ValueError:
        raise ValueError(f"`{at}.float` is {text!r}, which is no number") from None
