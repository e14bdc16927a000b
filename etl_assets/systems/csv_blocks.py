"""From blocks of CSV that a server rendered to typed batches, and the policies on the way.

A block is read with its exact types at once. Only where that fails, because some value is
not of its column's type, is it read as text and converted column by column, so that the
value, its record and its column's policy are known.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from etl_assets.core.columns import MAX_TEXT_BYTES, Column, ColumnType
from etl_assets.core.errors import SourceError
from etl_assets.core.manifest import Touched
from etl_assets.core.policies import Policies
from etl_assets.systems.protocols import Outcome, Reject

_SHOWN_CHARACTERS = 60
_YEAR_ONE = "0001-01-01"

_REMEDIES = {
    "zero_date": "null, text or reject",
    "nul_byte": "strip, null or reject",
    "long_text": "clip, null or reject",
    "wide_decimal": "text, null or reject",
}


@dataclass(frozen=True)
class CsvColumn:
    """How a column of the CSV becomes a column of the batches.

    Attributes:
        column: Its name, and its type in the batches.
        natural: Its type at the source, which a policy may have made text.
        digits: Precision of a decimal that has more digits than we hold; 0 otherwise.
        policies: For its values.
    """

    column: Column
    natural: ColumnType
    digits: int
    policies: Policies

    @property
    def type(self) -> ColumnType:
        """The type in the batches."""
        return self.column.type

    @property
    def misfit_policy(self) -> str | None:
        """The policy for a value that is not of the type, if there is one."""
        if self.natural.name in ("date", "timestamp"):
            return "zero_date"
        return "wide_decimal" if self.digits else None


class CsvBlocks:
    """Reads the blocks of one snapshot, and counts what its policies did."""

    def __init__(self, columns: Sequence[CsvColumn], primary_key: Sequence[str], of: str) -> None:
        """Prepare.

        Args:
            columns: Of the CSV, in order.
            primary_key: Names the record in errors and rejects.
            of: Names the dataset and campaign in errors.
        """
        self._columns = columns
        self._primary_key = primary_key
        self._of = of
        self._as_text = False
        self._schema = pa.schema([(c.column.name, c.type.arrow()) for c in columns])
        self._touched: Counter[tuple[str, str, str]] = Counter()
        self._rejected = 0
        self._rejects: list[Reject] = []

    def outcome(self) -> Outcome:
        """Return what the policies did so far."""
        touched = tuple(
            Touched(column=column, policy=policy, outcome=outcome, records=records)
            for (column, policy, outcome), records in sorted(self._touched.items())
        )
        return Outcome(touched, self._rejected, tuple(self._rejects))

    def read(self, block: bytes) -> pa.RecordBatch:
        """Return a block's records that are not rejected.

        Raises:
            SourceError: When a value is not of its column's type and its policy is `fail`.
        """
        read = _Block(self._parse(block), nul=b"\0" in block)
        arrays = [self._convert(read, number) for number in range(len(self._columns))]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        if read.rejected is None:
            return batch
        self._rejected += pc.sum(read.rejected).as_py()
        return batch.filter(pc.invert(read.rejected))

    def _parse(self, block: bytes) -> pa.Table:
        if not self._as_text:
            try:
                return _parse_csv(block, {c.column.name: _fast_type(c.type) for c in self._columns})
            except pa.ArrowInvalid:
                self._as_text = True  # from here on: more blocks of the kind are likely
        try:
            return _parse_csv(block, {c.column.name: pa.string() for c in self._columns})
        except pa.ArrowInvalid as error:
            raise SourceError(
                f"The source sent {self._of} in a form that cannot be read:"
                f" {str(error).splitlines()[0][:_SHOWN_CHARACTERS]}.",
                "Report it with the types of the query's columns.",
            ) from None

    def _convert(self, block: "_Block", number: int) -> pa.Array:
        column = self._columns[number]
        array = block.column(number)
        if column.type.name == "binary":
            return self._fit_length(block, number, _unhex(array))
        if column.type.is_text:
            return self._convert_text(block, number, array)
        if pa.types.is_string(array.type):
            misfits = _misfits(array, column.type.arrow())
            if misfits is not None:
                array = self._settle(block, number, array, misfits, column.misfit_policy)
            array = _cast(array, column.type.arrow())
        if column.type.name in ("date", "timestamp"):
            early = pc.less(array, pa.scalar(_YEAR_ONE).cast(array.type))
            if pc.any(early).as_py():
                array = self._settle(block, number, array, early, "zero_date")
        return array

    def _convert_text(self, block: "_Block", number: int, array: pa.Array) -> pa.Array:
        column = self._columns[number]
        if column.misfit_policy and not column.natural.is_text:
            misfits = _misfits(array, column.natural.arrow())
            if misfits is not None:  # kept: the column is text because of them
                self._count(column, column.misfit_policy, "text", misfits)
        if block.nul:
            misfits = pc.match_substring(array, "\0")
            if pc.any(misfits).as_py():
                array = self._settle(block, number, array, misfits, "nul_byte")
        return self._fit_length(block, number, array)

    def _fit_length(self, block: "_Block", number: int, array: pa.Array) -> pa.Array:
        misfits = _too_long(array, self._columns[number].type)
        return (
            array if misfits is None else self._settle(block, number, array, misfits, "long_text")
        )

    def _settle(
        self, block: "_Block", number: int, array: pa.Array, misfits: pa.Array, policy: str | None
    ) -> pa.Array:
        """Do to the values that do not fit what their column's policy says."""
        column = self._columns[number]
        misfits = pc.fill_null(misfits, False)  # noqa: FBT003  (Arrow's signature)
        outcome = getattr(column.policies, policy) if policy else "fail"
        if policy is None or outcome == "fail" or (outcome == "text" and not column.type.is_text):
            raise self._failure(block, number, misfits, policy)
        self._count(column, policy, outcome, misfits)
        if outcome == "strip":
            return pc.replace_substring(array, "\0", "")
        if outcome == "clip":
            return _clip(array, misfits, column.type)
        if outcome == "reject":
            block.reject(misfits)
            for row in _true(misfits):
                self._rejects.append(
                    Reject(
                        policy,
                        column.column.name,
                        block.text(number, row),
                        self._record(block, row),
                    )
                )
        return pc.if_else(misfits, pa.scalar(None, array.type), array)

    def _count(self, column: CsvColumn, policy: str, outcome: str, misfits: pa.Array) -> None:
        self._touched[column.column.name, policy, outcome] += pc.sum(misfits).as_py()

    def _failure(
        self, block: "_Block", number: int, misfits: pa.Array, policy: str | None
    ) -> SourceError:
        column = self._columns[number]
        row = _true(misfits)[0]
        value = block.text(number, row)
        shown = repr(value[:_SHOWN_CHARACTERS]) + ("…" if len(value) > _SHOWN_CHARACTERS else "")
        says = f"set `policies: {{{policy}: …}}` to {_REMEDIES[policy]}" if policy else ""
        return SourceError(
            f"The source has {shown} in `{column.column.name}`, which is {column.type}, in the"
            f" record {self._record(block, row)} of {self._of}.",
            f"Correct it at the source, or {says or 'declare a type that holds it'} in the"
            " dataset's document.",
        )

    def _record(self, block: "_Block", row: int) -> str:
        names = [c.column.name for c in self._columns]
        keys = [k for k in self._primary_key if k in names]
        return ", ".join(f"{k}={block.text(names.index(k), row)}" for k in keys)


