"""YAML documents read strictly, with errors that name file, line and field.

YAML's conveniences are where typos hide: a key written twice wins silently, and
`2017-02-30` is an exception without a place. Here the first is an error, and dates
stay text until a model reads them.
"""

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from etl_assets.core.errors import DocumentError

Model = TypeVar("Model", bound=BaseModel)
Path = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader without timestamps: a date is checked by the model that expects one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                self._walk(node, ())
            self.data: Any = loader.construct_document(node) if node is not None else None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DocumentError(source, [f"line {line}: {error.problem}"]) from error
        except (yaml.YAMLError, ValueError) as error:
            raise DocumentError(source, [str(error)]) from error
        finally:
            loader.dispose()

    def _walk(self, node: yaml.Node, path: Path) -> None:
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in seen:
                    line = key.start_mark.line + 1
                    raise DocumentError(self.source, [f"line {line}: `{name}` is written twice"])
                seen.add(name)
                self._walk(value, (*path, name))
                self._lines[(*path, name)] = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*path, index))

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
        location: Path = detail["loc"]
        field = ".".join(str(part) for part in location) or "the document"
        line = self.line((*at, *location))
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            return f"line {line}: `{field}` is not a known field{hint}"
        if detail["type"] == "missing":
            return f"line {line}: `{field}` is missing"
        message = str(detail["msg"]).removeprefix("Value error, ")
        value = detail.get("input")
        shown = f" (it is {value!r})" if isinstance(value, str | int | float) else ""
        return f"line {line}: `{field}`: {message}{shown}"
