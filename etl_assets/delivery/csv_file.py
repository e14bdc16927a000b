"""Feeds as CSV.

No library tells an empty text from NULL and takes a decimal mark besides: Python's csv module
learns the first in 3.12, Arrow and pandas quote by column. Fields are joined by Arrow, by column.
"""

import re
from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from etl_assets.core.errors import PermanentError
from etl_assets.core.feeds.formats import CsvFormat
from etl_assets.delivery.texts import texts_of

_LINE_END = "\n"


def write_csv(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: CsvFormat, file: BinaryIO
) -> None:
    """Write records as CSV.

    Raises:
        PermanentError: When the encoding cannot write a text, with its column.
    """
    if options.encoding == "utf-8-sig":
        file.write(b"\xef\xbb\xbf")
    if options.header:
        names = pa.array(schema.names, pa.string())
        quoted = _quoted(names, options).to_pylist()
        file.write(_encoded(options.delimiter.join(quoted) + _LINE_END, options, None))
    for batch in batches:
        if not batch.num_rows:
            continue
        fields = [_fields(column, options) for column in batch.columns]
        lines = pc.binary_join_element_wise(*fields, options.delimiter)
        text = _LINE_END.join(lines.to_pylist()) + _LINE_END
        file.write(_encoded(text, options, batch))


def _fields(values: pa.Array, options: CsvFormat) -> pa.Array:
    texts, kind = texts_of(values), values.type
    if pa.types.is_string(kind):
        texts = _quoted(texts, options)
    elif options.decimal_mark != "." and (pa.types.is_decimal(kind) or pa.types.is_floating(kind)):
        texts = pc.replace_substring(texts, ".", options.decimal_mark)
    elif options.null:  # a number or date that looks like NULL is told apart by quotes
        texts = pc.if_else(
            pc.equal(texts, options.null), pc.binary_join_element_wise('"', texts, '"', ""), texts
        )
    return pc.fill_null(texts, options.null)


def _quoted(texts: pa.Array, options: CsvFormat) -> pa.Array:
    special = pc.match_substring_regex(
        texts, f'[{re.escape(options.delimiter)}"\r\n]|^[ \t]|[ \t]$'
    )
    needs = pc.or_(special, pc.equal(texts, options.null))
    if not options.null:
        needs = pc.or_(needs, pc.equal(texts, ""))
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def _encoded(text: str, options: CsvFormat, batch: pa.RecordBatch | None) -> bytes:
    encoding = "utf-8" if options.encoding == "utf-8-sig" else options.encoding
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        character = text[error.start]
        column = _column_with(batch, character)
        raise PermanentError(
            f"The encoding {options.encoding} has no {character!r} (U+{ord(character):04X}), which"
            f" is in {column}.",
            "Write `encoding: utf-8` in the feed's format, or take the character out by a rule.",
        ) from None


def _column_with(batch: pa.RecordBatch | None, character: str) -> str:
    if batch is None:
        return "the header"
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        if (
            pa.types.is_string(values.type)
            and pc.any(pc.match_substring(values, character)).as_py()
        ):
            return f"the column `{name}`"
    return "a record"
