"""Which encoding a text has, where nobody said so."""

import codecs
from pathlib import Path

from etl_assets.inputs.rows import Notes

_BLOCK = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FALLBACK = "cp1252"


def find_encoding(path: Path, notes: Notes) -> str:
    """Return the encoding of a text: by its mark, or UTF-8 if all of it is, or else cp1252.

    UTF-16 without a mark is told by its zero bytes. The whole file is looked at, since one
    letter at its end decides; memory is one block.
    """
    with path.open("rb") as handle:
        start = handle.read(_BLOCK)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        zeros = [start[place::2].count(0) / max(len(start) // 2, 1) for place in (0, 1)]
        if max(zeros) > 0.3 and min(zeros) < 0.05:  # noqa: PLR2004  (letters beside zeros)
            return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while start:
                decoder.decode(start)
                start = handle.read(_BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            notes.add(f"read as {_FALLBACK}, since it is not UTF-8")
            return _FALLBACK
    return "utf-8"
