"""What is read out of a warehouse in bulk: Parquet parts, read one after the other.

Memory is one batch, however many records there are. Every record is accounted for: the parts
hold as many as the warehouse says that it wrote, and as many are yielded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.columns import Column
from etl_assets.core.errors import WarehouseError

_CELLS = 500_000
_LEAST, _MOST = 500, 20_000
_AGAIN = "Read it again; when it happens again, look at the warehouse and its disk."

OpenPart = Callable[[], AbstractContextManager[Path]]
"""Gives the local file of a part while it is read."""


@dataclass(frozen=True)
class Unloaded:
    """A query's result, outside the warehouse, for as long as the context of `unload` lasts.

    Attributes:
        columns: Its columns, in order.
        records: How many records the warehouse says it wrote.
    """

    columns: tuple[Column, ...]
    records: int
    what: str
    parts: tuple[OpenPart, ...]
    hexadecimal: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns' Arrow types."""
        return arrow_schema(self.columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the records in the query's order, typed as `schema`.

        Raises:
            WarehouseError: When fewer or more came than the warehouse wrote, or a value is not of
                its column's type.
        """
        schema, came = self.schema, 0
        for part in self.parts:
            with part() as file:
                for batch in self._read(file, schema):
                    came += batch.num_rows
                    yield batch
        if came != self.records:
            raise WarehouseError(
                f"{self.what} is not whole: the warehouse wrote {self.records:,} records, and"
                f" {came:,} were read.",
                _AGAIN,
            )

    def _read(self, file: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        rows = max(_LEAST, min(_MOST, _CELLS // max(1, len(schema))))
        try:
            with pq.ParquetFile(file, coerce_int96_timestamp_unit="us") as parquet:
                for batch in parquet.iter_batches(rows, use_threads=False):
                    yield pa.record_batch(
                        [self._typed(batch.column(field.name), field.type) for field in schema],
                        schema=schema,
                    )
        except (pa.ArrowException, KeyError, OSError) as error:
            raise WarehouseError(f"{self.what} cannot be read: {error}.", _AGAIN) from error

    def _typed(self, values: pa.Array, kind: pa.DataType) -> pa.Array:
        if self.hexadecimal and pa.types.is_binary(kind):
            return pa.array(
                [None if v is None else bytes.fromhex(v) for v in values.to_pylist()], kind
            )
        return values if values.type == kind else values.cast(kind)


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow types of columns."""
    return pa.schema([pa.field(c.name, c.type.arrow()) for c in columns])
