"""What docs/rules.md says of each kind of rule, made of the models.

`python -m etl_assets_tests.rule_pages` writes it into the page, between its marks.
"""

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from etl_assets.core.columns import ColumnName, ColumnType
from etl_assets.core.rules.expressions import FUNCTIONS
from etl_assets.core.rules.kinds import Rule
from etl_assets.core.rules.model import ColumnPattern, Expression, Order, RuleId, Text
from etl_assets.core.rules.normalize import DateFormats, NumberFormat

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
_COMMON = ("id", "comment", "examples", "kind")
_NAMES = {"table": "one of `tables`", "dataset": "a dataset's name"}
_NAMED = (
    (ColumnName, "a column"),
    (ColumnPattern, "a column or glob"),
    (Expression, "an SQL expression"),
    (Order, "a column, with `desc` for the largest first"),
    (Text, "a value"),
    (Text | None, "a value or null"),
    (RuleId, "a rule's id"),
    (NumberFormat, "a locale, or `decimal` and `group`"),
    (DateFormats, "formats, or a locale"),
    (ColumnType, "a type"),
    (bool, "true or false"),
    (str, "a text"),
)
"""What the types of fields are called; the first that is equal counts."""


def kinds() -> dict[str, type[BaseModel]]:
    """Return the models of the kinds of rules, by kind."""
    models = get_args(get_args(Rule)[0])
    return {get_args(m.model_fields["kind"].annotation)[0]: m for m in models}


def section(model: type[BaseModel]) -> str:
    """Return what a model says of its kind: its docstring, and a table of its fields."""
    text = "\n\n".join(
        " ".join(part.split()) for part in (model.__doc__ or "").strip().split("\n\n")
    )
    rows = [
        f"| `{field.alias or name}` | {_NAMES.get(name) or said(hint)} | {_default(field)} |"
        for name, field, hint in _fields(model)
    ]
    return "\n".join([text, "", "| field | is | default |", "|---|---|---|", *rows])


def functions() -> str:
    """Return the list of functions that expressions may call."""
    return ", ".join(f"`{name}`" for name in FUNCTIONS)


def _fields(model: type[BaseModel]) -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(model, include_extras=True)
    return [(n, f, hints[n]) for n, f in model.model_fields.items() if n not in _COMMON]


def _default(field: Any) -> str:  # noqa: ANN401  (pydantic's FieldInfo)
    if field.is_required():
        return "required"
    if field.default in (None, ()):
        return "none"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def said(hint: Any) -> str:  # noqa: ANN401  (any type)
    """Return what the type of a field is called."""
    origin, arguments = get_origin(hint), get_args(hint)
    named = next((name for known, name in _NAMED if hint == known), "")
    if named:
        made = named
    elif origin is Literal:
        made = ", ".join(f"`{word}`" for word in arguments)
    elif origin in (Union, types.UnionType):
        made = said(next(one for one in arguments if one is not type(None)))
    elif origin is tuple:
        made = f"a list, each {said(arguments[0])}"
    elif origin is dict:
        made = f"a mapping from {said(arguments[0])} to {said(arguments[1])}"
    elif hasattr(hint, "__metadata__"):
        made = said(arguments[0])
    else:
        made = ", ".join(_part(field.alias or name, inner) for name, field, inner in _fields(hint))
    return made


def _part(name: str, hint: Any) -> str:  # noqa: ANN401  (any type)
    """Return a field of a field; words it may be are named, since it has no table of its own."""
    return f"`{name}` ({said(hint)})" if get_origin(hint) is Literal else f"`{name}`"


def filled(page: str) -> str:
    """Return a page with everything between its marks made anew."""
    made = {"functions": functions(), **{kind: section(m) for kind, m in kinds().items()}}
    for name, text in made.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if end:
            page = f"{before}{mark}{text}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
