"""Where the records that came out of rules stand in the staged parts."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from etl_assets.core.columns import Column
from etl_assets.core.csv_record import empty_bytes
from etl_assets.core.manifest import Stage
from etl_assets.core.rules.traces import End, Trace
from etl_assets.systems.protocols import Staging
from etl_assets.systems.staged_csv import staged_records


@dataclass(frozen=True)
class StagedCell:
    """Where a record stands in the staged parts.

    Attributes:
        file: The part's URI.
        line: Of the unpacked CSV, from 1, where the record begins.
        value: The cell; None is NULL.
    """

    file: str
    line: int
    value: str | None


@dataclass(frozen=True)
class Outcome:
    """What came out of the rules for one record, and where it was staged, if it was found."""

    end: End
    staged: StagedCell | None


def find_staged(
    found: Trace, stage: Stage | None, staging: Staging, column: str
) -> tuple[Outcome, ...]:
    """Return what came of each record, with the place where it was staged."""
    loaded = [end for end in found.ends if end.left_out is None]
    cells: dict[int, StagedCell] = {}
    if stage and loaded:
        names = [c.name for c in stage.columns]
        keys = [name for name in found.identity or names if name in names]
        wanted: dict[tuple[str | None, ...], list[int]] = {}
        for number, end in enumerate(loaded):
            wanted.setdefault(tuple(end.values.get(name) for name in keys), []).append(number)
        for cell, key in _staged(stage, staging, keys, set(wanted), column):
            if wanted[key]:
                cells[wanted[key].pop(0)] = cell
            if len(cells) == len(loaded):
                break
    made = [Outcome(end, cells.get(number)) for number, end in enumerate(loaded)]
    return (*made, *(Outcome(end, None) for end in found.ends if end.left_out))


def _staged(
    stage: Stage,
    staging: Staging,
    keys: Sequence[str],
    wanted: Container[tuple[str | None, ...]],
    column: str,
) -> Iterator[tuple[StagedCell, tuple[str | None, ...]]]:
    """Yield the cells of the records with these keys, in the order of the parts."""
    columns = {c.name: (n, c) for n, c in enumerate(stage.columns)}
    places, (place, shown) = [columns[name] for name in keys], columns[column]
    for part in stage.parts:
        with staging.fetch([part]) as (file,):
            for record in staged_records(file):
                fields = record.fields
                key = tuple(_value(fields[n], c, stage.null_token) for n, c in places)
                if key in wanted:
                    value = _value(fields[place], shown, stage.null_token)
                    yield StagedCell(staging.uri(part.path), record.first_line, value), key


def _value(field: str, column: Column, null_token: str) -> str | None:
    """Return what a field of a part stands for, bytes in hexadecimal."""
    if field == null_token:
        return None
    empty = column.type.name == "binary" and field == empty_bytes(null_token)
    return "" if empty else field
