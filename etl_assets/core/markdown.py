"""Values of any kind as Markdown that shows them and nothing else."""

import unicodedata
from collections.abc import Iterable, Sequence

_MORE = "…"
_NULL = "*NULL*"
_PLAIN = " .,=+-/%"
"""Marks that mean nothing inside a line; all others of ASCII are written as their number."""

_UNSEEN = ("C", "Zl", "Zp")


def table(header: Sequence[str], rows: Iterable[Sequence[str | None]], *, width: int) -> str:
    """Return a table.

    Args:
        header: Names of the columns.
        rows: Their values; None is NULL.
        width: Characters of a cell; of a longer value the beginning is shown.
    """
    lines = [[escaped(name, width) for name in header], ["---"] * len(header)]
    lines += [[_NULL if v is None else escaped(v, width) for v in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str, width: int) -> str:
    """Return a text for the inside of a line: no character of it is Markdown or HTML.

    What cannot be seen, such as the end of a line or a change of direction, is shown as `␣`;
    so is the space at an end, which Markdown would drop.
    """
    cut = text if len(text) <= width else text[: width - 1] + _MORE
    seen = "".join("␣" if unicodedata.category(c).startswith(_UNSEEN) else c for c in cut)
    inner = seen.strip(" ")
    left = len(seen) - len(seen.lstrip(" "))
    kept = "␣" * left + inner + "␣" * (len(seen) - len(inner) - left)
    return "".join(
        c if c.isalnum() or c in _PLAIN or not c.isascii() else f"&#{ord(c)};" for c in kept
    )
