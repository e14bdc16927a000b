"""A file, read and normalized, before the database hears of it.

The rows lie in a Parquet file beside it, so that a load only has to write them; memory is one
chunk.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import BadFileError, Reject
from etl_assets.inputs.csv_reader import read_csv
from etl_assets.inputs.normalize import normalize, schema_of
from etl_assets.inputs.rows import Notes

_BLOCK_ROWS = 5_000
_MOST_REJECTS = 100_000


@dataclass
class Prepared:
    """A file that was read.

    Attributes:
        path: Of the Parquet file with the rows that are accepted.
        rejects: Path of the CSV that says what is wrong with the others.
        rows: Rows in the file.
        accepted: Of those, the good ones.
        rejected: The others.
        fault: Why nothing of the file may be loaded; empty when it may.
        notes: How it was read, where that is worth knowing.
    """

    path: Path
    rejects: Path
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    fault: str = ""
    notes: list[str] = field(default_factory=list)

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Yield the good rows: the contract's columns, and `input_row`."""
        with pq.ParquetFile(self.path) as file:
            yield from file.iter_batches(_BLOCK_ROWS)


def prepare(path: Path, contract: Contract, folder: Path) -> Prepared:
    """Return a file read and normalized by its contract.

    Args:
        path: The file.
        contract: Of its source.
        folder: For what is made of it.

    Raises:
        BadFileError: When it cannot be read at all.
    """
    made, notes = Prepared(folder / "rows.parquet", folder / "rejects.csv"), Notes()
    with (
        pq.ParquetWriter(made.path, schema_of(contract), compression="zstd") as rows,
        made.rejects.open("w", encoding="utf-8", newline="") as text,
    ):
        rejects = csv.writer(text)
        rejects.writerow(("row", "column", "value", "reason"))
        written = 0
        for chunk in read_csv(path, contract, notes):
            normal = normalize(chunk, contract)
            made.accepted += normal.table.num_rows
            made.rejected += normal.rejected
            made.rows = made.accepted + made.rejected
            rows.write_table(normal.table)
            written += _write(rejects, normal.rejects, _MOST_REJECTS - written)
            if made.rows > contract.most_rows:
                raise BadFileError(
                    f"It has more than {contract.most_rows:,} rows.", "Raise `most_rows`."
                )
    made.notes = notes.texts
    made.fault = _fault(made, contract)
    return made


def _write(writer: Any, rejects: Sequence[Reject], most: int) -> int:  # noqa: ANN401
    some = rejects[: max(most, 0)]
    writer.writerows((r.row, r.column, r.value, r.reason) for r in some)
    return len(some)


def _fault(made: Prepared, contract: Contract) -> str:
    if not made.rejected:
        return ""
    percent = 100 * made.rejected / made.rows
    found = f"{made.rejected:,} of its {made.rows:,} rows are bad"
    if contract.on_bad_row == "quarantine_file":
        return f"{found}, and the contract takes none (`on_bad_row`)."
    if percent > contract.most_rejected_percent:
        return f"{found}, more than {contract.most_rejected_percent:g}% (`most_rejected_percent`)."
    return ""
