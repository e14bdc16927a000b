"""A file, read and normalized, before the database hears of it.

The rows lie in a Parquet file beside it, so that a load only has to write them; memory is one
chunk.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.errors import PermanentError
from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import BadFileError, Reject
from etl_assets.core.sql import quote_identifier, quote_literal
from etl_assets.inputs.content import DataFile, data_files
from etl_assets.inputs.csv_reader import read_csv
from etl_assets.inputs.json_reader import read_json_lines
from etl_assets.inputs.normalize import normalize, schema_of
from etl_assets.inputs.parquet_reader import read_parquet
from etl_assets.inputs.rows import Chunk, Notes

_BLOCK_ROWS = 5_000
_MOST_REJECTS = 100_000
"""More are counted, but not written."""

_FEW_ROWS = 200_000

_MEMORY = "200MB"
"""What DuckDB may take to find duplicates; the rest goes to the scratch folder."""


@dataclass
class Prepared:
    """A file that was read.

    Attributes:
        path: Of the Parquet file with the good rows.
        kept: Of those, which are accepted; all of them unless given.
        rejects: Path of the CSV that says what is wrong with the others.
        rows: Rows in the file.
        accepted: Of those, the good ones.
        rejected: The bad ones.
        duplicates: Good ones in whose place a later one of the file is kept.
        fault: Why nothing of the file may be loaded; empty when it may.
        notes: How it was read, where that is worth knowing.
    """

    path: Path
    rejects: Path
    kept: "np.ndarray[tuple[int], np.dtype[np.bool_]] | None" = None
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    fault: str = ""
    notes: list[str] = field(default_factory=list)

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Yield the accepted rows: the contract's columns, and `input_row`."""
        yield from (block for block, _ in self._halves(None))

    def repeated(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the good rows that are not kept, since another has their key."""
        yield from (block for _, block in self._halves(columns))

    def _halves(
        self, columns: Sequence[str] | None
    ) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
        place = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BLOCK_ROWS, columns=columns):
                if self.kept is None:
                    yield batch, batch.slice(0, 0)
                else:
                    kept = self.kept[place : place + batch.num_rows]
                    yield batch.filter(pa.array(kept)), batch.filter(pa.array(~kept))
                place += batch.num_rows


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
    with made.rejects.open("w", encoding="utf-8", newline="") as text:
        rejects = _Rejects(text)
        with pq.ParquetWriter(made.path, schema_of(contract), compression="zstd") as rows:
            for file in data_files(path, contract, folder):
                for chunk in _chunks(file, contract, notes):
                    normal = normalize(chunk, contract)
                    made.accepted += normal.table.num_rows
                    made.rejected += normal.rejected
                    made.rows = made.accepted + made.rejected
                    rows.write_table(normal.table)
                    rejects.write(normal.rejects, file.member)
                    if made.rows > contract.most_rows:
                        raise BadFileError(
                            f"It has more than {contract.most_rows:,} rows.", "Raise `most_rows`."
                        )
        _drop_duplicates(made, contract, folder, rejects)
    made.notes = notes.texts
    made.fault = _fault(made, contract)
    return made


def _chunks(file: DataFile, contract: Contract, notes: Notes) -> Iterator[Chunk]:
    if file.format == "excel":
        from etl_assets.inputs.excel_reader import read_excel

        read = read_excel
    else:
        read = {"csv": read_csv, "json_lines": read_json_lines, "parquet": read_parquet}[
            file.format
        ]
    try:
        yield from read(file.path, contract, notes)
    except BadFileError as error:
        if not file.member:
            raise
        raise BadFileError(f"`{file.member}`: {error.message}", error.remedy) from None


class _Rejects:
    """The CSV of what is wrong, up to a number of lines."""

    def __init__(self, text: TextIO) -> None:
        self._writer = csv.writer(text)
        self._writer.writerow(("row", "column", "value", "reason"))
        self._left = _MOST_REJECTS

    def write(self, rejects: Iterable[Reject], member: str = "") -> None:
        """Write some rejects, of a file of an archive where it is in one."""
        inside = f" (in {member})" if member else ""
        for reject in itertools.islice(rejects, max(self._left, 0)):
            self._left -= 1
            self._writer.writerow(
                (reject.row, reject.column, reject.value, f"{reject.reason}{inside}")
            )


def _drop_duplicates(made: Prepared, contract: Contract, folder: Path, rejects: _Rejects) -> None:
    """Leave one row of each key: the last one, or the first where the others are bad rows."""
    if made.accepted <= _FEW_ROWS:  # DuckDB takes longer to start
        keys = pq.read_table(made.path, columns=list(contract.primary_key)).to_pandas()
        if not keys.duplicated().any():
            return
    pa.default_memory_pool().release_unused()
    is_last = contract.duplicates == "keep_last"
    try:
        made.kept = _one_of_each(made, contract.primary_key, folder, is_last=is_last)
    except duckdb.Error as error:
        raise PermanentError(
            f"Duplicates among {made.accepted:,} rows could not be looked for:"
            f" {str(error).splitlines()[0]}.",
            "Give the scratch folder more space, or deliver the file in parts.",
        ) from error
    repeated = int(made.accepted - made.kept.sum())
    made.accepted -= repeated
    if is_last:
        made.duplicates = repeated
        return
    made.rejected += repeated
    names = ", ".join(contract.primary_key)
    for block in made.repeated(["input_row", *contract.primary_key]) if repeated else ():
        rejects.write(
            Reject(row, names, ", ".join(map(str, key)), "the key came before in the file")
            for row, *key in zip(
                *(block.column(n).to_pylist() for n in ("input_row", *contract.primary_key)),
                strict=True,
            )
        )


def _one_of_each(
    made: Prepared, key: Sequence[str], folder: Path, *, is_last: bool
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Return which of the good rows is the last, or the first, with its key.

    Only keys are held against each other, and what does not fit into memory goes to the folder.
    """
    config = {"memory_limit": _MEMORY, "temp_directory": str(folder), "threads": "1"}
    kept = np.zeros(made.accepted, dtype=np.bool_)
    with duckdb.connect(config=config) as connection:  # type: ignore[arg-type]
        found: Any = connection.sql(
            f"SELECT {'max' if is_last else 'min'}(file_row_number)"
            f" FROM read_parquet({quote_literal(str(made.path))}, file_row_number = true)"
            f" GROUP BY {', '.join(map(quote_identifier, key))}"
        )
        for batch in found.to_arrow_reader(_BLOCK_ROWS):
            kept[batch.column(0).to_numpy()] = True
    return kept


def _fault(made: Prepared, contract: Contract) -> str:
    if not made.rejected:
        return ""
    percent = 100 * made.rejected / made.rows
    bad = "rows is bad" if made.rejected == 1 else "rows are bad"
    found = f"{made.rejected:,} of its {made.rows:,} {bad}"
    if contract.on_bad_row == "quarantine_file":
        return f"{found}, and the contract takes none (`on_bad_row`)."
    if percent > contract.most_rejected_percent:
        return f"{found}, more than {contract.most_rejected_percent:g}% (`most_rejected_percent`)."
    return ""
