"""How the calendar is shown: a timeline and a table for people, JSON for programs, a page."""

import datetime as dt
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from etl_assets.core.manifest import Load
from etl_assets.core.seasons import Calendar, Season, Slice
from etl_assets.display.tables import new_table
from etl_assets.pages import write_page

_BARS = {
    "active": ("█", "green"), "upcoming": ("▒", "blue"), "paused": ("-", "yellow"),
    "ended": ("━", "dim"),
}  # fmt: skip
_NARROWEST = 24
_MANY = 9
_MONTH_CHARACTERS = 4
_SLICES = {"fresh": "green", "late": "red", "unusable": "red", "held": "yellow", "kept": "yellow"}


def timeline(calendar: Calendar, width: int) -> Iterator[Text]:
    """Yield the lines of the timeline, none longer than the width; a narrow one is cut short."""
    label = max((len(one.campaign.key) for one in calendar.seasons), default=0)
    label = min(max(label, len("at once")), max(width - _NARROWEST, 8)) + 1
    columns = max(width - label, _NARROWEST)
    today = _column(calendar, calendar.at.date(), columns)
    yield Text(" " * label + _months(calendar, columns, years=True), "bold")
    yield Text(" " * label + _months(calendar, columns, years=False), "dim")
    if today is not None:
        yield Text(" " * (label + today) + "▼", "bold")
    for one in calendar.seasons:
        yield _lane(calendar, one, label, columns, today)
    if calendar.seasons:
        counts = "".join(_count(n) for n in _most_by_column(calendar, columns))
        yield Text.assemble(("at once".ljust(label), "dim"), counts)
    marks = "   ".join(f"{mark} {state}" for state, (mark, _) in _BARS.items())
    yield Text(f"{' ' * label}{marks}", "dim")


def seasons_table(calendar: Calendar) -> Table:
    """Return what each campaign shown is, when it is due next, and what is loaded of it."""
    table = new_table()
    for name in ("key", "state", "next due", "dataset", "last load (UTC)"):
        table.add_column(name, overflow="fold")
    for name in ("age", "records"):
        table.add_column(name, justify="right", overflow="fold")
    for name in ("is", "proof"):
        table.add_column(name, overflow="fold")
    for one in calendar.seasons:
        _, style = _BARS[one.state]
        first = [
            escape(one.campaign.key),
            f"[{style}]{state_text(one)}[/]",
            f"{one.next_due:%Y-%m-%d %H:%M}" if one.next_due else "",
        ]
        for piece in known_slices(one) or [Slice("")]:
            load = piece.load
            table.add_row(
                *first,
                escape(piece.dataset),
                f"{load.committed_at.astimezone(dt.UTC):%Y-%m-%d %H:%M}" if load else "",
                age(load.committed_at, calendar.read_at) if load else "",
                f"{load.records:,}" if load else "",
                _styled(slice_text(piece)),
                escape(proof_text(load)) if load else "",
            )
            first = ["", "", ""]
    return table


def sentences(calendar: Calendar) -> Iterator[str]:
    """Yield what is to be said beside the table: what is held, not shown, or not known."""
    for one in calendar.seasons:
        for piece in one.slices:
            if piece.held:
                yield f"{one.campaign.key} {piece.dataset}: {piece.held}"
    for key, problem in calendar.problems:
        yield f"{key} cannot be used: {problem}"
    if not calendar.seasons:
        yield f"No season is in {calendar.first} to {calendar.last}."
    parts = []
    if calendar.before:
        last = ", the last on" if calendar.before > 1 else " on"
        parts.append(f"{calendar.before:,} ended before{last} {calendar.ended}")
    if calendar.after:
        parts.append(f"{calendar.after:,} after")
    if parts:
        yield f"Not shown: {'; '.join(parts)}."
    yield from calendar.notes


def known_slices(one: Season) -> list[Slice]:
    """Return the slices of which there is something to be said."""
    return [piece for piece in one.slices if piece.load or slice_text(piece)]


def state_text(one: Season) -> str:
    """Return the state with the day that matters."""
    campaign = one.campaign
    said = {
        "active": f"active until {campaign.end}",
        "upcoming": f"from {campaign.start}",
        "paused": f"paused until {campaign.end}",
        "ended": f"ended {campaign.end}",
    }[one.state]
    off = one.state == "active" and not one.due
    on = one.state != "active" and one.due
    return f"{said}{', not due today' if off else ''}{', due today' if on else ''}"


def slice_text(piece: Slice) -> str:
    """Return in a word what a slice is: fresh, late, held; empty where nothing is to be said."""
    if piece.freshness and piece.freshness.kind != "not due":
        return piece.freshness.kind
    if piece.held:
        return "held"
    return "removed" if piece.load and piece.load.kind == "prune" else ""


def proof_text(load: Load) -> str:
    """Return what was proven of a load, in short; whose decision it was, where it was one."""
    if load.kind == "prune":
        return ""
    left_out = [
        f" + {count:,} {word}"
        for count, word in ((load.filtered, "filtered"), (load.rejected, "rejected"))
        if count
    ]
    by = f", rolled back by {load.made_by}" if load.kind == "rollback" else ""
    return f"source = table{''.join(left_out)}{by}"


