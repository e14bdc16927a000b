"""How rules about single records and their columns become steps of a chain."""

from etl_assets.core.columns import RESERVED_PREFIX, Column, ColumnType
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.casts import exact_cast, holds
from etl_assets.core.rules.chain import COMPUTED, OUT, ROW, SIDE_ROW, Chain, leave_out, ordered
from etl_assets.core.rules.expressions import Rendered
from etl_assets.core.rules.kinds import (
    Cast,
    Derive,
    Drop,
    Fill,
    Filter,
    Flag,
    Rename,
    Select,
)
from etl_assets.core.rules.steps import Checked
from etl_assets.core.sql import column_list, quote_identifier, quote_literal

_FILLED = quote_identifier(RESERVED_PREFIX + "filled")
TEXT = ColumnType("text")


def add_select(chain: Chain, rule: Select) -> None:
    """Keep the columns that match."""
    kept = chain.matching(rule.columns, rule.id)
    chain.step(rule.id, column_list(c.name for c in kept), columns=kept)


def add_drop(chain: Chain, rule: Drop) -> None:
    """Keep the columns that do not match."""
    gone = {c.name for c in chain.matching(rule.columns, rule.id)}
    kept = [c for c in chain.columns if c.name not in gone]
    if not kept:
        raise RuleError(f"Rule `{rule.id}` drops every column.", "Keep one at least.")
    chain.step(rule.id, column_list(c.name for c in kept), columns=kept)


