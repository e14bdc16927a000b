"""How rules about all records, and about what must be true, become steps of a chain."""

from etl_assets.core.columns import MAX_DECIMAL_PRECISION, Column, ColumnType
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.assertions import Assert, Bounds
from etl_assets.core.rules.chain import NOTES, OUT, RECORD, ROW, SIDE_ROW, Chain, leave_out, ordered
from etl_assets.core.rules.compile_columns import check_value, checked, shown_values
from etl_assets.core.rules.kinds import Aggregate, Dedupe, Metric, Unpivot
from etl_assets.core.rules.steps import Checked, Grouped, SetCheck
from etl_assets.core.sql import column_list, quote_identifier, quote_literal

_ITEM = quote_identifier("__etl_item")
_NAME = ColumnType("varchar", 63)


def add_dedupe(chain: Chain, rule: Dedupe) -> None:
    """Leave out all but one of the records that agree in the keys."""
    keys = column_list(chain.column(name, rule.id).name for name in rule.keys)
    for order in rule.order:
        chain.column(order.partition(" ")[0], rule.id)
    by = ordered(rule.order, reverse=rule.keep == "last")
    side, query, join = chain.side_table(
        f"SELECT {ROW} AS {SIDE_ROW} FROM {chain.previous} WHERE {OUT} IS NULL"
        f" QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {by}) > 1"
    )
    out = leave_out(f"{SIDE_ROW} IS NOT NULL", "filtered", rule.id, "NULL", "NULL")
    chain.can_drop = True
    chain.keep(rule.id, out=out, joins=join, side=(side, query))


def add_unpivot(chain: Chain, rule: Unpivot) -> None:
    """Make a record of each of several columns; one that is left out stays one record."""
    turned = chain.matching(rule.columns, rule.id)
    gone = {c.name for c in turned}
    kept = [c for c in chain.columns if c.name not in gone]
    kinds = sorted({str(c.type) for c in turned})
    if len(kinds) > 1:
        raise RuleError(
            f"Rule `{rule.id}` makes one column of columns of the types {', '.join(kinds)}.",
            "Cast them to one type first.",
        )
    for name in (rule.name, rule.value):
        if name in {c.name for c in kept} or rule.name == rule.value:
            raise RuleError(
                f"Rule `{rule.id}` makes the column `{name}`, which is there already.",
                "Choose another name.",
            )
    items = ", ".join(
        f"{{'i': {i}, 'n': {quote_literal(c.name)}, 'v': {quote_identifier(c.name)}}}"
        for i, c in enumerate(turned)
    )
    listed = f"[{items}]"
    if rule.nulls == "drop":
        listed = f"list_filter({listed}, lambda item: item.v IS NOT NULL)"
    none = f"[{{'i': 0, 'n': NULL, 'v': CAST(NULL AS {turned[0].type.duckdb})}}]"
    names = [quote_identifier(c.name) for c in kept]
    inner = ", ".join([*names, OUT, NOTES, RECORD, ROW])
    outer = ", ".join(
        [*names, f"{_ITEM}.n AS {quote_identifier(rule.name)}",
         f"{_ITEM}.v AS {quote_identifier(rule.value)}"]
    )  # fmt: skip
    chain.reshapes = True
    spread = f"unnest(CASE WHEN {OUT} IS NULL THEN {listed} ELSE {none} END)"
    chain.step(
        rule.id,
        outer,
        columns=[*kept, Column(name=rule.name, type=_NAME),
                 Column(name=rule.value, type=turned[0].type)],
        record=f"{RECORD} || coalesce({quote_literal(f', {rule.name}=')} || {_ITEM}.n, '')",
        row=f"{ROW} * {len(turned)} + {_ITEM}.i",
        source=f"(SELECT {inner}, {spread} AS {_ITEM} FROM {chain.previous})",
    )  # fmt: skip


