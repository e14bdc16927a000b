"""How a locale writes numbers and dates, and how such texts become plain ones in DuckDB."""

from typing import Annotated

from babel import Locale, UnknownLocaleError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from etl_assets.core.sql import quote_literal

_BABEL_PARTS = {"dd": "%d", "d": "%d", "MM": "%m", "M": "%m", "yyyy": "%Y", "y": "%Y", "yy": "%Y"}
_NO_BREAK = ("\u00a0", "\u202f")
"""The blanks that locales group by; people type a plain one."""


class Signs(BaseModel):
    """The signs of numbers.

    Attributes:
        decimal: Before the fraction.
        group: Between thousands; none when empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimal: str = Field(min_length=1, max_length=1)
    group: str = Field(default="", max_length=1)


def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"{name!r} is no locale; write one such as de_DE") from None


def _signs(value: object) -> object:
    if not isinstance(value, str):
        return value
    symbols = _locale(value).number_symbols["latn"]
    return {"decimal": symbols["decimal"], "group": symbols["group"]}


def _formats(value: object) -> object:
    if not isinstance(value, str) or "%" in value:
        return [value] if isinstance(value, str) else value
    return _short_dates(_locale(value))


def _short_dates(locale: Locale) -> list[str]:
    """Return a locale's short date as a format, with four digits of the year."""
    made, pattern = "", locale.date_formats["short"].pattern
    while pattern:
        part = next((p for p in sorted(_BABEL_PARTS, key=len, reverse=True)
                     if pattern.startswith(p)), pattern[0])  # fmt: skip
        made += _BABEL_PARTS.get(part, part)
        pattern = pattern[len(part) :]
    return [made]


NumberFormat = Annotated[Signs, BeforeValidator(_signs)]
"""Signs, or the name of a locale that has them."""

DateFormats = Annotated[
    tuple[Annotated[str, Field(pattern=r"%")], ...], BeforeValidator(_formats), Field(min_length=1)
]
"""Formats as strptime reads them, tried in their order, or the name of a locale."""


def plain_number(value: str, signs: Signs) -> tuple[str, str]:
    """Return SQL of the plain text of a number, and of whether the text is one.

    Groups may be left out, but where they are they are of three digits.
    """
    group = signs.group
    blanks = "".join({group, " ", *_NO_BREAK}) if group in _NO_BREAK else group
    between = f"[{_escaped(blanks)}]" if blanks else ""
    whole = rf"\d{{1,3}}({between}\d{{3}})+|\d+" if between else r"\d+"
    pattern = rf"[+-]?({whole})?({_escaped(signs.decimal)}\d*)?"
    bare = f"translate({value}, {quote_literal(blanks)}, '')" if blanks else value
    made = f"replace({bare}, {quote_literal(signs.decimal)}, '.')"
    fits = (
        f"regexp_full_match({value}, {quote_literal(pattern)}) AND regexp_matches({value}, '[0-9]')"
    )
    return made, fits


def plain_date(value: str, formats: tuple[str, ...]) -> tuple[str, str]:
    """Return SQL of the ISO text of a date, and of whether the text is one."""
    listed = ", ".join(quote_literal(text) for text in formats)
    read = f"try_strptime({value}, [{listed}])"
    made = f"strftime({read}, '%Y-%m-%d')"
    return made, f"{read} IS NOT NULL AND {read} = date_trunc('day', {read})"


def _escaped(characters: str) -> str:
    return "".join(rf"\{c}" if c in r".\^$*+?()[]{}|-" else c for c in characters)
