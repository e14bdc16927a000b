"""The query of a feed: parsed, fenced, and bound.

It may read the platform's tables and views, and use what gives the same records in every
warehouse. What is not listed here is refused: nothing can write, call out, name another schema,
or come out otherwise the next time. What runs is rendered from the tree, never the text itself.
"""

import datetime as dt
import re
from collections.abc import Callable, Collection, Mapping

import sqlglot
from sqlglot import exp

from etl_assets.core.columns import ColumnType
from etl_assets.core.rules.expressions import nearest

FUNCTIONS: dict[str, type[exp.Expr]] = {
    "abs": exp.Abs,
    "coalesce": exp.Coalesce,
    "count": exp.Count,
    "date_trunc": exp.TimestampTrunc,
    "extract": exp.Extract,
    "length": exp.Length,
    "max": exp.Max,
    "min": exp.Min,
    "nullif": exp.Nullif,
    "substring": exp.Substring,
    "sum": exp.Sum,
    "trim": exp.Trim,
}
"""The functions of a feed's query."""

PARAMETERS = ("campaign_key", "first_day", "last_day", "today")
"""What a feed's query can bind: text, and three dates. The first three are of one campaign."""

_SYNTAX: tuple[type[exp.Expr], ...] = (
    exp.Add, exp.Alias, exp.And, exp.Between, exp.Boolean, exp.Case, exp.Cast, exp.Column, exp.CTE,
    exp.DataType, exp.DataTypeParam, exp.DateTrunc, exp.Distinct, exp.DPipe, exp.EQ, exp.Exists,
    exp.From, exp.Group, exp.GT, exp.GTE, exp.Having, exp.Identifier, exp.If, exp.In, exp.Is,
    exp.Join, exp.Literal, exp.LT, exp.LTE, exp.Mul, exp.Neg, exp.NEQ, exp.Not, exp.Null, exp.Or,
    exp.Paren, exp.Placeholder, exp.Select, exp.Sub, exp.Subquery, exp.Table, exp.TableAlias,
    exp.Tuple, exp.Union, exp.Var, exp.Where, exp.With,
)  # fmt: skip
"""Clauses, operators, literals and names."""

_REMEDIES: dict[type[exp.Expr], str] = {
    exp.Avg: "warehouses round an average in their own ways: give SUM and COUNT as columns",
    exp.Div: "warehouses divide in their own ways: give both numbers as columns",
    exp.Limit: "give all records; a limit gives other ones each time",
    exp.Offset: "give all records; an offset gives other ones each time",
    exp.Order: "say the order in `order_by`",
    exp.Star: "name the columns, or write COUNT(*)",
    exp.Window: "windows number records that are alike in their own ways",
    exp.Lower: "warehouses lower other letters than A to Z in their own ways",
    exp.Upper: "warehouses raise other letters than a to z in their own ways",
    exp.Like: "warehouses escape in their own ways; compare SUBSTRING with a text",
    exp.CurrentDate: "bind :today",
    exp.CurrentTimestamp: "bind :today",
    exp.Rand: "records must come out the same each time",
}
_TYPES = frozenset(
    {
        exp.DType.BOOLEAN, exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT, exp.DType.DECIMAL,
        exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ,
    }
)  # fmt: skip
_UNITS = frozenset({"day", "month", "quarter", "year"})
_ALLOWED = frozenset((*FUNCTIONS.values(), *_SYNTAX))


def parse_feed_select(text: str) -> exp.Query:
    """Return the tree of a feed's query.

    Raises:
        ValueError: When it is not one SELECT of what is allowed, with the place and what to do.
    """
    tree = _parse(text)
    for node in tree.walk():
        _check(node)
    again = _parse(str(tree.sql(dialect="duckdb", identify=True, comments=False)))
    for node in again.walk():  # sqlglot writes some calls as other ones
        _check(node)
    names = columns_of(tree)
    if any(not name for name in names):
        raise ValueError("has a column without a name: write `expression AS name`")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"has two columns with the name `{twice[0]}`")
    if not relations(tree):
        raise ValueError("reads no table and no view")
    return tree