def add_aggregate(chain: Chain, rule: Aggregate) -> None:
    """End the phase: what comes next are the groups."""
    keys = [chain.column(name, rule.id) for name in rule.by]
    made = [*keys]
    figures = []
    for name, metric in rule.metrics.items():
        if name in rule.by:
            raise RuleError(
                f"Rule `{rule.id}` makes the column `{name}`, by which it groups.",
                "Choose another name.",
            )
        kind, sql = _figure(chain, rule.id, metric)
        made.append(Column(name=name, type=kind))
        figures.append(f"CAST({sql} AS {kind.duckdb}) AS {quote_identifier(name)}")
    by = column_list(rule.by)
    chain.columns = tuple(made)
    chain.reshapes = True
    chain.steps.append(type(chain.steps[0])(rule.id, "", chain.columns))
    chain.grouped = Grouped(
        select=f"{by}, {', '.join(figures)}, row_number() OVER (ORDER BY {by}) AS {ROW}",
        tail=f"WHERE {OUT} IS NULL GROUP BY {by}",
        by=rule.by,
    )


def _figure(chain: Chain, rule_id: str, metric: Metric) -> tuple[ColumnType, str]:
    """Return type and SQL of one figure of a group."""
    if metric.column is None:
        return ColumnType("bigint"), "count(*)"
    column = chain.column(metric.column, rule_id)
    name, kind = quote_identifier(column.name), column.type
    if metric.function == "count":
        return ColumnType("bigint"), f"count({name})"
    if metric.function == "count_distinct":
        return ColumnType("bigint"), f"count(DISTINCT {name})"
    if metric.function in ("min", "max"):
        return kind, f"{metric.function}({name})"
    total, summed = _sum(column, rule_id, metric.function)
    if metric.function == "sum":
        return total, summed
    return ColumnType("double"), f"CAST({summed} AS DOUBLE) / count({name})"


def _sum(column: Column, rule_id: str, function: str) -> tuple[ColumnType, str]:
    """Return type and SQL of a sum that does not depend on the order of the records."""
    name, kind = quote_identifier(column.name), column.type
    if kind.is_integer:
        return ColumnType("decimal", MAX_DECIMAL_PRECISION, 0), f"sum({name})"
    if kind.name == "decimal":
        return ColumnType("decimal", MAX_DECIMAL_PRECISION, kind.scale), f"sum({name})"
    if kind.name in ("double", "real"):
        return ColumnType("double"), f"sum({name} ORDER BY {name})"
    raise RuleError(
        f"Rule `{rule_id}`: the {function} of `{column.name}`, which is {kind}, is not defined.",
        "Choose a column of numbers, or another function.",
    )


def add_assert(chain: Chain, rule: Assert) -> None:
    """Say what must be true; a rule about all records is looked at once they are known."""
    check = _set_check(chain, rule)
    if check:
        chain.keep(rule.id, check=check)
        return
    bad, column, value, expressions = _record_check(chain, rule)
    out, notes = chain.outcome(bad, rule.on_failure, rule.id, column, value)
    chain.keep(rule.id, out=out, notes=notes, expressions=expressions)


