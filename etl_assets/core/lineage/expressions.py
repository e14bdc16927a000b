"""Which parts of an expression its value is made of, and which only decide."""

from sqlglot import exp


def split(node: exp.Expr) -> tuple[list[exp.Expr], list[exp.Expr]]:
    """Return the parts of an expression that its value is made of, and those that decide."""
    decide: list[exp.Expr | None] = []
    if isinstance(node, exp.Case):
        decide = [node.this, *(one.this for one in node.args["ifs"])]
        made = [*(one.args.get("true") for one in node.args["ifs"]), node.args.get("default")]
        return [one for one in made if one is not None], [one for one in decide if one is not None]
    if isinstance(node, exp.If):
        decide = [node.this]
    elif isinstance(node, exp.Window):
        decide = [*(node.args.get("partition_by") or ()), node.args.get("order")]
    some = [one for one in decide if one is not None]
    return [one for one in node.iter_expressions() if not any(one is d for d in some)], some


def is_aggregated(node: exp.Expr) -> bool:
    """Return whether an expression sums up records, other than inside a query of its own."""
    if isinstance(node, exp.Query):
        return False
    if isinstance(node, exp.Window):
        return any(is_aggregated(one) for one in node.this.iter_expressions())
    return isinstance(node, exp.AggFunc) or any(
        is_aggregated(one) for one in node.iter_expressions()
    )
