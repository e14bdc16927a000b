"""Groups of text and binary columns, whose cells are hashed together, one MD5 for each record.

A record's text in a group is that of its cells, in the sequence of the columns' names, with
`SEPARATOR` between them and `NULL` for a cell that is NULL. A cell of bytes is written as its
lower-case hexadecimal digits; when it has more than `SHORT_BYTES`, as the MD5 of the digits of its
first `HALF_BYTES`, `SEPARATOR`, and the MD5 of those of the rest.

Cells that hold these two characters can be exchanged for others so that the text stays the same.
The counts of values that are not NULL remain, and nobody types these characters.
"""

import hashlib
from collections.abc import Iterable, Sequence

from etl_assets.core.columns import MAX_TEXT_BYTES, Column
from etl_assets.core.fingerprint import hash64

NULL = "\x1e"
SEPARATOR = "\x1f"
SHORT_BYTES = 64
HALF_BYTES = 32_767
"""The digits of so many bytes fit into the longest VARCHAR of Redshift."""

MOST_COLUMNS = 100
"""SQLite calls no function with more."""

_BYTES_PER_CHARACTER = 4

Group = tuple[str, ...]
"""Names of columns, sorted."""


def groups_of(columns: Iterable[Column], kept: Iterable[Group] = ()) -> tuple[Group, ...]:
    """Return the groups of columns: as few as fit into Redshift's longest VARCHAR.

    Args:
        columns: All there are; those that are no text and no bytes are in no group.
        kept: Groups there are elsewhere, to be compared with: those whose columns are all there
            stay as they are, and the others are divided anew.
    """
    left = {c.name: _width(c) for c in columns if is_grouped(c)}
    found = [group for group in kept if left.keys() >= set(group)]
    for group in found:
        for name in group:
            del left[name]
    made: list[str] = []
    room = 0
    for name in sorted(left):
        if left[name] > room or len(made) == MOST_COLUMNS:
            found += [tuple(made)] if made else []
            made, room = [], MAX_TEXT_BYTES + 1
        made.append(name)
        room -= left[name]
    return tuple([*found, tuple(made)] if made else found)


def singly(columns: Iterable[Column]) -> tuple[Group, ...]:
    """Return groups of one column each, by which the one that differs is found."""
    return tuple((c.name,) for c in columns if is_grouped(c))


def is_grouped(column: Column) -> bool:
    """Return whether a column has its total in a group."""
    return column.type.is_text or column.type.name == "binary"


def text_of(value: str | bytes) -> bytes:
    """Return what a cell adds to its record's text."""
    if isinstance(value, str):
        return value.encode()
    if len(value) <= SHORT_BYTES:
        return value.hex().encode()
    halves = (value[:HALF_BYTES], value[HALF_BYTES:])
    return SEPARATOR.join(
        hashlib.md5(half.hex().encode(), usedforsecurity=False).hexdigest() for half in halves
    ).encode()


def hash_record(cells: Sequence[str | bytes | None]) -> int:
    """Return what a record adds to the total of a group."""
    texts = [NULL.encode() if cell is None else text_of(cell) for cell in cells]
    return hash64(SEPARATOR.encode().join(texts))


def _width(column: Column) -> int:
    """Return the bytes a cell can take, with what separates it from the next."""
    kind = column.type
    widths = {"varchar": _BYTES_PER_CHARACTER * kind.precision, "binary": 2 * SHORT_BYTES}
    return min(widths.get(kind.name, MAX_TEXT_BYTES), MAX_TEXT_BYTES) + 1