class _Block:
    """One parsed block, and which of its records are rejected."""

    def __init__(self, table: pa.Table, *, nul: bool) -> None:
        self._table = table.combine_chunks()
        self.nul = nul
        self.rejected: pa.Array | None = None

    def column(self, number: int) -> pa.Array:
        chunks = self._table.column(number)
        return chunks.chunk(0) if chunks.num_chunks else pa.array([], chunks.type)

    def text(self, number: int, row: int) -> str:
        """Return a value as text; Python's own dates do not hold the year 0."""
        return str(pc.cast(self._table.column(number).slice(row, 1), pa.string())[0].as_py())

    def reject(self, misfits: pa.Array) -> None:
        self.rejected = misfits if self.rejected is None else pc.or_(self.rejected, misfits)


def _parse_csv(block: bytes, types: dict[str, pa.DataType]) -> pa.Table:
    return pyarrow.csv.read_csv(
        pa.BufferReader(block),
        read_options=pyarrow.csv.ReadOptions(
            column_names=list(types), use_threads=False, block_size=len(block) + 1
        ),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["1"],
            false_values=["0"],
        ),
    )


def _fast_type(kind: ColumnType) -> pa.DataType:
    return pa.string() if kind.name == "binary" else kind.arrow()


def _cast(array: pa.Array, arrow: pa.DataType) -> pa.Array:
    return pc.cast(array, arrow)


