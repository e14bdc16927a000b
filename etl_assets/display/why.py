"""How the command line shows why a cell is as it is: lines for people, JSON for programs."""

import re
from collections.abc import Iterator

from etl_assets.core.rules.traces import LeftOut, Source, Touch, Values
from etl_assets.why.trace_staged import Outcome
from etl_assets.why.why import Why

_SHOWN_CHARACTERS = 60
_PLAIN = re.compile(rf"[^\W_][\w.:+-]{{0,{_SHOWN_CHARACTERS}}}|-?[\d.]+|\d{{4}}-\d\d-\d\d [\d:.]+")


def why_text(found: Why) -> list[str]:
    """Return what made a cell, from the source to the load, as lines."""
    return list(_lines(found))


def _lines(found: Why) -> Iterator[str]:
    load, extract = found.load, found.extract
    yield f"{found.column} of {found.id} in {found.dataset}, campaign {found.key}"
    yield ""
    yield f"extract  {extract.extract_id}, read {extract.extracted_at:%Y-%m-%d %H:%M:%S} UTC"
    for source in found.trace.sources:
        yield f"  {_source(source)}"
    yield f"rules    version {load.rule_version} ({load.rules_digest[:12]})"
    several = len({touch.record for touch in found.trace.touches}) > 1
    for touch in found.trace.touches:
        yield f"  {_touch(touch, named=several)}"
    if not found.trace.touches:
        yield "  no rule touched it"
    yield f"load     {load.load_id}, committed {load.committed_at:%Y-%m-%d %H:%M:%S} UTC"
    for outcome in found.outcomes:
        yield f"  {_outcome(outcome, found.column)}"
    for note in found.notes:
        yield f"Note: {note}"


def _source(source: Source) -> str:
    if source.records > 1:
        return f"{source.records:,} records of {source.record}: {', '.join(source.values)}"
    return _values(source.values) or "no column of the source: the rules make it"


def _touch(touch: Touch, *, named: bool) -> str:
    where = f"  [{touch.record}]" if named else ""
    head = f"{touch.rule} ({touch.kind}){where}  "
    if not touch.column:
        return f"{head}{touch.said}"
    if touch.was == touch.column:
        change = f"{touch.column}: {shown(touch.before)} → {shown(touch.after)}"
    elif touch.was:
        change = f"{touch.was} = {shown(touch.before)} → {touch.column} = {shown(touch.after)}"
    else:
        change = f"{touch.column} = {shown(touch.after)}"
    said = f"  ({touch.said})" if touch.said else ""
    made_of = f"  of {_values(touch.made_of)}" if touch.made_of else ""
    return f"{head}{change}{said}{made_of}"


def _outcome(outcome: Outcome, column: str) -> str:
    end = outcome.end
    if end.left_out:
        return f"{end.record} was not loaded: {_left_out(end.left_out)}"
    place = f", {outcome.staged.file} line {outcome.staged.line}" if outcome.staged else ""
    return f"{end.record}: {column} = {shown(end.values[column])}{place}"


def _left_out(left_out: LeftOut) -> str:
    values = f"; {_values(left_out.values)}" if left_out.values else ""
    said = f"{left_out.outcome} by rule `{left_out.rule}`, which {left_out.reason}"
    return f"{said}{values}"


def _values(values: Values) -> str:
    return ", ".join(f"{name} = {shown(value)}" for name, value in values.items())


def shown(value: str | None) -> str:
    """Return a value on one line: NULL, or the beginning of its text, in quotes if they matter."""
    if value is None:
        return "NULL"
    if _PLAIN.fullmatch(value) and value != "NULL":
        return value
    cut = value[:_SHOWN_CHARACTERS]
    return repr(cut) + ("…" if len(value) > len(cut) else "")


def why_document(found: Why) -> dict[str, object]:
    """Return what made a cell, for JSON; values are as in the CSV, NULL is null."""
    load, extract = found.load, found.extract
    return {
        "dataset": found.dataset,
        "key": found.key,
        "id": found.id,
        "column": found.column,
        "extract": {"id": extract.extract_id, "at": extract.extracted_at.isoformat(),
                    "sources": [vars(source) for source in found.trace.sources]},
        "rules": {"version": load.rule_version, "digest": load.rules_digest,
                  "touches": [vars(touch) for touch in found.trace.touches]},
        "load": {"id": load.load_id, "at": load.committed_at.isoformat(), "stage": load.stage},
        "records": [_record(outcome, found.column) for outcome in found.outcomes],
        "notes": list(found.notes),
    }  # fmt: skip


def _record(outcome: Outcome, column: str) -> dict[str, object]:
    end, staged = outcome.end, outcome.staged
    return {
        "record": end.record,
        "loaded": end.left_out is None,
        "value": end.values.get(column),
        "staged": vars(staged) if staged else None,
        "left_out": vars(end.left_out) if end.left_out else None,
    }
