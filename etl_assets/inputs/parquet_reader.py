"""Parquet, batch by batch; values keep their types."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import BadFileError
from etl_assets.inputs.rows import Chunk, Notes, chunk_rows, match_headers

_MOST_BATCH_ROWS = 5_000


def read_parquet(path: Path, contract: Contract, notes: Notes) -> Iterator[Chunk]:
    """Yield the rows of a Parquet file; a row's number is its place, from 1.

    Raises:
        BadFileError: When it is cut off or damaged, or its columns do not fit.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            places = match_headers(names, contract, notes)
            wanted = {name: names[place] for name, place in places.items()}
            size, first = min(chunk_rows(contract), _MOST_BATCH_ROWS), 1
            for batch in file.iter_batches(size, columns=[*wanted.values()]):
                rows = list(range(first, first + batch.num_rows))
                cells = {
                    name: _values(batch, wanted[name]) if name in wanted else [None] * len(rows)
                    for name in contract.columns
                }
                yield Chunk(rows, cells)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadFileError(
            f"The Parquet file is damaged or cut off ({reason}).", "Deliver it again."
        ) from None


def _values(batch: pa.RecordBatch, name: str) -> list[object]:
    column = batch.column(name)
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":  # Python's moments have microseconds
        column = column.cast(pa.string() if kind.tz is None else pa.timestamp("us", kind.tz))
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    found: list[object] = column.to_pylist()
    return found