def _misfits(array: pa.Array, arrow: pa.DataType) -> pa.Array | None:
    """Return which texts are no value of the type; None when all are."""
    found = [False] * len(array)
    _mark_misfits(array, arrow, 0, found)
    return pa.array(found) if any(found) else None


def _mark_misfits(array: pa.Array, arrow: pa.DataType, start: int, found: list[bool]) -> None:
    """Mark misfits by halves: a half that can be cast whole holds none."""
    try:
        cast = _cast(array, arrow)
        if not pa.types.is_temporal(arrow):
            return
        early = pc.less(cast, pa.scalar(_YEAR_ONE).cast(arrow))
        if not pc.any(early).as_py():
            return
    except pa.ArrowInvalid:
        pass
    if len(array) == 1:
        found[start] = True
        return
    middle = len(array) // 2
    _mark_misfits(array[:middle], arrow, start, found)
    _mark_misfits(array[middle:], arrow, start + middle, found)


def _too_long(array: pa.Array, kind: ColumnType) -> pa.Array | None:
    """Return which values are longer than their type holds; None when none is."""
    size = pc.binary_length(array)
    longest = pc.max(size).as_py() or 0
    limit = min(kind.precision or MAX_TEXT_BYTES, MAX_TEXT_BYTES)
    if longest <= limit:
        return None
    misfits = pc.greater(size, MAX_TEXT_BYTES)
    if kind.name == "varchar":
        misfits = pc.or_(misfits, pc.greater(pc.utf8_length(array), kind.precision))
    return misfits if pc.any(misfits).as_py() else None


def _clip(array: pa.Array, misfits: pa.Array, kind: ColumnType) -> pa.Array:
    """Cut the values that are too long, text at a character."""
    values = array.to_pylist()
    for row in _true(misfits):
        if kind.name == "binary":
            values[row] = values[row][:MAX_TEXT_BYTES]
        else:
            text = values[row][: kind.precision or None]
            values[row] = text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    return pa.array(values, array.type)


def _unhex(array: pa.Array) -> pa.Array:
    """Return the bytes of hexadecimal texts, all of them in one go."""
    if not len(array):
        return pa.array([], pa.binary())
    if array.offset:
        array = pa.concat_arrays([array])
    validity, offsets, data = array.buffers()
    ends = pa.Array.from_buffers(pa.int32(), len(array) + 1, [None, offsets])
    content = bytes.fromhex(data.to_pybytes().decode("ascii")) if data else b""
    halves = pc.divide(ends, pa.scalar(2, pa.int32()))
    buffers = [validity, halves.buffers()[1], pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.binary(), len(array), buffers, array.null_count)


def _true(mask: pa.Array) -> list[int]:
    return list(pc.indices_nonzero(mask).to_pylist())
