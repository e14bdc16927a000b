"""How rules that look values up become steps of a chain: `map` and `lookup`."""

from collections.abc import Sequence

from etl_assets.core.columns import ColumnType
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.chain import Chain
from etl_assets.core.rules.compile_columns import TEXT, check_value
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.kinds import Lookup, Map, Table
from etl_assets.core.sql import quote_identifier


def add_map(chain: Chain, rule: Map) -> None:
    """Replace values by a table's."""
    column = chain.column(rule.column, rule.id)
    made = rule.type or column.type
    if rule.unmapped == "keep" and made != column.type:
        raise RuleError(
            f"Rule `{rule.id}` keeps unmapped values of `{column.name}` ({column.type})"
            f" in a column of type {made}.",
            "Leave out `type`, or say what else happens to unmapped values.",
        )
    for new in rule.values.values():
        check_value(rule.id, column.name, made, new)
    name = quote_identifier(column.name)
    (value,), hit, join = chain.relation(
        rule.id, [TEXT, made], [f"CAST({name} AS VARCHAR)"], rows=list(rule.values.items())
    )
    rest = name if rule.unmapped == "keep" else "NULL"
    chain.assign(
        rule.id,
        {column.name: (made, f"CASE WHEN {hit} THEN {value} ELSE {rest} END")},
        bad=f"{name} IS NOT NULL AND NOT ({hit})",
        policy=rule.unmapped,
        joins=join,
    )


def add_lookup(chain: Chain, rule: Lookup) -> None:
    """Set columns to those of the matching row of a table."""
    keys = [quote_identifier(chain.column(name, rule.id).name) for name in rule.on]
    wanted = [*rule.on.values(), *rule.columns.values()]
    what = f"table `{rule.table}`" if rule.table else f"dataset `{rule.dataset}`"
    table = chain.tables[rule.table] if rule.table else None
    there = _columns_of(chain, rule, table)
    for name in wanted:
        if name not in there:
            raise RuleError(
                f"Rule `{rule.id}`: {what} has no column `{name}`{nearest(name, there)}.",
                "Name one of its columns.",
            )
    for name, other in rule.on.items():
        mine, theirs = chain.column(name, rule.id).type, there[other]
        if mine.family != theirs.family:
            raise RuleError(
                f"Rule `{rule.id}` compares `{name}` ({mine}) with `{other}` ({theirs}).",
                "Cast the column first.",
            )
    kinds = [there[name] for name in wanted]
    rows = _rows_of(rule, table, wanted) if table else None
    values, hit, join = chain.relation(
        rule.id, kinds, keys, rows=rows, dataset=rule.dataset, source=wanted
    )
    made = zip(rule.columns, kinds[len(keys) :], values, strict=True)
    first = next(iter(rule.on))
    chain.assign(
        rule.id,
        {name: (kind, value) for name, kind, value in made},
        bad=f"NOT ({hit})",
        policy=rule.missing,
        shown=(first, quote_identifier(first)),
        joins=join,
    )


def _columns_of(chain: Chain, rule: Lookup, table: Table | None) -> dict[str, ColumnType]:
    if table:
        return dict(table.columns)
    name = rule.dataset or ""
    if name not in chain.datasets:
        raise RuleError(
            f"Rule `{rule.id}`: dataset `{name}` has no extract of this campaign"
            f"{nearest(name, chain.datasets)}.",
            "Refresh that dataset first, or correct the name.",
        )
    return {c.name: c.type for c in chain.datasets[name]}


def _rows_of(rule: Lookup, table: Table, wanted: Sequence[str]) -> list[list[str | None]]:
    """Return the wanted columns of a table's rows, checked: types, and keys that are unique."""
    names = list(table.columns)
    places = [names.index(name) for name in wanted]
    seen: dict[tuple[str | None, ...], int] = {}
    rows = []
    for number, row in enumerate(table.rows, 1):
        if len(row) != len(names):
            raise RuleError(
                f"Rule `{rule.id}`: row {number} of table `{rule.table}` has {len(row)} values,"
                f" but there are {len(names)} columns.",
                "Correct the table.",
            )
        for name, place in zip(wanted, places, strict=True):
            check_value(rule.id, f"{rule.table}.{name}", table.columns[name], row[place])
        key = tuple(row[place] for place in places[: len(rule.on)])
        if key in seen:
            raise RuleError(
                f"Rule `{rule.id}`: rows {seen[key]} and {number} of table `{rule.table}` have the"
                f" same key {', '.join(map(str, key))}.",
                "Keep one of them.",
            )
        seen[key] = number
        rows.append([row[place] for place in places])
    return rows
