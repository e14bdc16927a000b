"""What the readers of all formats give: rows in chunks, and how headers find their columns."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.core.inputs.contract import Contract, plain_header
from etl_assets.core.inputs.files import BadFileError, Reject

CHUNK_CHARACTERS = 32_000_000
"""A chunk ends when its lines have so many, however few they are."""

SHOWN_CHARACTERS = 200
"""So much is shown of a bad value."""

_CELLS_PER_CHUNK = 400_000
_MOST_ROWS = 50_000
_SHOWN = 5


@dataclass
class Chunk:
    """Some rows of a file.

    Attributes:
        rows: Their numbers in the file.
        cells: By the contract's columns: a text, a value of the format's own, or None, per row.
        rejects: Rows that are none, which are not among `rows`.
    """

    rows: list[int]
    cells: Mapping[str, Sequence[object]]
    rejects: list[Reject] = field(default_factory=list)


@dataclass
class Notes:
    """What a reader wants said of how it read a file."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.texts:
            self.texts.append(text)


def chunk_rows(contract: Contract) -> int:
    """Return how many rows a chunk holds, so that memory is bounded."""
    return max(100, min(_MOST_ROWS, _CELLS_PER_CHUNK // len(contract.columns)))


def match_headers(headers: Sequence[object], contract: Contract, notes: Notes) -> dict[str, int]:
    """Return the place of each of the contract's columns among a file's headers.

    Columns that a file may lack, and does, are left out.

    Raises:
        BadFileError: When a column is missing or there twice, or one is not known where that is
            refused.
    """
    known = {header: name for name in contract.columns for header in contract.headers_of(name)}
    places: dict[str, int] = {}
    unknown = []
    for place, header in enumerate(headers):
        text = "" if header is None else str(header).strip()
        name = known.get(plain_header(text))
        if name is None:
            if text:
                unknown.append(text)
        elif name in places:
            first = headers[places[name]]
            raise BadFileError(f"Its headers `{first}` and `{text}` both are the column `{name}`.")
        else:
            places[name] = place
    check_missing(places.keys(), contract, unknown)
    if unknown and contract.unknown_columns == "refuse":
        raise BadFileError(
            f"Its columns {_listed(unknown)} are not in the contract.",
            "Add them, or write `unknown_columns: ignore`.",
        )
    if unknown:
        notes.add(f"columns left out: {_listed(unknown)}")
    return places


def check_missing(found: Collection[str], contract: Contract, unknown: Sequence[str]) -> None:
    """Raise BadFileError when columns are missing that a file has to have."""
    there = set(found)
    missing = [n for n, spec in contract.columns.items() if n not in there and not spec.optional]
    if missing:
        shown = ", ".join(
            f"`{name}`" + (f" (header `{head}`)" if (head := contract.columns[name].header) else "")
            for name in missing[:_SHOWN]
        ) + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        others = f"; it has {_listed(unknown)} instead" if unknown else ""
        raise BadFileError(
            f"It has no column {shown}{others}.",
            "Name its header among the column's `aliases`, or say that the column is `optional`.",
        )


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(f"`{text[:80]}`" for text in texts[:_SHOWN]) + more
