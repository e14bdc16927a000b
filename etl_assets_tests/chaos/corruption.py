"""Ways to spoil an object: its bytes, by where they are, and its JSON, field by field."""

import copy
import json
from collections.abc import Iterator
from typing import Any

_INSIDE = {"start": 0, "header": 5, "middle": 0.5, "checksum": -6, "end": -1}
"""Places of an object: of zstd, the magic number, the frame's header, a block, and the frame's
end; of Parquet, the magic number, the first page, data, and the footer's length and magic."""

Spoilt = tuple[str, bytes | None]
"""What was done, and the object's new content; None removes it."""


def bytes_of(content: bytes, another: bytes, *, every: bool) -> Iterator[Spoilt]:
    """Yield an object spoilt in every way that needs no knowledge of its form.

    Args:
        content: The object.
        another: The same object of another key.
        every: Whether each byte is flipped, not one of each place.
    """
    places = {name: _offset(at, len(content)) for name, at in _INSIDE.items()}
    if every:
        places |= {f"byte {n}": n for n in range(len(content))}
    for name, at in places.items():
        for bits in (0x01, 0xFF) if every else (0x01,):
            flipped = bytes([content[at] ^ bits])
            yield f"flip of {bits:#x} at the {name}", content[:at] + flipped + content[at + 1 :]
    yield "emptied", b""
    yield "truncated by one", content[:-1]
    yield "truncated to half", content[: len(content) // 2]
    yield "longer by one", content + b"\0"
    yield "twice", content * 2
    yield "that of another key", another
    yield "removed", None


def fields_of(content: bytes) -> Iterator[Spoilt]:
    """Yield a JSON document with each of its values changed, each left out, and one added."""
    document = json.loads(content)
    for path, value in _values(document):
        name = ".".join(map(str, path))
        for said, other in _others(value):
            changed = copy.deepcopy(document)
            _parent(changed, path)[path[-1]] = other
            yield f"{name} {said}", _dump(changed)
        without = copy.deepcopy(document)
        del _parent(without, path)[path[-1]]
        if without != document:
            yield f"{name} left out", _dump(without)
    yield "one more field", _dump({**document, "planted": 1})


def _offset(at: float, size: int) -> int:
    return int(at * size) if 0 < at < 1 else int(at) % size


def _values(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:  # noqa: ANN401
    """Yield the path and value of everything in a document, but the document itself."""
    if path:
        yield path, node
    if isinstance(node, dict | list):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _values(value, (*path, name))


def _others(value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield other values of a value's type, and of another."""
    match value:
        case bool():
            yield "turned", not value
        case int():
            yield "plus one", value + 1
            yield "negative", -value - 1
            yield "zero", 0 if value else 7
        case str():
            yield "with another last character", value[:-1] + ("x" if value[-1:] != "x" else "y")
            yield "that leads elsewhere", f"../{value}"
            yield "empty", "" if value else "x"
        case list():
            if value:
                yield "emptied", []
                yield "with its first twice", [value[0], *value]
        case None:
            yield "not null", "x"
    yield "of another type", {"planted": 1}


def _parent(document: Any, path: tuple[Any, ...]) -> Any:  # noqa: ANN401
    for name in path[:-1]:
        document = document[name]
    return document


def _dump(document: object) -> bytes:
    return json.dumps(document, indent=2).encode()
