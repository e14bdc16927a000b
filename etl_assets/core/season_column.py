"""Which column of a query says when a record was: the one the query compares with the season."""

from sqlglot import exp

_BOUNDS = {"start", "end", "starts_at", "ends_before"}


def season_column(tree: exp.Query) -> str | None:
    """Return the name under which a query selects what it compares with the season's bounds.

    None when it compares nothing with them, several columns, or one that it does not select.
    """
    compared = set()
    for node in tree.find_all(exp.Predicate):
        bounds = {found.name for found in node.find_all(exp.Placeholder)}
        columns = list(node.find_all(exp.Column))
        if bounds & _BOUNDS and not bounds - _BOUNDS and len(columns) == 1:
            compared.add((columns[0].table, columns[0].name))
    names = {
        selected.alias_or_name
        for selected in tree.selects
        if isinstance(column := selected.unalias(), exp.Column)
        and any(_same(column, *one) for one in compared)
    }
    return names.pop() if len(names) == 1 else None


def _same(column: exp.Column, table: str, name: str) -> bool:
    return column.name == name and (column.table == table or not (column.table and table))
