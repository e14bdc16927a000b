"""Dates and times as COPY reads them: the default formats, 'auto', epochs and custom formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ELEMENTS = (
    ("YYYY", r"(?P<year>\d{4})"),
    ("YY", r"(?P<short_year>\d{2})"),
    ("MONTH", r"(?P<name>[A-Za-z]{3,9})"),
    ("MON", r"(?P<name>[A-Za-z]{3})"),
    ("MM", r"(?P<month>\d{1,2})"),
    ("DD", r"(?P<day>\d{1,2})"),
    ("HH24", r"(?P<hour>\d{1,2})"),
    ("HH12", r"(?P<hour>\d{1,2})"),
    ("HH", r"(?P<hour>\d{1,2})"),
    ("MI", r"(?P<minute>\d{1,2})"),
    ("SS", r"(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,6}))?"),
    ("AM", r"(?P<half>[AaPp][Mm])"),
    ("PM", r"(?P<half>[AaPp][Mm])"),
    ("OF", r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)"),
    ("TZ", r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)"),
)
_AUTO_DATES = (
    "YYYY-MM-DD",
    "YYYY/MM/DD",
    "YYYY.MM.DD",
    "MM/DD/YYYY",
    "MM-DD-YYYY",
    "DD MON YYYY",
    "DD-MON-YYYY",
    "MON DD, YYYY",
    "MONTH DD, YYYY",
)
_AUTO_TIMES = ("HH:MI:SS", "HH:MI")
_COMPACT_DATE = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})")
_EPOCH = re.compile(r"-?\d{1,11}(\.\d+)?")
_EPOCH_MILLISECONDS = re.compile(r"-?\d{1,14}(\.\d+)?")


def _compile(layout: str) -> re.Pattern[str]:
    """Translate a DATEFORMAT or TIMEFORMAT text into a regular expression."""
    pattern, at = "", 0
    while at < len(layout):
        for element, expression in _ELEMENTS:
            if layout[at : at + len(element)].upper() == element:
                pattern += expression
                at += len(element)
                break
        else:
            pattern += re.escape(layout[at])
            at += 1
    return re.compile(pattern)


def _zone(text: str | None) -> str:
    if text is None or text == "Z":
        return "+00:00" if text else ""
    digits = text[1:].replace(":", "").ljust(4, "0")
    if int(digits[:2]) > 15 or int(digits[2:]) > 59:
        raise ValueError("time zone offset out of range")
    return f"{text[0]}{digits[:2]}:{digits[2:]}"


def _month(parts: dict[str, str | None]) -> int:
    name = parts.get("name")
    if name:
        return _MONTHS.index(name[:3].lower()) + 1
    return int(parts.get("month") or 1)


def _hour(parts: dict[str, str | None]) -> int:
    hour, half = int(parts.get("hour") or 0), (parts.get("half") or "").lower()
    if not half:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError("hour out of range")
    return hour % 12 + (12 if half == "pm" else 0)


def _moment(match: re.Match[str]) -> tuple[datetime, str]:
    """Return the instant a match names and its zone; raises ValueError if there is none."""
    parts = match.groupdict()
    short = parts.get("short_year")
    year = 2000 + int(short) if short else int(parts.get("year") or 1)
    fraction = (parts.get("fraction") or "").ljust(6, "0")
    moment = datetime(  # noqa: DTZ001  (its zone is returned beside it)
        year,
        _month(parts),
        int(parts.get("day") or 1),
        _hour(parts),
        int(parts.get("minute") or 0),
        int(parts.get("second") or 0),
        int(fraction),
    )
    return moment, _zone(parts.get("zone"))


def _first(patterns: Sequence[re.Pattern[str]], text: str) -> tuple[datetime, str]:
    for pattern in patterns:
        match = pattern.fullmatch(text)
        if match:
            return _moment(match)
    raise ValueError("no format matches")


def date_parser(layout: str) -> Callable[[str], date]:
    """Return a parser of dates that raises ValueError for a text it refuses.

    Args:
        layout: The DATEFORMAT argument, empty for the default.
    """
    if layout == "auto":
        patterns = [_COMPACT_DATE, *map(_compile, _AUTO_DATES)]
        # 'auto' also takes a timestamp and keeps its date.
        patterns += [_compile(f"YYYY-MM-DD{s}{t}") for s in (" ", "T") for t in _AUTO_TIMES]
    else:
        patterns = [_compile(layout or "YYYY-MM-DD")]
    return lambda text: _first(patterns, text)[0].date()


def _auto_timestamps(zoned: bool) -> list[re.Pattern[str]]:
    layouts = [f"{d}{s}{t}" for d in _AUTO_DATES for s in (" ", "T") for t in _AUTO_TIMES]
    if zoned:
        layouts += [f"{layout}{gap}OF" for layout in layouts for gap in ("", " ")]
    return [_COMPACT_DATE, *map(_compile, (*layouts, *_AUTO_DATES))]


def _epoch_parser(layout: str) -> Callable[[str], tuple[datetime, str]]:
    shape, unit = (_EPOCH, 1.0) if layout == "epochsecs" else (_EPOCH_MILLISECONDS, 1000.0)

    def parse(text: str) -> tuple[datetime, str]:
        if not shape.fullmatch(text):
            raise ValueError("not an epoch")
        whole, _, fraction = text.partition(".")
        micros = int(whole) * round(1_000_000 / unit)
        micros += round(float(f"0.{fraction or 0}") * 1_000_000 / unit)
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
        return moment.replace(tzinfo=None), "+00:00"

    return parse


def timestamp_parser(layout: str, zoned: bool) -> Callable[[str], str]:
    """Return a parser of timestamps into ISO text; it raises ValueError for a text it refuses.

    Args:
        layout: The TIMEFORMAT argument, empty for the default.
        zoned: Whether the column is TIMESTAMPTZ.
    """
    if layout in ("epochsecs", "epochmillisecs"):
        parse = _epoch_parser(layout)
    else:
        if layout == "auto":
            patterns = _auto_timestamps(zoned)
        else:
            default = "YYYY-MM-DD HH:MI:SS" + ("OF" if zoned else "")
            patterns = [_compile(layout or default)]

        def parse(text: str) -> tuple[datetime, str]:
            return _first(patterns, text)

    def convert(text: str) -> str:
        moment, zone = parse(text)
        iso = moment.isoformat(" ")
        return iso + (zone or "+00:00") if zoned else iso

    return convert


def time_parser(zoned: bool) -> Callable[[str], str]:
    """Return a parser of times of day into ISO text.

    Args:
        zoned: Whether the column is TIMETZ.
    """
    patterns = [_compile(t) for t in _AUTO_TIMES]
    if zoned:
        patterns += [_compile(f"{t}OF") for t in _AUTO_TIMES]

    def convert(text: str) -> str:
        moment, zone = _first(patterns, text)
        iso = moment.time().isoformat()
        return iso + (zone or "+00:00") if zoned else iso

    return convert