def _record_check(chain: Chain, rule: Assert) -> tuple[str, str, str, list[Checked]]:
    """Return SQL of what must not be, the column it is about, its value, and what is computed."""
    if rule.that is not None:
        made = chain.render(rule.that, rule.id)
        failed = f" OR TRY(({made.sql}) IS NULL) IS NULL" if made.can_fail else ""
        bad = f"TRY({made.sql}) IS FALSE{failed}"
        return bad, "NULL", shown_values(made), [checked(made)]
    if rule.not_null is not None:
        names = [chain.column(name, rule.id).name for name in rule.not_null]
        missing = [(f"{quote_identifier(n)} IS NULL", quote_literal(n)) for n in names]
        which = " ".join(f"WHEN {is_null} THEN {name}" for is_null, name in missing)
        return " OR ".join(m for m, _ in missing), f"CASE {which} END", "NULL", []
    if rule.range is not None:
        name = quote_identifier(chain.column(rule.range.column, rule.id).name)
        inside, bounds = _inside(chain, rule.id, name, rule.range)
        return f"({inside}) IS FALSE", quote_literal(rule.range.column), name, bounds
    if rule.pattern is not None:
        column = chain.column(rule.pattern.column, rule.id)
        name = quote_identifier(column.name)
        if not column.type.is_text:
            raise RuleError(
                f"Rule `{rule.id}` matches `{column.name}`, which is {column.type}, with a pattern.",
                "Cast it to text first.",
            )
        sql = f"regexp_full_match({name}, {quote_literal(rule.pattern.regex)})"
        matched = [Checked(rule.pattern.regex, sql, condition=True)]
        return f"{sql} IS FALSE", quote_literal(column.name), name, matched
    assert rule.accepted is not None  # noqa: S101  (the model has one check)
    column = chain.column(rule.accepted.column, rule.id)
    name = quote_identifier(column.name)
    for value in rule.accepted.values:
        check_value(rule.id, column.name, column.type, value)
    listed = ", ".join(
        f"CAST({quote_literal(v)} AS {column.type.duckdb})" for v in rule.accepted.values
    )
    return f"{name} NOT IN ({listed})", quote_literal(column.name), name, []


def _inside(chain: Chain, rule_id: str, value: str, bounds: Bounds) -> tuple[str, list[Checked]]:
    """Return SQL of whether a value is inside bounds, and what is computed for it."""
    terms, found = [], []
    for text, sign in ((bounds.min, ">="), (bounds.max, "<=")):
        if text is not None:
            made = chain.render(text, rule_id, columns=False)
            terms.append(f"{value} {sign} ({made.sql})")
            within = f"{value} {sign} ({made.sql})"
            sides = () if made.sql.startswith("'") else ((value, made.sql),)
            found.append(Checked(text, within, condition=True, compared=sides))
    return " AND ".join(terms), found


def _set_check(chain: Chain, rule: Assert) -> SetCheck | None:
    warns = rule.on_failure == "warn"
    loaded = f"FROM {chain.previous} WHERE {OUT} IS NULL"
    if rule.unique is not None:
        names = column_list(chain.column(name, rule.id).name for name in rule.unique)
        first = f"concat_ws(', ', {', '.join(f'CAST({quote_identifier(n)} AS VARCHAR)' for n in rule.unique)})"
        return SetCheck(
            rule.id,
            f"SELECT count(*) = 0, count(*) || ' values more than once, such as ' || min(first),"
            f" coalesce(sum(n), 0) FROM (SELECT {first} AS first, count(*) AS n {loaded}"
            f" GROUP BY {names} HAVING count(*) > 1)",
            f"{', '.join(rule.unique)} is unique",
            warns,
        )
    if rule.row_count is not None:
        inside, _ = _inside(chain, rule.id, "n", rule.row_count)
        return SetCheck(
            rule.id,
            f"SELECT {inside}, n || ' records', n FROM (SELECT count(*) AS n {loaded})",
            f"the number of records is {_said(rule.row_count)}",
            warns,
        )
    if rule.sum is not None:
        column = chain.column(rule.sum.column, rule.id)
        _, summed = _sum(column, rule.id, "sum")
        inside, _ = _inside(chain, rule.id, "coalesce(total, 0)", rule.sum)
        return SetCheck(
            rule.id,
            f"SELECT {inside}, 'a sum of ' || coalesce(total, 0), n"
            f" FROM (SELECT {summed} AS total, count(*) AS n {loaded})",
            f"the sum of `{column.name}` is {_said(rule.sum)}",
            warns,
        )
    return None


def _said(bounds: Bounds) -> str:
    least = f"at least {bounds.min}" if bounds.min is not None else ""
    most = f"at most {bounds.max}" if bounds.max is not None else ""
    return " and ".join(part for part in (least, most) if part)
