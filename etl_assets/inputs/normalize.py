"""Rows as a file has them become rows as the contract has them; the bad ones are told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import Reject
from etl_assets.inputs.rows import SHOWN_CHARACTERS, Chunk
from etl_assets.inputs.values import PLAIN, Bad, parse, plain_text


@dataclass
class Normalized:
    """Rows of a chunk.

    Attributes:
        table: The good ones: the contract's columns, and `input_row`.
        rejects: What is wrong with the others, by row.
        rejected: How many those are.
    """

    table: pa.Table
    rejects: list[Reject]
    rejected: int


def schema_of(contract: Contract) -> pa.Schema:
    """Return the schema of normalized rows."""
    fields = [(column.name, column.type.arrow()) for column in contract.table_columns]
    return pa.schema([*fields, ("input_row", pa.int64())])


def normalize(chunk: Chunk, contract: Contract) -> Normalized:
    """Return a chunk's rows as the contract has them."""
    schema = schema_of(contract)
    arrays, rejects = [], list(chunk.rejects)
    bad_places: set[int] = set()
    for name in contract.columns:
        array, bad = _column(chunk.cells[name], name, contract)
        arrays.append(array)
        for place, reason in bad.items():
            shown = _shown(chunk.cells[name][place])
            rejects.append(Reject(chunk.rows[place], name, shown, reason))
        bad_places |= bad.keys()
    arrays.append(pa.array(chunk.rows, pa.int64()))
    table = pa.Table.from_arrays(arrays, schema=schema)
    if bad_places:
        good = [n for n in range(len(chunk.rows)) if n not in bad_places]
        table = table.take(pa.array(good, pa.int64()))
    rejects.sort(key=lambda reject: reject.row)
    rejected = len(bad_places) + len({reject.row for reject in chunk.rejects})
    return Normalized(table, rejects, rejected)


def _column(values: Sequence[object], name: str, contract: Contract) -> tuple[pa.Array, Bad]:
    """Return a column's values, and what is wrong with those that are none."""
    spec = contract.columns[name]
    signs, formats = spec.number or contract.number, spec.date or contract.date
    texts, typed, bad = _as_texts(values, contract, name)
    if spec.codes:
        known = texts.isna() | texts.isin(list(spec.codes))
        bad |= dict.fromkeys(texts.index[~known], "is not among the column's codes")
        texts = texts.map(spec.codes).astype("str")
    if spec.default is not None:
        texts = texts.where(texts.notna() | texts.index.isin(list(bad)), spec.default)
    there = texts.index[texts.notna()]
    array = pa.nulls(len(texts), spec.type.arrow())
    plain = there.intersection(pd.Index(sorted(typed)))
    for index, how in ((there.difference(plain), (signs, formats)), (plain, (PLAIN, None))):
        if len(index):
            read, wrong = parse(texts[index].reset_index(drop=True), spec.type, *how)
            bad |= {int(index[place]): reason for place, reason in wrong.items()}
            array = read if len(index) == len(texts) else _put(array, index, read)
    if contract.is_required(name):
        empty = texts.index[texts.isna()]
        bad |= {int(n): "has no value" for n in empty if int(n) not in bad}
    return array, bad


def _put(array: pa.Array, index: "pd.Index[int]", values: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    mask = pa.array(pd.Series(range(len(array))).isin(index))
    return pc.replace_with_mask(array, mask, values)


def _as_texts(
    values: Sequence[object], contract: Contract, name: str
) -> tuple["pd.Series[str]", set[int], Bad]:
    """Return values as trimmed texts, null where there is none, and which were no texts before."""
    typed: set[int] = set()
    bad: Bad = {}
    if not set(map(type, values)) <= {str, type(None)}:
        kind, made = contract.columns[name].type, list[object]()
        for place, value in enumerate(values):
            text = value if value is None or isinstance(value, str) else plain_text(value, kind)
            if value is not None and not isinstance(value, str):
                if not (type(value) is int and kind.name in ("date", "timestamp")):  # 20171231
                    typed.add(place)
                if text is None:
                    bad[place] = f"is of the type {type(value).__name__}, which no column holds"
            made.append(text)
        values = made
    try:
        texts: pd.Series[str] = pd.Series(list(values), dtype="str")
    except UnicodeError:
        kept = []
        for place, value in enumerate(values):
            if isinstance(value, str) and not _is_unicode(value):
                bad[place] = "is not text in the file's encoding"
            kept.append(None if place in bad else value)
        texts = pd.Series(kept, dtype="str")
    texts = texts.str.strip()
    return texts.mask(texts.isin(["", *contract.null_values])), typed, bad


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return text[:SHOWN_CHARACTERS].encode("utf-8", "backslashreplace").decode()