def relations(tree: exp.Query) -> list[str]:
    """Return the tables and views that a query reads, sorted; its own subqueries are none."""
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    return sorted({table.name for table in tree.find_all(exp.Table)} - local)


def parameters(tree: exp.Query) -> set[str]:
    """Return the names that a query binds."""
    return {node.name for node in tree.find_all(exp.Placeholder)}


def own_type(tree: exp.Query, name: str) -> ColumnType | None:
    """Return the type that a query's text gives to a column of its result.

    None where it is that of a column of the tables, as a column that is only named has.

    Raises:
        ValueError: When it is computed, and nothing says its type.
    """
    (found,) = [one for one in _first_select(tree).selects if one.alias_or_name == name]
    value = found.unalias()
    if isinstance(value, exp.Column):
        return None
    if isinstance(value, exp.Cast):
        return ColumnType.parse(_type_text(value.to))
    if isinstance(value, exp.Count):
        return ColumnType("bigint")
    raise ValueError(
        f"computes `{name}`, whose type depends on the warehouse: say it under `columns`, as in"
        f" `{name}: {{type: 'decimal(18,2)'}}`"
    )


def bind(tree: exp.Query, bindings: Mapping[str, str | dt.date]) -> str:
    """Return a query as SQL in DuckDB's words, with its parameters as literals."""

    def literal(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, exp.Placeholder):
            return node
        value = bindings[node.name]
        if isinstance(value, dt.date):
            return exp.cast(exp.Literal.string(value.isoformat()), "DATE")
        return exp.Literal.string(value)

    return str(tree.copy().transform(literal).sql(dialect="duckdb", identify=True, comments=False))


def check_relations(tree: exp.Query, known: Collection[str]) -> None:
    """Raise ValueError when a query reads what is no table or view of the platform."""
    for name in relations(tree):
        if name not in known:
            raise ValueError(
                f"reads `{name}`, which is no table or view of the platform"
                f"{nearest(name, known)}; there are {', '.join(sorted(known))}"
            )


def _first_select(tree: exp.Query) -> exp.Query:
    """Return the SELECT that names the columns of a query's result."""
    while isinstance(tree, exp.Union | exp.Subquery):
        tree = tree.this
    return tree


def columns_of(tree: exp.Query) -> list[str]:
    """Return the names of the columns of a query's result, in order."""
    return [one.alias_or_name for one in _first_select(tree).selects]


def column_sources(tree: exp.Query) -> dict[str, list[tuple[str, str]]]:
    """Return what the columns of a result are made of, each as relation and column.

    Nothing of a query that reads several relations, or queries in queries: that is not followed.
    """
    plain = isinstance(tree, exp.Select) and len(list(tree.find_all(exp.Select))) == 1
    read = relations(tree)
    if not plain or len(list(tree.find_all(exp.Table))) != 1:
        return {}
    return {
        one.alias_or_name: [
            (read[0], name)
            for name in dict.fromkeys(column.name for column in one.find_all(exp.Column))
        ]
        for one in tree.selects
    }


