"""Which columns a rule sets, what it makes them of, and why it leaves a record out."""

import fnmatch
from collections.abc import Collection, Iterable, Sequence

from etl_assets.core.rules.assertions import SET_CHECKS, Assert
from etl_assets.core.rules.expressions import named_columns
from etl_assets.core.rules.kinds import (
    Aggregate,
    Cast,
    Dedupe,
    Derive,
    Drop,
    Fill,
    Filter,
    Flag,
    Lookup,
    Map,
    Normalize,
    Rename,
    Rule,
    Select,
    Unpivot,
)
from etl_assets.core.rules.rule_set import RuleSet


def columns_set(rule: Rule, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns a rule sets, each with the columns of before that it is made of.

    Columns of a condition count, since they decide; a parameter does not. What is not named
    comes out as it went in, or not at all.

    Args:
        rule: The rule.
        names: The columns there are before it.
    """
    made: dict[str, tuple[str, ...]]
    match rule:
        case Rename():
            made = {new: (old,) for old, new in rule.columns.items()}
        case Derive():
            made = {rule.column: named_columns(rule.expression)}
        case Map() | Cast():
            made = {rule.column: (rule.column,)}
        case Normalize():
            made = {name: (name,) for name in matching(rule.columns, names)}
        case Lookup():
            made = dict.fromkeys(rule.columns, tuple(rule.on))
        case Fill():
            others = (rule.from_,) if rule.from_ else ()
            made = {rule.column: (rule.column, *others)}
        case Flag():
            own = (rule.column,) if rule.column in names else ()
            made = {rule.column: _distinct(own + named_columns(rule.when))}
        case Unpivot():
            made = {rule.name: (), rule.value: tuple(matching(rule.columns, names))}
        case Aggregate():
            figures = {n: (m.column,) if m.column else () for n, m in rule.metrics.items()}
            made = {**{name: (name,) for name in rule.by}, **figures}
        case _:
            made = {}
    return made


def untouched(rule_set: RuleSet, names: Collection[str]) -> set[str]:
    """Return the columns that no rule sets, of those there are before the first."""
    known, found = list(names), set(names)
    for rule in rule_set.rules:
        made = columns_set(rule, known)
        found -= made.keys()
        known += [name for name in made if name not in known]
    return found


def columns_before(rule: Rule, wanted: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of before that the wanted columns of after are made of, each once."""
    made = columns_set(rule, names)
    return _distinct(before for name in wanted for before in made.get(name, (name,)))


def columns_looked_at(rule: Rule, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns by which a rule decides whether a record is loaded."""
    match rule:
        case Filter():
            return named_columns(rule.keep)
        case Dedupe():
            return _distinct((*rule.keys, *(text.partition(" ")[0] for text in rule.order)))
        case Assert():
            one = rule.range or rule.pattern or rule.accepted
            return (
                named_columns(rule.that)
                if rule.that is not None
                else (rule.not_null or ((one.column,) if one else ()))
            )
        case _:
            made = columns_set(rule, names).values()
            return _distinct(name for before in made for name in before)


def identity_after(
    rule: Rule, identity: tuple[str, ...] | None, names: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the columns that name a record after a rule; None when one of them is gone.

    Args:
        rule: The rule.
        identity: The columns that name it before.
        names: The columns there are before.
    """
    if isinstance(rule, Aggregate):
        return rule.by
    if identity is None:
        return None
    if isinstance(rule, Rename):
        return tuple(rule.columns.get(name, name) for name in identity)
    gone: Collection[str] = ()
    if isinstance(rule, Select):
        gone = set(names) - set(matching(rule.columns, names))
    elif isinstance(rule, Drop | Unpivot):
        gone = matching(rule.columns, names)
    if any(name in gone for name in identity):
        return None
    return (*identity, rule.name) if isinstance(rule, Unpivot) else identity


def reason(rule: Rule) -> str:
    """Return why a rule leaves a record out, as the end of a sentence about the rule."""
    match rule:
        case Filter():
            said = f"keeps records for which `{rule.keep}` is true"
        case Dedupe():
            order = f" in the order {', '.join(rule.order)}" if rule.order else ""
            said = (
                f"keeps the {rule.keep} of the records that agree in {', '.join(rule.keys)}{order}"
            )
        case Map():
            said = f"has no value for this `{rule.column}`"
        case Cast():
            said = f"takes values that are exactly {rule.type}"
        case Derive():
            said = f"cannot compute `{rule.expression}` as {rule.type}"
        case Normalize():
            said = f"takes texts that are a {'number' if rule.number else 'date'}"
        case Lookup():
            said = f"finds no row of {rule.table or rule.dataset} for it"
        case Unpivot():
            said = "makes no record of a NULL"
        case Assert():
            said = f"wants {_wanted(rule)}"
        case _:
            said = "leaves it out"
    return said


def says(rule: Rule, column: str) -> str:
    """Return how a rule makes a column, where the values alone do not say it."""
    match rule:
        case Derive():
            return rule.expression
        case Lookup():
            return f"{rule.columns[column]} of {rule.table or rule.dataset}"
        case Fill(previous=previous) if previous:
            return "the value of an earlier record"
        case Flag():
            return f"{rule.tag} when {rule.when}"
        case Aggregate():
            metric = rule.metrics[column]
            return f"{metric.function} of {metric.column}" if metric.column else metric.function
        case _:
            return ""


def _wanted(rule: Assert) -> str:
    if rule.that is not None:
        return f"`{rule.that}`"
    if rule.not_null is not None:
        return f"a value in {', '.join(rule.not_null)}"
    if rule.range is not None:
        bounds = [("at least", rule.range.min), ("at most", rule.range.max)]
        said = " and ".join(f"{word} {text}" for word, text in bounds if text is not None)
        return f"`{rule.range.column}` to be {said}"
    if rule.pattern is not None:
        return f"`{rule.pattern.column}` to match `{rule.pattern.regex}`"
    if rule.accepted is not None:
        return f"`{rule.accepted.column}` to be one of {', '.join(rule.accepted.values)}"
    return f"{next(n for n in SET_CHECKS if getattr(rule, n) is not None)} to hold"


def matching(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the names that names and globs stand for, each once, in the patterns' order."""
    return list(
        dict.fromkeys(n for p in patterns for n in names if fnmatch.fnmatchcase(n, p))
    )  # fmt: skip


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
