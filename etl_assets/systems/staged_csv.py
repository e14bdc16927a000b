"""Staged parts read back: records, and the lines of the file they stand on."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

_RECORD_CHARACTERS = 4 << 20  # what Redshift takes as one input record


@dataclass(frozen=True)
class StagedRecord:
    """A record of a part.

    Attributes:
        first_line: Where it begins, from 1; a field may hold line feeds, and each counts.
        last_line: Where it ends.
        fields: As they stand there, without quotes.
    """

    first_line: int
    last_line: int
    fields: list[str]


def staged_records(file: Path) -> Iterator[StagedRecord]:
    """Yield the records of a part in order; memory is one record.

    Raises:
        OSError: When the file cannot be read.
        UnicodeDecodeError, csv.Error, zstandard.ZstdError: When it is no such part.
    """
    csv.field_size_limit(_RECORD_CHARACTERS)
    with file.open("rb") as handle:
        content = zstandard.ZstdDecompressor().stream_reader(handle, read_across_frames=True)
        reader = csv.reader(io.TextIOWrapper(content, encoding="utf-8", newline="\n"))
        last = 0
        for fields in reader:
            yield StagedRecord(last + 1, reader.line_num, fields)
            last = reader.line_num
