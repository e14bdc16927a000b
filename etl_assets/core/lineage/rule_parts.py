"""What a rule does with what it is given: decides, checks, or refuses."""

from collections.abc import Iterable

from sqlglot import exp

from etl_assets.core.lineage.graph import How, Node
from etl_assets.core.rules.assertions import Assert
from etl_assets.core.rules.columns_used import reason
from etl_assets.core.rules.expressions import can_fail, parse_expression
from etl_assets.core.rules.kinds import Aggregate, Cast, Derive, Flag, Lookup, Map, Normalize, Rule

Parts = list[tuple[Node, How]]


def each(nodes: Iterable[Node], how: How) -> Parts:
    """Return nodes that all have the same part."""
    return [(node, how) for node in nodes]


def deciding(parts: Iterable[tuple[Node, How]]) -> Parts:
    """Return the same nodes as what decides."""
    return [(node, "decides") for node, _ in parts]


def said(rule: Rule) -> str:
    """Return how a rule decides about records, where `reason` is about single values."""
    if isinstance(rule, Aggregate):
        return f"makes one record of those that agree in {', '.join(rule.by)}"
    if isinstance(rule, Flag):
        return f"cannot compute `{rule.when}`"
    warns = isinstance(rule, Assert) and rule.on_failure == "warn"
    return f"{reason(rule)}; counts a warning" if warns else reason(rule)


def refuses(rule: Rule) -> How | None:
    """Return what a rule that sets columns does to records for which it cannot; None: nothing."""
    policy = "null"
    if isinstance(rule, Derive):
        policy = "null" if _always_gives(rule) else rule.on_error
    elif isinstance(rule, Flag):
        policy = "fail" if _may_fail(rule.when) else "null"
    elif isinstance(rule, Map):
        policy = rule.unmapped
    elif isinstance(rule, Cast) or (isinstance(rule, Normalize) and (rule.number or rule.date)):
        policy = rule.on_error
    elif isinstance(rule, Lookup):  # a dataset that has two records with one key fails it
        policy = "fail" if rule.dataset and rule.missing == "null" else rule.missing
    ways: dict[str, How] = {"reject": "decides", "fail": "checks"}
    return ways.get(policy)


def _always_gives(rule: Derive) -> bool:
    """Return whether an expression gives a value of its type, whatever it is given."""
    tree = parse_expression(rule.expression, "Expression")
    truth = isinstance(tree, exp.Predicate | exp.Connector | exp.Not)
    fits = rule.type.name == "text" or (rule.type.name == "boolean" and truth)
    return fits and not can_fail(tree.walk())


def _may_fail(text: str) -> bool:
    return can_fail(parse_expression(text, "Expression").walk())
