"""How the lineage of columns is shown: trees for people, JSON for programs, a page for both ways."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from etl_assets.core.lineage.graph import Edge, Graph, Node
from etl_assets.core.lineage.story import Branch, Decision, Reached, Story
from etl_assets.pages import write_page


def story_view(story: Story, *, up: bool, down: bool) -> Iterator[RenderableType]:
    """Yield what is told of a column, for people."""
    yield Text.assemble((what(story.node), "bold"), f", {where(story.node, story.up.said)}")
    if up:
        yield from _trees("Where it comes from", story.up)
        if story.decisions:
            yield Text("\nWhat decides which records there are", "underline")
            yield from map(_decision, story.decisions)
    if down:
        yield from _trees("What is made of it", story.down)
        if story.reached:
            yield Text("\nWhat it reaches", "underline")
            yield from (Text(f"  {reaches(one)}") for one in story.reached)


def what(node: Node) -> str:
    """Return how people call a column, or that it is about records."""
    if node.kind == "reader":
        return node.place
    return f":{node.column}" if node.kind == "parameter" else node.column or "which records"


def where(node: Node, said: str = "") -> str:
    """Return where a column is; of one that a rule makes what the rule does, when it is said."""
    if node.kind == "rule":
        return f"rule {node.rule}{f': {said}' if said else ''}"
    if node.kind == "reference":
        dataset, _, table = node.place.partition("/")
        return f"table {table} of the rules of {dataset}"
    return {
        "input": f"files of the raw source {node.place}",
        "source": f"source table {node.place}",
        "parameter": "parameter of the campaign",
        "extract": f"extract of {node.place}",
        "table": f"table {node.place}",
        "view": f"view {node.place}",
        "reader": "reader",
    }[node.kind]


def remarks(edge: Edge | None) -> list[str]:
    """Return what there is to say of an edge that is not plain."""
    if edge is None:
        return []
    said = "" if edge.how == "value" else edge.how
    campaigns = [
        f"only {', '.join(edge.only)}" if edge.only else "",
        f"not {', '.join(edge.but)}" if edge.but else "",
    ]
    return [part for part in (said, "" if edge.sure else "perhaps", *campaigns) if part]


def reaches(one: Reached) -> str:
    """Return what is reached at one place, as a line."""
    names = [name if how == "value" else f"{name} ({how})" for name, how in one.columns]
    if one.records and one.node.kind != "reader":
        names.append("which records" if one.records != "checks" else "checks only")
    where_ = f"reader {one.node.place}" if one.node.kind == "reader" else where(one.node)
    if one.node.kind == "reader":
        return where_ if one.records != "checks" else f"{where_} (checks only)"
    return f"{where_}: {', '.join(names)}"


def decided(one: Decision) -> tuple[str, str]:
    """Return who decides, and what of, as the parts of a line."""
    who = f"rule {one.rule}" if one.rule else f"the query of {one.place}"
    if not one.rule and one.columns and one.columns[0].kind == "table":
        who = f"the view {one.place}"
    names = ", ".join(_short(node) for node in one.columns)
    sources = [n for n in one.sources if n not in one.columns]
    made = f" (of {', '.join(_short(node) for node in sources)})" if sources else ""
    said = f"{one.said}: " if one.rule and one.said else ""
    return who, f"{said}{names}{made}{' [checks]' if one.how == 'checks' else ''}"


def lineage_document(stories: Sequence[Story], graph: Graph) -> dict[str, object]:
    """Return everything for JSON."""
    return {"columns": [_document(one, graph) for one in stories], "notes": list(graph.notes)}


def write_lineage(file: Path, target: str, stories: Sequence[Story], graph: Graph) -> None:
    """Write the page of some columns, with both ways.

    Raises:
        PermanentError: When the file cannot be written.
    """
    write_page(
        "lineage.html", file, target=target, stories=stories, notes=graph.notes, what=what,
        where=where, remarks=remarks, reaches=reaches, decided=decided,
    )  # fmt: skip


def _trees(title: str, root: Branch) -> Iterator[RenderableType]:
    yield Text(f"\n{title}", "underline")
    if not root.branches:
        yield Text("  nothing" if "What" in title else "  no column: it is made of nothing")
        return
    tree = Tree(what(root.node))
    _grow(tree, root)
    yield tree


def _grow(tree: Tree, branch: Branch) -> None:
    for one in branch.branches:
        _grow(tree.add(_label(one)), one)


def _label(branch: Branch) -> Text:
    text = Text.assemble(what(branch.node), (f"  {where(branch.node, branch.said)}", "dim"))
    for remark in remarks(branch.edge):
        text.append(f"  [{remark}]", "yellow")
    if branch.again:
        text.append("  (as above)", "dim")
    return text


def _decision(one: Decision) -> Text:
    who, said = decided(one)
    return Text.assemble(f"  {who} ", (said, "dim"))


def _short(node: Node) -> str:
    if node.kind in ("parameter", "extract", "rule"):
        return what(node)
    return f"{node.place}.{node.column}"


def _document(story: Story, graph: Graph) -> dict[str, object]:
    return {
        "column": _node(story.node),
        "upstream": _ways(graph, story.node, down=False),
        "records": [
            {"place": d.place, "rule": d.rule, "how": d.how, "said": d.said,
             "columns": [_node(node) for node in d.columns],
             "sources": [_node(node) for node in d.sources]}
            for d in story.decisions
        ],
        "downstream": _ways(graph, story.node, down=True),
    }  # fmt: skip


def _ways(graph: Graph, node: Node, *, down: bool) -> list[dict[str, object]]:
    found = graph.downstream([node]) if down else graph.upstream([node])
    return [{**_node(other), "how": how} for other, how in found.items()]


def _node(node: Node) -> dict[str, object]:
    """Return a node; its column is null when it is about which records there are."""
    rule = {"rule": node.rule} if node.rule else {}
    return {"kind": node.kind, "place": node.place, "column": node.column or None, **rule}
