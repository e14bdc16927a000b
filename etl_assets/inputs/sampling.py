"""The first rows of a file nobody has described yet."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from etl_assets.core.inputs.contract import Contract, Format
from etl_assets.core.inputs.files import BadFileError
from etl_assets.inputs.content import DataFile, data_files
from etl_assets.inputs.csv_reader import DELIMITERS, Lines, Records
from etl_assets.inputs.encodings import find_encoding
from etl_assets.inputs.rows import Notes

SAMPLE_ROWS = 20_000
_SNIFFED = 100
_LEAST_AGREEING = 0.8


@dataclass
class Sample:
    """Some rows of a file.

    Attributes:
        format: Of the file.
        headers: In order; none is empty.
        columns: By header: a text, a value of the format's own, or None, per row.
        settings: Of a contract: those that the file needs to be read so.
    """

    format: Format
    headers: list[str]
    columns: dict[str, list[object]]
    settings: dict[str, object] = field(default_factory=dict)


def read_sample(path: Path, folder: Path) -> Sample:
    """Return the first rows of a file, or of the first file of an archive.

    Args:
        path: The file.
        folder: For what is unpacked.

    Raises:
        BadFileError: When it cannot be read, or has no headers.
    """
    anything = Contract.model_validate(
        {"source": "sample", "primary_key": ["a"], "columns": {"a": {"type": "bigint"}}}
    )
    file = next(data_files(path, anything, folder))
    read = {"csv": _csv, "excel": _excel, "json_lines": _json, "parquet": _parquet}
    return read[file.format](file)


def _csv(file: DataFile) -> Sample:
    notes = Notes()
    encoding = find_encoding(file.path, notes)
    best: tuple[float, str, list[list[str]]] = (0, DELIMITERS[0], [])
    for delimiter in DELIMITERS:
        records = [fields for _, fields in _records(file.path, encoding, delimiter, _SNIFFED)]
        width, count = Counter(map(len, records)).most_common(1)[0] if records else (0, 0)
        score = width if records and count >= _LEAST_AGREEING * len(records) else width / 100
        if score > best[0]:
            best = (score, delimiter, records)
    _, delimiter, records = best
    if not records:
        raise BadFileError("It has no rows.")
    width = Counter(map(len, records)).most_common(1)[0][0]
    lines = list(_records(file.path, encoding, delimiter, SAMPLE_ROWS))
    number, headers = next((n, r) for n, r in lines if len(r) == width)
    rows = [r for n, r in lines if n > number and len(r) == width]
    settings: dict[str, object] = {"format": "csv", "delimiter": delimiter}
    if not encoding.startswith("utf-8"):
        settings["encoding"] = encoding
    if number > 1:
        settings["header_row"] = number
    return _sample("csv", headers, rows, settings)


def _records(
    path: Path, encoding: str, delimiter: str, most: int
) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding=encoding, errors="replace", newline="") as text:
        records = islice(Records(Lines(text), delimiter, '"'), most)
        yield from ((n, record) for n, record in records if not isinstance(record, str))


def _excel(file: DataFile) -> Sample:
    from etl_assets.inputs.excel_reader import Fault, first_rows

    name, rows = first_rows(file.path, SAMPLE_ROWS)
    if not rows:
        raise BadFileError("Its first sheet has no rows.")
    width = max(max(cells) for _, cells in rows[:_SNIFFED])
    number, headers = max(rows[:_SNIFFED], key=lambda row: (len(row[1]), -row[0]))
    settings: dict[str, object] = {"format": "excel", "sheet": name}
    if number > 1:
        settings["header_row"] = number
    places = range(1, width + 1)
    kept = [
        [None if isinstance(value := cells.get(place), Fault) else value for place in places]
        for n, cells in rows
        if n > number
    ]
    return _sample("excel", [headers.get(place) for place in places], kept, settings)


def _json(file: DataFile) -> Sample:
    from etl_assets.inputs.json_reader import first_objects

    objects = first_objects(file.path, find_encoding(file.path, Notes()), SAMPLE_ROWS)
    headers = [*dict.fromkeys(key for one in objects for key in one)]
    rows = [[one.get(header) for header in headers] for one in objects]
    return _sample("json_lines", headers, rows, {"format": "json_lines"})


def _parquet(file: DataFile) -> Sample:
    with pq.ParquetFile(file.path) as parquet:
        batch = next(parquet.iter_batches(SAMPLE_ROWS), None)
        headers = parquet.schema_arrow.names
    columns = [] if batch is None else [column.to_pylist() for column in batch.columns]
    rows = list(zip(*columns, strict=True))
    return _sample("parquet", headers, rows, {"format": "parquet"})


def _sample(
    format_: Format,
    headers: Sequence[object],
    rows: Sequence[Sequence[object]],
    settings: dict[str, object],
) -> Sample:
    named = {
        place: text
        for place, header in enumerate(headers)
        if header is not None and (text := str(header).strip())
    }
    if not named:
        raise BadFileError("It has no headers.")
    columns = {text: [row[place] for row in rows] for place, text in named.items()}
    return Sample(format_, [*columns], columns, settings)
