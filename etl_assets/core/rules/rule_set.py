"""Rule sets: the ordered rules of a dataset, as one version, and what single campaigns change.

A rule set is applied in the order written; the empty rule set is the identity.
"""

import hashlib
import json

from pydantic import BaseModel, ConfigDict, Field, model_validator

from etl_assets.core.campaigns import CampaignKey
from etl_assets.core.columns import ColumnName
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.kinds import Lookup, Rule, Table
from etl_assets.core.rules.model import RuleId


class Override(BaseModel):
    """What one campaign does otherwise: a rule added, replaced or disabled.

    Attributes:
        add: A rule; the last one, unless `before` or `after` names another.
        replace: A rule, in the place of the one with its id.
        disable: The id of a rule that is not applied.
        before: The rule that follows the added one.
        after: The rule that the added one follows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    add: Rule | None = None
    replace: Rule | None = None
    disable: RuleId | None = None
    before: RuleId | None = None
    after: RuleId | None = None

    @model_validator(mode="after")
    def _one_change(self) -> "Override":
        if sum(way is not None for way in (self.add, self.replace, self.disable)) != 1:
            raise ValueError("it says one of `add`, `replace` and `disable`")
        if (self.before or self.after) and self.add is None:
            raise ValueError("only an added rule has a place `before` or `after` another")
        if self.before and self.after:
            raise ValueError("it says `before` or `after`, not both")
        return self


class RuleSet(BaseModel):
    """The ordered rules of a dataset, as one version.

    Attributes:
        version: 0 for the rules of the dataset's own document, else the registry's number.
        comment: Why this version was published.
        tables: Small reference tables that lookups name.
        rules: Applied in this order.
        overrides: By campaign key, what that campaign does otherwise; in this order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=0, ge=0)
    comment: str = ""
    tables: dict[ColumnName, Table] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    overrides: dict[CampaignKey, tuple[Override, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "RuleSet":
        _check_ids(self.rules)
        for rule in self.rules:
            self._check_tables(rule)
        for key in self.overrides:
            self._overridden(key)
        return self

    def for_campaign(self, key: str) -> "RuleSet":
        """Return what one campaign's rules are: its overrides made, and no others."""
        return self.model_copy(update={"rules": self._overridden(key), "overrides": {}})

    @property
    def digest(self) -> str:
        """SHA-256 of what the rules do; ids, comments, examples and version do not count."""
        content: list[object] = [_content(rule) for rule in self.rules]
        if self.overrides:
            content.append(
                {
                    key: [_content(rule) for rule in self._overridden(key)]
                    for key in sorted(self.overrides)
                }
            )
        used = {rule.table for rule in self._lookups if rule.table}
        if used:
            content.append({name: self.tables[name].model_dump(mode="json") for name in used})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def looked_up_datasets(self) -> list[str]:
        """The datasets whose extracts the rules of any campaign look values up in, sorted."""
        found = {rule.dataset for rule in self._lookups}
        return sorted(name for name in found if name)

    @property
    def _lookups(self) -> list[Lookup]:
        """The lookups of every campaign's rules."""
        every = [*self.rules, *(rule for key in self.overrides for rule in self._overridden(key))]
        return [rule for rule in every if isinstance(rule, Lookup)]

    def _overridden(self, key: str) -> tuple[Rule, ...]:
        made = list(self.rules)
        for override in self.overrides.get(key, ()):
            where = f"the override of {key}"
            if override.disable:
                del made[_place(made, override.disable, where)]
            elif override.replace:
                made[_place(made, override.replace.id, where)] = override.replace
                self._check_tables(override.replace)
            elif override.add:
                place = len(made)
                if override.before or override.after:
                    near = override.before or override.after or ""
                    place = _place(made, near, where) + (override.after is not None)
                made.insert(place, override.add)
                self._check_tables(override.add)
        _check_ids(made)
        return tuple(made)

    def _check_tables(self, rule: Rule) -> None:
        if isinstance(rule, Lookup) and rule.table and rule.table not in self.tables:
            raise ValueError(
                f"rule `{rule.id}`: there is no table `{rule.table}` in `tables`"
                f"{nearest(rule.table, self.tables)}"
            )


def _content(rule: Rule) -> dict[str, object]:
    """Return what a rule does, without its name; what is left at its default does not count."""
    return rule.model_dump(
        mode="json", by_alias=True, exclude={"id", "comment", "examples"}, exclude_defaults=True
    ) | {"kind": rule.kind}


def _check_ids(rules: "tuple[Rule, ...] | list[Rule]") -> None:
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise ValueError(f"two rules have the id `{rule.id}`")
        seen.add(rule.id)


def _place(rules: list[Rule], id_: str, where: str) -> int:
    ids = [rule.id for rule in rules]
    if id_ not in ids:
        raise ValueError(f"{where}: there is no rule `{id_}`{nearest(id_, ids)}")
    return ids.index(id_)
