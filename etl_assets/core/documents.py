"""YAML documents read strictly, with errors that name file, line and field.

YAML's conveniences are where typos hide: a key written twice wins silently, and
`2017-02-30` is an exception without a place. Here the first is an error, and dates
stay text until a model reads them.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from etl_assets.core.errors import DocumentError

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]


_MERGE = "tag:yaml.org,2002:merge"


_KIND = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """SafeLoader without timestamps, and with booleans and numbers as YAML 1.2 has them.

    A date is checked by the model that expects one. Of YAML 1.1's booleans, `on` is a key of
    lookups and `no` is Norway; of its numbers, `007` would be 7, and `12:30` 750. What is a
    number here is one for PyYAML, too, which so puts texts that look like one into quotes.
    """


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.removeprefix(_KIND) not in ("timestamp", "bool", "int", "float")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"^(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"^([-+]?(0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?$", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(_KIND + _tag, re.compile(_pattern), [*_first])


class Document:
    """A parsed YAML document that knows the line of everything in it.

    Attributes:
        source: The name errors use, usually the file's.
        data: Plain dicts, lists, strings, numbers, booleans and None; None when empty.
    """

    def __init__(self, text: str, source: str) -> None:
        """Parse `text`.

        Raises:
            DocumentError: When it is not one YAML document, or a mapping repeats a key.
        """
        self.source = source
        self._lines: dict[Path, int] = {}
        self._walked: set[int] = set()
        try:
            loader = _Loader(text)
        except yaml.YAMLError as error:
            raise DocumentError(source, [" ".join(str(error).split())]) from error
        try:
            node = loader.get_single_node()
            if node is not None:
                self._walk(loader, node, ())
            self.data: Any = loader.construct_document(node) if node is not None else None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DocumentError(source, [f"line {line}: {error.problem}"]) from error
        except (yaml.YAMLError, ValueError) as error:
            raise DocumentError(source, [str(error)]) from error
        except RecursionError:
            raise DocumentError(source, ["it is nested too deep"]) from None
        finally:
            loader.dispose()

    def _walk(self, loader: _Loader, node: yaml.Node, path: Path) -> None:
        """Note the lines of everything in a node; refuse a key written twice."""
        self._lines[path] = node.start_mark.line + 1
        if id(node) in self._walked:  # an alias: its lines are those of its anchor
            return
        self._walked.add(id(node))
        if isinstance(node, yaml.MappingNode):
            seen: set[object] = set()
            for key, value in node.value:
                name = str(key.value)
                plain = isinstance(key, yaml.ScalarNode) and key.tag != _MERGE
                same = loader.construct_object(key) if plain else name  # true, True: one key
                if same in seen:
                    line = key.start_mark.line + 1
                    raise DocumentError(self.source, [f"line {line}: `{name}` is written twice"])
                seen.add(same)
                self._walk(loader, value, (*path, name))
                self._lines[(*path, name)] = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(loader, item, (*path, index))

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line (from 1) of what is at `path`, or of the nearest thing around it."""
        place = tuple(path)
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def validate(self, model: type[Model], data: object, at: Path = ()) -> Model:
        """Return `data`, found at path `at`, as a `model`.

        Raises:
            DocumentError: Naming line and field of everything that is wrong.
        """
        try:
            return model.model_validate(data)
        except ValidationError as error:
            raise DocumentError(self.source, self.problems(error, model, at)) from error

    def problems(self, error: ValidationError, model: type[BaseModel], at: Path) -> list[str]:
        """Return a sentence for each problem of a validation, with its line and field."""
        return [self._problem(detail, model, at) for detail in error.errors()]

    def _problem(self, detail: ErrorDetails, model: type[BaseModel], at: Path) -> str:
        location = self._written(detail["loc"], at)
        return f"line {self.line((*at, *location))}: {explain(detail, location, model)}"

    def _written(self, location: Path, at: Path) -> Path:
        """Return a location without what pydantic adds to it, such as the kind of a rule."""
        written: Path = ()
        for part in location:
            around = (*at, *written)
            added = around in self._lines and (*around, part) not in self._lines
            if part is location[-1] or not added:
                written = (*written, part)
        return written


def explain(detail: ErrorDetails, location: Path, model: type[BaseModel]) -> str:
    """Return a sentence for one problem of a validation: the field at `location`, and why."""
    field = ".".join(str(part) for part in location) or "the document"
    if detail["type"] == "extra_forbidden":
        known = _nested_fields(model) if location[1:] else set(model.model_fields)
        near = difflib.get_close_matches(str(location[-1]), sorted(known), n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"`{field}` is not a known field{hint}"
    if detail["type"] == "missing":
        return f"`{field}` is missing"
    if detail["type"].startswith("union_tag"):
        kinds = str(detail.get("ctx", {}).get("expected_tags", "")).replace("'", "`")
        needed = f": `kind` must be one of {kinds}" if kinds else ": `kind` is missing"
        return f"`{field}`{needed}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    value = detail.get("input")
    shown = f" (it is {value!r})" if isinstance(value, str | int | float) else ""
    return f"`{field}`: {message}{shown}"


def _nested_fields(model: type[BaseModel]) -> set[str]:
    """Return the fields of the models that a model's fields hold, at any depth."""
    found: set[str] = set()
    types: list[Any] = [field.annotation for field in model.model_fields.values()]
    while types:
        kind = types.pop()
        types += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= set(kind.model_fields)
    return found