def add_rename(chain: Chain, rule: Rename) -> None:
    """Give columns other names; columns may exchange theirs."""
    for name in rule.columns:
        chain.column(name, rule.id)
    renamed = [
        c.model_copy(update={"name": rule.columns.get(c.name, c.name)}) for c in chain.columns
    ]
    names = [c.name for c in renamed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RuleError(
            f"Rule `{rule.id}` gives two columns the name `{twice[0]}`.",
            "Choose another name, or drop the other column first.",
        )
    listed = ", ".join(
        f"{quote_identifier(old.name)} AS {quote_identifier(new.name)}"
        for old, new in zip(chain.columns, renamed, strict=True)
    )
    chain.step(rule.id, listed, columns=renamed)


def add_derive(chain: Chain, rule: Derive) -> None:
    """Set a column to an expression; what cannot be computed is bad."""
    made = chain.render(rule.expression, rule.id)
    value = f"CAST(({made.sql}) AS {rule.type.duckdb})"
    # TRY is NULL where a value cannot be computed; IS NULL never is, so its TRY tells the two.
    bad = [f"TRY(({value}) IS NULL) IS NULL"] if made.can_fail or rule.type.name != "text" else []
    tried = f"TRY({value})" if bad else value
    if rule.type.name == "varchar":
        bad.append(f"length({tried}) > {rule.type.precision}")
    elif rule.type.name in ("double", "real"):
        bad.append(f"NOT isfinite({tried})")
    bad_value = " OR ".join(bad)
    # A filter may be there to keep away what cannot be computed: dropped records are not.
    sql = f"CASE WHEN {OUT} IS NULL THEN {tried} END"
    if bad and rule.on_error != "fail":
        sql = f"CASE WHEN {OUT} IS NULL AND NOT ({bad_value}) THEN {tried} END"
    chain.assign(
        rule.id,
        {rule.column: (rule.type, sql)},
        bad=bad_value or None,
        policy=rule.on_error,
        shown=(rule.column, shown_values(made)),
        expressions=[checked(made, condition=False)],
    )


def add_filter(chain: Chain, rule: Filter) -> None:
    """Leave out the records for which the condition is not true."""
    made = chain.render(rule.keep, rule.id)
    out = condition_fails(chain, made, rule.id)
    dropped = f"{out} IS NULL AND TRY({made.sql}) IS NOT TRUE"
    chain.can_drop = True
    chain.keep(
        rule.id,
        out=leave_out(dropped, "filtered", rule.id, "NULL", "NULL", otherwise=out),
        expressions=[checked(made)],
    )


def condition_fails(chain: Chain, made: Rendered, rule_id: str) -> str:
    """Return SQL of why a record is not loaded, failed where the condition cannot be computed."""
    if not made.can_fail:
        return OUT
    bad = f"TRY(({made.sql}) IS NULL) IS NULL"
    out, _ = chain.outcome(bad, "fail", rule_id, "NULL", shown_values(made))
    return f"({out})"


def add_cast(chain: Chain, rule: Cast) -> None:
    """Give a column another type, exactly."""
    column = chain.column(rule.column, rule.id)
    name = quote_identifier(column.name)
    made = f"TRY_CAST({name} AS {rule.type.duckdb})"
    exact = exact_cast(name, made, column.type, rule.type)
    bad = f"{name} IS NOT NULL AND ({exact}) IS NOT TRUE"
    sql = f"CASE WHEN {bad} THEN NULL ELSE {made} END"
    chain.assign(rule.id, {column.name: (rule.type, sql)}, bad=bad, policy=rule.on_error)


def add_fill(chain: Chain, rule: Fill) -> None:
    """Give NULLs of a column a value."""
    column = chain.column(rule.column, rule.id)
    name = quote_identifier(column.name)
    if rule.previous is None:
        chain.assign(
            rule.id,
            {column.name: (column.type, f"coalesce({name}, {_filler(chain, rule, column)})")},
        )
        return
    for order in rule.previous.order:
        chain.column(order.partition(" ")[0], rule.id)
    by = column_list(chain.column(b, rule.id).name for b in rule.previous.by)
    over = f"PARTITION BY {by} " if by else ""
    side, query, join = chain.side_table(
        f"SELECT {ROW} AS {SIDE_ROW}, filled AS {_FILLED} FROM (SELECT {ROW}, {name} AS own,"
        f" last_value({name} IGNORE NULLS) OVER ({over}ORDER BY {ordered(rule.previous.order)}"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS filled"
        f" FROM {chain.previous} WHERE {OUT} IS NULL) WHERE own IS NULL AND filled IS NOT NULL"
    )
    chain.assign(
        rule.id,
        {column.name: (column.type, f"coalesce({name}, {_FILLED})")},
        joins=join,
        side=(side, query),
    )


def _filler(chain: Chain, rule: Fill, column: Column) -> str:
    if rule.from_ is not None:
        other = chain.column(rule.from_, rule.id)
        if other.type != column.type:
            raise RuleError(
                f"Rule `{rule.id}` fills `{column.name}` ({column.type}) from `{other.name}`"
                f" ({other.type}).",
                "Cast one of them first.",
            )
        return quote_identifier(other.name)
    check_value(rule.id, column.name, column.type, rule.value)
    return f"CAST({quote_literal(rule.value or '')} AS {column.type.duckdb})"


def add_flag(chain: Chain, rule: Flag) -> None:
    """Add a tag to the records for which a condition is true."""
    made = chain.render(rule.when, rule.id)
    name, tag = quote_identifier(rule.column), quote_literal(rule.tag)
    earlier = next((c for c in chain.columns if c.name == rule.column), None)
    if earlier and earlier.type != TEXT:
        raise RuleError(
            f"Rule `{rule.id}` puts tags into `{rule.column}`, which is {earlier.type}.",
            "Name another column, or cast it to text first.",
        )
    added = f"concat_ws(',', {name}, {tag})" if earlier else tag
    rest = name if earlier else "NULL"
    bad = f"TRY(({made.sql}) IS NULL) IS NULL" if made.can_fail else None
    chain.assign(
        rule.id,
        {rule.column: (TEXT, f"CASE WHEN {OUT} IS NULL AND TRY({made.sql}) THEN {added} ELSE {rest} END")},
        bad=bad,
        shown=(rule.column, shown_values(made)),
        expressions=[checked(made)],
    )  # fmt: skip


def checked(made: Rendered, *, condition: bool = True) -> Checked:
    """Return an expression as its types are to be checked."""
    return Checked(made.text, made.sql, condition, made.compared)


def shown_values(made: Rendered) -> str:
    """Return SQL of a text of the values an expression was computed of."""
    parts = [
        f"{quote_literal(name + '=')} || coalesce(CAST({quote_identifier(name)} AS VARCHAR), 'NULL')"
        for name in made.columns
    ]
    listed = " || ', ' || ".join(parts) or "'nothing'"
    return f"{quote_literal(COMPUTED)} || {listed}"


def check_value(rule_id: str, column: str, kind: ColumnType, value: str | None) -> None:
    """Raise unless a value written in a rule is one of the column's type."""
    if value is not None and not holds(kind, value):
        raise RuleError(
            f"Rule `{rule_id}` gives `{column}` the value {value!r}, which is no {kind}.",
            "Correct the value, or give the column another type.",
        )
