"""A query's result as a finished file, with what its manifest says of it."""

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from etl_assets.core.feeds.formats import (
    CsvFormat,
    ExcelFormat,
    Format,
    JsonLinesFormat,
    ParquetFormat,
)
from etl_assets.delivery.csv_file import write_csv
from etl_assets.delivery.excel_file import write_excel
from etl_assets.delivery.json_lines_file import write_json_lines
from etl_assets.delivery.parquet_file import write_parquet
from etl_assets.systems.staging import sha256_of
from etl_assets.systems.unloading import Unloaded

_CELLS = 500_000
_LEAST, _MOST = 1_000, 50_000
_GZIP_LEVEL = 6


@dataclass(frozen=True)
class Made:
    """A finished file, not delivered yet.

    Attributes:
        file: Where it is.
        records: How many records it holds.
        bytes: Its size.
        sha256: Of its bytes.
    """

    file: Path
    records: int
    bytes: int
    sha256: str


def make_file(unloaded: Unloaded, kind: Format, file: Path) -> Made:
    """Write a query's result to a file; the same records give the same bytes.

    Raises:
        PermanentError: When the format cannot hold a value.
        WarehouseError: When the result is not whole.
    """
    schema = unloaded.schema
    counted = _Counted(blocks(unloaded.batches(), schema))
    if isinstance(kind, ParquetFormat):
        write_parquet(counted, schema, kind, file)
    elif isinstance(kind, ExcelFormat):
        write_excel(counted, schema, kind, file)
    else:
        with file.open("wb") as handle:
            _write_text(counted, schema, kind, handle)
    return Made(file, counted.records, file.stat().st_size, sha256_of(file))


def _write_text(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    kind: CsvFormat | JsonLinesFormat,
    handle: IO[bytes],
) -> None:
    if kind.compression == "gzip":  # without the file's name and the time
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, handle, mtime=0) as packed:
            _write_text(
                batches, schema, kind.model_copy(update={"compression": "none"}),
                cast("IO[bytes]", packed),
            )  # fmt: skip
    elif isinstance(kind, CsvFormat):
        write_csv(batches, schema, kind, handle)  # type: ignore[arg-type]
    else:
        write_json_lines(batches, schema, handle)  # type: ignore[arg-type]


def blocks(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield records in blocks of one size, wherever the batches end that they come in.

    So what a writer makes of a block, such as a row group, is the same from every warehouse.
    """
    size = max(_LEAST, min(_MOST, _CELLS // max(1, len(schema))))
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= size:
            table = pa.Table.from_batches(waiting, schema)
            yield _one(table.slice(0, size), schema)
            rest = table.slice(size)
            waiting, count = rest.to_batches(), rest.num_rows
    if count:
        yield _one(pa.Table.from_batches(waiting, schema), schema)


def _one(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    (batch,) = table.combine_chunks().to_batches()
    # Without what lies before the slice in its buffers, which Arrow would carry along.
    return pa.record_batch([pa.concat_arrays([c]) for c in batch.columns], schema=schema)


class _Counted:
    """Batches, counted while they pass."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.records = 0
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.records += batch.num_rows
            yield batch
