"""Workbooks and archives, made for tests."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl


def workbook(tmp_path: Path, rows: Sequence[list[Any]], name: str = "delivered.xlsx") -> Path:
    """Return a workbook with these rows."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    path = tmp_path / name
    book.save(path)
    return path


def zipped(**members: bytes) -> bytes:
    """Return an archive with these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()