def age(moment: dt.datetime, now: dt.datetime) -> str:
    """Return how long ago a moment was, in its largest unit."""
    minutes = max(int((now - moment).total_seconds() // 60), 0)
    hours, days = minutes // 60, minutes // 1440
    return f"{days} d" if days > 1 else f"{hours} h" if hours > 1 else f"{minutes} min"


def calendar_document(calendar: Calendar) -> dict[str, object]:
    """Return everything for JSON; moments are ISO 8601."""
    return {
        "at": calendar.at.isoformat(),
        "from": str(calendar.first),
        "to": str(calendar.last),
        "campaigns": [_document(one, calendar.read_at) for one in calendar.seasons],
        "not_shown": {"before": calendar.before, "after": calendar.after},
        "problems": dict(calendar.problems),
        "notes": list(calendar.notes),
    }


def write_calendar(file: Path, calendar: Calendar) -> None:
    """Write the page of a calendar.

    Raises:
        PermanentError: When the file cannot be written.
    """
    spans = [{"count": count, "days": len(list(days))} for count, days in groupby(calendar.at_once)]
    at = (calendar.at.date() - calendar.first).days
    write_page(
        "calendar.html", file, calendar=calendar, months=list(_month_starts(calendar)),
        spans=spans, most=max(calendar.at_once, default=0), percent=lambda n: _percent(calendar, n),
        today=at if 0 <= at < calendar.days else None, known_slices=known_slices,
        slice_text=slice_text, proof_text=proof_text, age=age, bar=lambda one: _bar(calendar, one),
        sentences=list(sentences(calendar)), utc=dt.UTC,
    )  # fmt: skip


def _lane(calendar: Calendar, one: Season, label: int, columns: int, today: int | None) -> Text:
    mark, style = _BARS[one.state]
    cells = [" "] * columns
    if today is not None:
        cells[today] = "│"
    begin, days = _bar(calendar, one)
    if days:
        first, last = (_cell(calendar, day, columns) for day in (begin, begin + days - 1))
        cells[first : last + 1] = mark * (last + 1 - first)
    lane = Text("".join(cells))
    if days:
        lane.stylize(style, first, last + 1)
    name = one.campaign.key
    cut = name if len(name) < label else f"{name[: label - 2]}…"
    return Text.assemble(cut.ljust(label), lane)


def _bar(calendar: Calendar, one: Season) -> tuple[int, int]:
    """Return the first day of a bar, from the first shown, and how many days it has."""
    begin = max((one.campaign.start - calendar.first).days, 0)
    end = min((one.campaign.end - calendar.first).days, calendar.days - 1)
    return begin, max(end - begin + 1, 0)


def _cell(calendar: Calendar, day: int, columns: int) -> int:
    return min(day * columns // calendar.days, columns - 1)


def _column(calendar: Calendar, day: dt.date, columns: int) -> int | None:
    number = (day - calendar.first).days
    return _cell(calendar, number, columns) if 0 <= number < calendar.days else None


def _most_by_column(calendar: Calendar, columns: int) -> list[int]:
    most = [0] * columns
    for day, count in enumerate(calendar.at_once):
        cell = _cell(calendar, day, columns)
        most[cell] = max(most[cell], count)
    if columns > calendar.days:  # more columns than days: a day is as wide as it is
        most = [calendar.at_once[cell * calendar.days // columns] for cell in range(columns)]
    return most


def _count(number: int) -> str:
    return "·" if not number else str(number) if number <= _MANY else "+"


def _month_starts(calendar: Calendar) -> Iterator[tuple[int, dt.date]]:
    """Yield the first days of months that are shown, as days from the first, and the first."""
    day = calendar.first
    while day <= calendar.last:
        yield (day - calendar.first).days, day
        day = dt.date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _months(calendar: Calendar, columns: int, *, years: bool) -> str:
    line, free = [" "] * columns, 0
    seen = 0
    for start, day in _month_starts(calendar):
        if years and day.year == seen:
            continue
        text = str(day.year) if years else f"{day:%b}"
        cell = _cell(calendar, start, columns)
        if cell >= free and cell + len(text) <= columns:
            line[cell : cell + len(text)] = text
            free, seen = cell + len(text) + 1, day.year
    return "".join(line)


def _percent(calendar: Calendar, days: int) -> str:
    return f"{100 * days / calendar.days:.3f}%"


def _styled(word: str) -> str:
    style = _SLICES.get(word)
    return f"[{style}]{word}[/]" if style else word


def _document(one: Season, now: dt.datetime) -> dict[str, object]:
    campaign = one.campaign
    return {
        "key": campaign.key,
        "name": campaign.name,
        "start": str(campaign.start),
        "end": str(campaign.end),
        "time_zone": campaign.time_zone,
        "state": one.state,
        "due": one.due,
        "next_due": one.next_due.isoformat() if one.next_due else None,
        "datasets": [_slice_document(piece, now) for piece in one.slices],
    }


def _slice_document(piece: Slice, now: dt.datetime) -> dict[str, object]:
    load, fresh = piece.load, piece.freshness
    return {
        "dataset": piece.dataset,
        "is": slice_text(piece) or None,
        "freshness": {"kind": fresh.kind, "said": fresh.said} if fresh else None,
        "refreshed_at": fresh.refreshed_at.isoformat() if fresh and fresh.refreshed_at else None,
        "load": load and {
            "load_id": load.load_id,
            "kind": load.kind,
            "committed_at": load.committed_at.isoformat(),
            "age_seconds": int((now - load.committed_at).total_seconds()),
            "records": load.records,
            "proof": load.proof,
        },
        "held": piece.held or None,
    }  # fmt: skip
