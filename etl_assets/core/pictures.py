"""Small pictures as Markdown that Dagster's UI shows: SVG, which it takes as a data image.

The UI may be light or dark, so the ground is transparent and the colours are seen on both. It
shows at once what has less than 1,000 characters, and the rest on a click: hence as few as can be.
"""

import base64
import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HEIGHT = 40
_WIDTH = 480
_GREY, _FILL = "#888", "#65e"
_ROW, _BAR = 8, 5
_MOST_BARS = 90


@dataclass(frozen=True)
class Season:
    """A line of a timeline.

    Attributes:
        marked: Whether the timeline is about this one.
    """

    key: str
    start: dt.date
    end: dt.date
    marked: bool = False


def records_per_day(days: Mapping[str, int], start: dt.date, end: dt.date) -> str:
    """Return bars for the records of each day, from a first to a last day, or further.

    Args:
        days: Records by ISO date; at least one.
        start: The first day to be shown.
        end: The last one.
    """
    counted = {dt.date.fromisoformat(day): records for day, records in days.items()}
    first, last = min(start, *counted), max(end, *counted)
    span = (last - first).days + 1
    most = max(counted, key=lambda day: (counted[day], day))
    width = math.ceil(span / _MOST_BARS)
    bars = [0] * math.ceil(span / width)
    for day, records in counted.items():
        bars[(day - first).days // width] += records
    path, level = f"M0 {_HEIGHT}", 0
    for records in bars:
        height = max(round(records * _HEIGHT / max(bars)), 1 if records else 0)
        path += f"v{level - height}h1" if height != level else "h1"
        level = height
    said = (
        f"{sum(counted.values()):,} records on {sum(map(bool, counted.values()))} of the {span}"
        f" days {first} to {last}; most on {most}: {counted[most]:,}"
        f"{f'; a bar is {width} days' if width > 1 else ''}"
    )
    return _markdown(
        "Records per day", said, len(bars), _HEIGHT, f'<path fill="{_FILL}" d="{path}V{_HEIGHT}"/>'
    )


def timeline(seasons: Sequence[Season]) -> str:
    """Return seasons as bars below each other, the earliest first, on one scale.

    Args:
        seasons: At least one.
    """
    ordered = sorted(seasons, key=lambda one: (one.start, one.end, one.key))
    first, last = min(s.start for s in ordered), max(s.end for s in ordered)
    bars = {True: "", False: ""}
    for number, one in enumerate(ordered):
        days = (one.end - one.start).days + 1
        bars[one.marked] += f"M{(one.start - first).days} {number * _ROW}h{days}v{_BAR}h-{days}z"
    body = "".join(
        f'<path fill="{_FILL if marked else _GREY}" d="{path}"/>'
        for marked, path in bars.items()
        if path
    )
    said = "; ".join(f"{one.key} {one.start} to {one.end}" for one in ordered)
    return _markdown("Seasons", said, (last - first).days + 1, len(ordered) * _ROW, body)


def _markdown(what: str, said: str, width: int, height: int, body: str) -> str:
    """Return a picture, a unit wide for each day, and below it what it shows as a sentence."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height * 2}"'
        f' viewBox="0 0 {width} {height}" preserveAspectRatio="none">{body}</svg>'
    )
    image = base64.b64encode(svg.encode()).decode()
    return f"![{what}](data:image/svg+xml;base64,{image})\n\n{said}"
