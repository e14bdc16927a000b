"""SQL scalar expressions that people write in rules: parsed, fenced, and rendered again.

An expression is what may stand in a SELECT list: columns, literals, operators and the
functions listed here. What is not listed is refused, so that nothing written in a rule
can read a file, call out, or reach another table. What runs is rendered from the parsed
tree with every identifier quoted, never the text itself.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from etl_assets.core.campaigns import SEASON_PARAMETERS, Scalar
from etl_assets.core.errors import RuleError

FUNCTIONS: dict[str, type[exp.Expr]] = {
    "abs": exp.Abs,
    "ceil": exp.Ceil,
    "coalesce": exp.Coalesce,
    "concat": exp.Concat,
    "contains": exp.Contains,
    "date_diff": exp.DateDiff,
    "date_trunc": exp.TimestampTrunc,
    "day": exp.Day,
    "extract": exp.Extract,
    "floor": exp.Floor,
    "greatest": exp.Greatest,
    "last_day": exp.LastDay,
    "least": exp.Least,
    "left": exp.Left,
    "length": exp.Length,
    "lower": exp.Lower,
    "lpad": exp.Pad,
    "month": exp.Month,
    "nullif": exp.Nullif,
    "regexp_extract": exp.RegexpExtract,
    "regexp_full_match": exp.RegexpFullMatch,
    "regexp_matches": exp.RegexpLike,
    "regexp_replace": exp.RegexpReplace,
    "replace": exp.Replace,
    "right": exp.Right,
    "round": exp.Round,
    "rpad": exp.Pad,
    "sign": exp.Sign,
    "split_part": exp.SplitPart,
    "starts_with": exp.StartsWith,
    "strpos": exp.StrPosition,
    "substring": exp.Substring,
    "trim": exp.Trim,
    "upper": exp.Upper,
    "year": exp.Year,
}
"""The functions a rule may call."""

_SYNTAX: tuple[type[exp.Expr], ...] = (
    exp.Add, exp.And, exp.Between, exp.Boolean, exp.Case, exp.Cast, exp.Column, exp.DataType,
    exp.DataTypeParam, exp.DateTrunc, exp.Div, exp.DPipe, exp.EQ, exp.GT, exp.GTE, exp.Identifier,
    exp.If, exp.ILike, exp.In, exp.IntDiv, exp.Is, exp.Like, exp.Literal, exp.LT, exp.LTE, exp.Mod,
    exp.Mul, exp.Neg, exp.NEQ, exp.Not, exp.Null, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Or,
    exp.Paren, exp.Placeholder, exp.Sub, exp.TryCast, exp.Var,
)  # fmt: skip
"""Operators, literals and columns."""

_TYPES = frozenset(
    {
        exp.DType.BOOLEAN, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.DECIMAL,
        exp.DType.DOUBLE, exp.DType.FLOAT, exp.DType.VARCHAR, exp.DType.TEXT, exp.DType.DATE,
        exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ,
    }
)  # fmt: skip
"""The types a cast inside an expression may name."""

_UNITS = frozenset(
    {
        "century", "day", "dayofweek", "dayofyear", "decade", "dow", "doy", "epoch", "hour",
        "isodow", "isoyear", "microsecond", "millennium", "millisecond", "minute", "month",
        "quarter", "second", "week", "year",
    }
)  # fmt: skip
"""The bare words an expression may hold: parts of a date. They are rendered as they are."""

_ALLOWED = frozenset((*FUNCTIONS.values(), *_SYNTAX))


@dataclass(frozen=True)
class Rendered:
    """An expression as SQL for DuckDB.

    Attributes:
        text: As written.
        sql: Identifiers quoted, parameters as literals.
        columns: The columns it names, in their order.
        can_fail: Whether a value may be such that it cannot be computed.
        compared: SQL of the two sides of each comparison of what is no text literal.
    """

    text: str
    sql: str
    columns: tuple[str, ...]
    can_fail: bool
    compared: tuple[tuple[str, str], ...] = ()


def render_expression(
    text: str, columns: Collection[str], bindings: Mapping[str, Scalar], *, where: str
) -> Rendered:
    """Return the expression as SQL for DuckDB.

    Args:
        text: The expression as written.
        columns: The columns there are at that point.
        bindings: Values of `:start`, `:end`, `:campaign_key` and the campaign's parameters.
        where: Names the rule in errors, such as "Rule `net-sales`".

    Raises:
        RuleError: When it cannot be parsed, names a column or parameter that is not there,
            or holds anything that is not allowed; with the place in the text.
    """
    tree = parse_expression(text, where)
    written = list(tree.walk())
    for node in written:
        _check(node, columns, f"{where}{_place(node)}")
    named = sorted((node for node in written if isinstance(node, exp.Column)), key=_start)
    bound = tree.transform(lambda node: _bind(node, bindings, where))
    sql = str(bound.sql(dialect="duckdb", identify=True, comments=False))
    again = list(parse_expression(sql, where).walk())
    for node in again:  # sqlglot writes some calls as other ones
        _check(node, columns, where)
    return Rendered(
        text=text,
        sql=sql,
        columns=tuple(dict.fromkeys(node.name for node in named)),
        can_fail=can_fail(again),
        compared=tuple(_compared(bound)),
    )


def named_columns(text: str) -> tuple[str, ...]:
    """Return the columns an expression names, in their order, each once.

    Raises:
        RuleError: When it cannot be parsed.
    """
    found = [
        node for node in parse_expression(text, "Expression").walk() if isinstance(node, exp.Column)
    ]
    return tuple(dict.fromkeys(node.name for node in sorted(found, key=_start)))


def _start(node: exp.Column) -> int:
    return int(node.this.meta.get("start", 0))


def _compared(tree: exp.Expr) -> Iterator[tuple[str, str]]:
    """Yield the sides of comparisons; a text literal is read as what it is compared with."""
    for node in tree.walk():
        if isinstance(node, exp.In):
            sides = [(node.this, item) for item in node.expressions]
        elif isinstance(node, exp.Between):
            sides = [(node.this, node.args["low"]), (node.this, node.args["high"])]
        elif isinstance(node, exp.EQ | exp.NEQ | exp.GT | exp.GTE | exp.LT | exp.LTE
                        | exp.NullSafeEQ | exp.NullSafeNEQ):  # fmt: skip
            sides = [(node.this, node.expression)]
        else:
            continue
        for left, right in sides:
            if not (left.is_string or right.is_string):
                yield (
                    left.sql(dialect="duckdb", identify=True, comments=False),
                    right.sql(dialect="duckdb", identify=True, comments=False),
                )


_SURE = (
    exp.And, exp.Between, exp.Boolean, exp.Case, exp.Coalesce, exp.Column, exp.EQ, exp.GT, exp.GTE,
    exp.Identifier, exp.If, exp.ILike, exp.In, exp.Is, exp.Like, exp.Literal, exp.LT, exp.LTE,
    exp.Lower, exp.NEQ, exp.Not, exp.Null, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Nullif, exp.Or,
    exp.Paren, exp.StartsWith, exp.Trim, exp.Upper,
)  # fmt: skip
"""What gives a value whatever it is given; a comparison of a text and a number does not."""


def can_fail(nodes: Iterable[exp.Expr]) -> bool:
    """Return whether one of the nodes may meet values it cannot be computed of."""
    return not all(isinstance(node, _SURE) for node in nodes)


def _place(node: exp.Expr) -> str:
    """Return where a node stands in its text, as far as the parser knows."""
    for one in (node, node.this if isinstance(node.this, exp.Expr) else None):
        start = one.meta.get("start") if one is not None else None
        if start is not None:
            return f" at character {start + 1}"
    return ""


def parse_expression(text: str, where: str) -> exp.Expr:
    """Return the tree of one expression; nothing in it is checked.

    Raises:
        RuleError: When it cannot be parsed.
    """
    try:
        trees = sqlglot.parse(text, read="duckdb")
    except sqlglot.errors.SqlglotError as error:
        at = error.errors[0] if isinstance(error, sqlglot.ParseError) and error.errors else {}
        place = f" at character {at['col']}" if at.get("col") else ""
        raise RuleError(
            f"{where}: the expression {text!r} is not SQL{place}.", "Correct the expression."
        ) from error
    except RecursionError:
        raise RuleError(
            f"{where}: the expression {text[:60]!r}… is nested too deep.", "Write it in steps."
        ) from None
    if len(trees) != 1 or trees[0] is None:
        raise RuleError(f"{where}: {text!r} is not one expression.", "Write one expression.")
    return trees[0]


def _check(node: exp.Expr, columns: Collection[str], where: str) -> None:
    """Raise when a node of the tree is not allowed."""
    if isinstance(node, exp.Column):
        if node.table or node.name not in columns:
            raise RuleError(
                f"{where}: there is no column `{node.sql()}` here{nearest(node.name, columns)}.",
                "Use a column of the dataset or one that an earlier rule makes.",
            )
        return
    if isinstance(node, exp.DataType) and node.this not in _TYPES:
        raise RuleError(f"{where}: type {node.sql()} is not allowed.", "Use a plain column type.")
    if isinstance(node, exp.Var) and node.name.lower() not in _UNITS:
        raise RuleError(
            f"{where}: `{node.name[:60]}` is not a part of a date.",
            f"Parts of a date are {', '.join(sorted(_UNITS))}.",
        )
    if type(node) in _ALLOWED:
        return
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        raise RuleError(
            f"{where}: the function `{name.lower()}` is not allowed"
            f"{nearest(name.lower(), FUNCTIONS)}.",
            f"Functions are {', '.join(FUNCTIONS)}.",
        )
    raise RuleError(
        f"{where}: `{node.sql(dialect='duckdb')[:60]}` is not allowed in an expression.",
        "Use columns, literals, operators and the allowed functions only.",
    )


def _bind(node: exp.Expr, bindings: Mapping[str, Scalar], where: str) -> exp.Expr:
    """Replace a placeholder by its value as a typed literal."""
    if not isinstance(node, exp.Placeholder):
        return node
    if node.name not in bindings:
        raise RuleError(
            f"{where}: there is no parameter `:{node.name}`{nearest(node.name, bindings)}.",
            "Use one of the season's parameters, or add it to the campaign.",
        )
    value = bindings[node.name]
    literal = exp.convert(value)
    if node.name in SEASON_PARAMETERS and node.name != "campaign_key":
        kind = "DATE" if node.name in ("start", "end") else "TIMESTAMP"
        return exp.cast(literal, kind)
    return literal


def nearest(name: str, names: Collection[str]) -> str:
    """Return a hint with the name that is most alike, or nothing."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""
