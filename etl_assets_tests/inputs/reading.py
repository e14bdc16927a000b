"""Reads a file by a contract, without a database."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl_assets.core.inputs.contract import parse_contract
from etl_assets.inputs.prepare import prepare

ORDERS = """\
source: orders
primary_key: [id]
most_rejected_percent: 100
columns:
  id: {type: integer}
  amount: {type: 'decimal(12,2)'}
  note: {type: varchar(20)}
"""


@dataclass
class Read:
    """What became of a file's rows."""

    rows: list[tuple[Any, ...]]
    numbers: list[int]
    rejects: list[list[str]]
    notes: list[str]
    fault: str
    rejected: int
    duplicates: int


def read(folder: Path, content: bytes | str | Path, contract: str = ORDERS) -> Read:
    """Return the rows of a file: its values, and their numbers."""
    path = folder / "delivered"
    if isinstance(content, Path):
        path = content
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    made = prepare(path, parse_contract(contract, "contract.yaml"), work)
    found = [row for block in made.blocks() for row in zip(*(c.to_pylist() for c in block.columns),
                                                           strict=True)]  # fmt: skip
    found.sort(key=lambda row: row[-1])
    with made.rejects.open(encoding="utf-8", newline="") as text:
        rejects = list(csv.reader(text))[1:]
    return Read(
        [row[:-1] for row in found], [row[-1] for row in found], rejects, made.notes, made.fault,
        made.rejected, made.duplicates,
    )  # fmt: skip
