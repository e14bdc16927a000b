"""Values as each database's driver takes them, so that a source reads back the same."""

import pyarrow as pa
import pyarrow.compute as pc

_DOUBLE_DIGITS = 15
"""SQLite keeps a decimal of so many digits as a double; see `core/inputs/storage.py`."""


def cells(values: pa.Array, dialect: str) -> list[object]:
    """Return a column's values for the driver of a database."""
    if dialect == "sqlite":
        values = _for_sqlite(values)
    made: list[object] = values.to_pylist()
    return made


def _for_sqlite(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_decimal(kind):
        texts = pc.cast(values, pa.string())  # by way of a text, which is rounded to the nearest
        return texts if kind.precision > _DOUBLE_DIGITS else pc.cast(texts, pa.float64())
    if pa.types.is_boolean(kind):
        return pc.cast(values, pa.int8())
    if pa.types.is_date(kind):
        return pc.cast(values, pa.string())
    if pa.types.is_timestamp(kind):
        return pc.replace_substring_regex(pc.cast(values, pa.string()), r"\.0+$", "")
    return values
