"""The text of a rule set: what it says of its version, and how that is set without touching more."""

from collections.abc import Iterator, Sequence

import yaml

from etl_assets.core.errors import DocumentError

OWN = "The rules of the dataset's document."
"""The comment of rules that were never published."""

_UNBROKEN = 1 << 30
"""A line's width that no comment reaches."""


def stamped(text: str, version: int, comment: str, source: str) -> str:
    """Return a rule set's text with its version and comment set, everything else as it was.

    What the text says of them is replaced; what it does not say comes before its first key.

    Raises:
        DocumentError: When it is not a mapping.
    """
    top = _Top(text, source)
    new: dict[str, str | int] = {"version": version, "comment": comment}
    for name in sorted(new.keys() & top.spans.keys(), key=top.spans.__getitem__, reverse=True):
        start, end = top.spans[name]
        old = text[start:end]
        kept = old[len(old.rstrip()) :]  # the line break that ends a block scalar
        value = top.entry(name, new[name]).partition(": ")[2]
        text = text[:start] + ("" if old else " ") + value + kept + text[end:]
    between = ", " if top.flow else ("\r\n" if "\r\n" in text else "\n") + " " * top.column
    added = [top.entry(name, new[name]) + between for name in new if name not in top.spans]
    return text[: top.first] + "".join(added) + text[top.first :]


def said(text: str, source: str) -> tuple[int, str]:
    """Return the version and the comment that a rule set's text says; 0 and nothing if none.

    The text is read only as far as it takes: of a long one, the first lines.

    Raises:
        DocumentError: When it is no mapping, or its version is no number.
    """
    values = _Top(text, source, enough=("version", "comment")).scalars
    version = values.get("version", "0")
    if not version.isdecimal():
        raise DocumentError(source, ["`version` is not a number written in digits"])
    return int(version), values.get("comment", "")


def own_rules_text(document: str, version: int) -> str:
    """Return the rules in a dataset's document as the text of a rule set, to begin an edit.

    Args:
        document: The dataset's document, valid.
        version: What the edit is to be published over.
    """
    head = f"version: {version}\ncomment: {OWN}\n"
    root = yaml.compose(document, Loader=yaml.SafeLoader)
    for key, value in root.value if root else ():
        if key.value == "rules":
            lines = document[key.start_mark.index : value.end_mark.index].splitlines()
            while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
                lines.pop()  # what stands before the next key belongs to that
            return head + "\n".join([*lines, ""])
    return f"{head}rules: []\n"


class _Top:
    """Where a document's outermost mapping begins, and where each of its values stands.

    Attributes:
        first: Index of the first key; in braces, of what follows the opening one.
        column: The first key's.
        flow: Whether it is written in braces, as JSON is.
        scalars: What each value is, as text; empty for what is no scalar.
        spans: Where each value begins; and where it ends, if it is a scalar.
    """

    def __init__(self, text: str, source: str, enough: Sequence[str] = ()) -> None:
        """Read `text`, only until it has met the keys that are enough.

        Raises:
            DocumentError: When it is not YAML, or not a mapping.
        """
        self.scalars: dict[str, str] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.first = self.column = -1
        try:
            self._read(_outermost(text), enough)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DocumentError(source, [f"line {line}: {error.problem}"]) from error
        except yaml.YAMLError as error:
            raise DocumentError(source, [" ".join(str(error).split())]) from error
        if self.first < 0:
            raise DocumentError(source, ["line 1: expected a mapping with `rules`"])

    def _read(self, events: Iterator[yaml.Event], enough: Sequence[str]) -> None:
        start = next(events, None)
        if not isinstance(start, yaml.MappingStartEvent):
            return
        self.flow = bool(start.flow_style)
        if self.flow:
            self.first, _ = _place(start.end_mark)
        for key, value in zip(events, events, strict=False):
            if self.first < 0:
                self.first, self.column = _place(key.start_mark)
            name = str(getattr(key, "value", ""))
            self.scalars[name] = str(getattr(value, "value", ""))
            self.spans[name] = _place(value.start_mark)[0], _place(value.end_mark)[0]
            if enough and self.spans.keys() >= {*enough}:
                return

    def entry(self, name: str, value: str | int) -> str:
        """Return key and value as they may stand here, on one line."""
        quoted = isinstance(value, str) and (self.flow or not value.isprintable())
        written = yaml.safe_dump(
            {name: value}, default_style='"' if quoted else None, allow_unicode=True,
            width=_UNBROKEN,
        )  # fmt: skip
        rest = written.rstrip("\n").partition(":")[2]
        return f'"{name}":{rest}' if self.flow else f"{name}:{rest}"


def _outermost(text: str) -> Iterator[yaml.Event]:
    """Yield what begins a document's outermost node, then each node directly in it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if isinstance(event, yaml.NodeEvent) and depth <= 1:
            yield event
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1


def _place(mark: "yaml.Mark | yaml._yaml.Mark | None") -> tuple[int, int]:
    """Return index and column; the parser marks every event, though its types do not say so."""
    return (mark.index, mark.column) if mark else (-1, -1)