def _parse(text: str) -> exp.Query:
    try:
        trees = [tree for tree in sqlglot.parse(text, read="duckdb") if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        raise ValueError(f"cannot be parsed as SQL: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.Union):
        raise ValueError("must be a single SELECT")
    return trees[0]


def _check(node: exp.Expr) -> None:
    """Raise ValueError when a node of the tree is not allowed."""
    look = _LOOKS.get(type(node))
    problem = (look(node) if look else "") or _part_problem(node) or _kind_problem(node)
    if problem:
        raise ValueError(problem)


def _table(node: exp.Expr) -> str:
    plain = re.fullmatch(r"[a-z][a-z0-9_]*", node.name) and not node.args.get("db")
    return "" if plain else f"must name its tables and views alone, not as `{_short(node)}`"


def _column(node: exp.Expr) -> str:
    if node.args.get("db"):
        return f"must name its columns as `column` or `table.column`, not as `{_short(node)}`"
    return ""


def _join(node: exp.Expr) -> str:
    kind = str(node.args.get("kind") or "").upper()
    return "" if kind in ("", "INNER", "CROSS", "OUTER") else f"must not use {kind} JOIN"


def _placeholder(node: exp.Expr) -> str:
    if node.name in PARAMETERS:
        return ""
    return f"binds `:{node.name}`, and can bind {', '.join(f':{p}' for p in PARAMETERS)}"


def _type(node: exp.Expr) -> str:
    if node.this in _TYPES:
        return ""
    names = ", ".join(sorted(kind.value.lower() for kind in _TYPES))
    return f"casts to {node.sql()}; types are {names}"


def _unit(node: exp.Expr) -> str:
    if node.name.lower() in _UNITS:
        return ""
    return f"has `{_short(node)}` where a part of a date is: {', '.join(sorted(_UNITS))}"


def _literal(node: exp.Expr) -> str:
    if "\\" not in node.name:
        return ""
    return "has a backslash in a text, which warehouses read in their own ways"


_LOOKS: dict[type[exp.Expr], Callable[[exp.Expr], str]] = {
    exp.Table: _table,
    exp.Column: _column,
    exp.Join: _join,
    exp.Placeholder: _placeholder,
    exp.DataType: _type,
    exp.Var: _unit,
    exp.Literal: _literal,
}
"""What is looked at besides the kind of a node; each says what is wrong, or nothing."""


def _part_problem(node: exp.Expr) -> str:
    if type(node) not in _PARTS:
        return ""
    extra = {name for name, value in node.args.items() if value} - _PARTS[type(node)]
    if not extra:
        return ""
    return f"must not use {min(extra).strip('_').upper().replace('_', ' ')} in `{_short(node)}`"


def _kind_problem(node: exp.Expr) -> str:
    counted = isinstance(node, exp.Star) and isinstance(node.parent, exp.Count)
    if counted or type(node) in _ALLOWED:
        return ""
    if isinstance(node, exp.Func) and type(node) not in _REMEDIES:
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        return (
            f"must not call `{name.lower()}`{nearest(name.lower(), FUNCTIONS)};"
            f" functions are {', '.join(FUNCTIONS)}"
        )
    return f"must not use `{_short(node)}`{_reason(node)}"


_PARTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        {"distinct", "expressions", "from_", "group", "having", "joins", "where", "with_",
         "order", "limit", "offset"}
    ),
    exp.Union: frozenset({"this", "expression", "distinct", "with_", "order", "limit", "offset"}),
    exp.Join: frozenset({"this", "kind", "on", "side", "using"}),
    exp.Table: frozenset({"this", "alias", "db", "catalog"}),
    exp.Group: frozenset({"expressions"}),
    exp.Distinct: frozenset({"expressions"}),
    exp.With: frozenset({"expressions"}),
    exp.CTE: frozenset({"this", "alias"}),
    exp.Count: frozenset({"this", "big_int"}),
    exp.Trim: frozenset({"this"}),
    **dict.fromkeys((exp.Sum, exp.Max, exp.Min, exp.Length), frozenset({"this"})),
}  # fmt: skip
"""What these may consist of; an order and a limit are refused as nodes, with what to do."""


def _reason(node: object) -> str:
    for kind, remedy in _REMEDIES.items():
        if isinstance(node, kind):
            return f": {remedy}"
    return ""


def _short(node: exp.Expr) -> str:
    return str(node.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE))[:60]


def _type_text(kind: exp.DataType) -> str:
    text = str(kind.sql(dialect="duckdb")).lower()
    return {"int": "integer", "decimal": "decimal(18,3)"}.get(text, text)
