"""What a contract says of one column of a source."""

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from etl_assets.core.columns import ColumnType
from etl_assets.core.rules.normalize import DateFormats, NumberFormat

_NO_TYPES = {
    "real": "double",  # MySQL widens a FLOAT when it is read
    "binary": "text",  # files of texts hold none
}
_MAX_SCALE = 30
"""MySQL's DECIMAL holds so many digits after the point."""

_MAX_VARCHAR = 16_383
_PROBE = dt.datetime(2017, 2, 3, 4, 5, 6)  # noqa: DTZ001  (only its digits are looked at)


def _code(value: object) -> object:
    """Return what a code stands for as the text a file would have."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Code = Annotated[str | None, BeforeValidator(_code)]
"""What a code means, written as a file would have it: `01`, `female`, `2017-12-31`; or null."""


class InputColumn(BaseModel):
    """A column of a source.

    Attributes:
        type: Written as in SQL, such as `decimal(12,2)`; any but `real` and `binary`.
        comment: What a reader of the table should know.
        header: The file's name for it; the column's own name unless said. Case, blanks, `_`
            and `-` do not matter.
        aliases: Other headers it has had.
        required: Whether a row without a value is a bad one; always so in the primary key.
        optional: Whether a file may lack the column altogether; all its values are null then.
            A file that lacks another column is quarantined.
        number: How numbers are written; what the contract says unless given.
        date: How dates are written; what the contract says unless given.
        codes: What each text in the file stands for; a text that is not among them makes a
            bad row.
        default: What stands for no value, written as in the file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ColumnType
    comment: str = ""
    header: str = ""
    aliases: tuple[str, ...] = ()
    required: bool = False
    optional: bool = False
    number: NumberFormat | None = None
    date: DateFormats | None = None
    codes: dict[str, Code] = Field(default_factory=dict)
    default: Code = None

    @field_validator("type")
    @classmethod
    def _kept_exactly(cls, kind: ColumnType) -> ColumnType:
        if kind.name in _NO_TYPES:
            raise ValueError(f"inputs have no {kind.name}; write {_NO_TYPES[kind.name]}")
        if kind.scale > _MAX_SCALE:
            raise ValueError(f"inputs hold at most {_MAX_SCALE} digits after the point")
        if kind.name == "varchar" and kind.precision > _MAX_VARCHAR:
            raise ValueError(f"a varchar holds at most {_MAX_VARCHAR:,} characters; write text")
        return kind

    @field_validator("date")
    @classmethod
    def _unambiguous(cls, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return check_dates(formats)


def check_dates(formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return date formats that read no text in two ways.

    Raises:
        ValueError: When one is no format, lacks a part of the date, or two read one text
            differently.
    """
    for written in formats or ():
        try:
            text = _PROBE.strftime(written)
            back = dt.datetime.strptime(text, written)  # noqa: DTZ007
        except ValueError:
            raise ValueError(f"{written!r} is no date format; write one as %d.%m.%Y") from None
        if back.date() != _PROBE.date():
            raise ValueError(f"{written!r} does not say day, month and year")
        for other in formats or ():
            try:
                read = dt.datetime.strptime(text, other)  # noqa: DTZ007
            except ValueError:
                continue
            if read.date() != back.date():
                raise ValueError(f"{written!r} and {other!r} read {text} as different dates")
    return formats
