"""Feeds as JSON lines: an object per record, with decimals as numbers that have all their digits.

Python's json module has no exact decimals, so numbers are taken as their canonical texts; texts
are what it makes of them.
"""

import json
from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from etl_assets.core.errors import PermanentError
from etl_assets.delivery.texts import texts_of


def write_json_lines(batches: Iterable[pa.RecordBatch], schema: pa.Schema, file: BinaryIO) -> None:
    """Write records as JSON lines in UTF-8.

    Raises:
        PermanentError: When a number is none in JSON: infinite, or not a number.
    """
    names = [f"{json.dumps(name)}:" for name in schema.names]
    for batch in batches:
        if not batch.num_rows:
            continue
        parts: list[pa.Array | str] = []
        for number, (name, field) in enumerate(zip(names, schema, strict=True)):
            values = _values(batch.column(number), field.name)
            parts += [f"{',' if number else '{'}{name}", values]
        lines = pc.binary_join_element_wise(*parts, "}\n", "")
        file.write("".join(lines.to_pylist()).encode())


def _values(values: pa.Array, name: str) -> pa.Array:
    kind = values.type
    if pa.types.is_floating(kind) and pc.all(pc.is_finite(values)).as_py() is False:
        raise PermanentError(
            f"The column `{name}` holds a number that JSON has not (infinite, or no number).",
            "Leave it out of the feed, or set it by a rule.",
        )
    texts = texts_of(values)
    is_plain = pa.types.is_boolean(kind) or pa.types.is_integer(kind)
    if not (is_plain or pa.types.is_decimal(kind) or pa.types.is_floating(kind)):
        encoded = texts.dictionary_encode()  # few texts are many records'
        quoted = [json.dumps(text, ensure_ascii=False) for text in encoded.dictionary.to_pylist()]
        texts = pa.array(quoted, pa.string()).take(encoded.indices)
    return pc.fill_null(texts, "null")
