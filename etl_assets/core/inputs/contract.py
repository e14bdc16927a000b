"""Contracts: what a source delivers in its files, as one YAML document each."""

import datetime as dt
import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from etl_assets.core.columns import RESERVED_PREFIX, Column, ColumnName, ColumnType
from etl_assets.core.readers import Owner
from etl_assets.core.rules.normalize import DateFormats, NumberFormat, Signs

INPUT_COLUMNS = ("input_id", "input_file", "input_row", "arrived_at")
"""What a load adds to every row of a source's table: where it came from, and when."""

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,53}$")]
"""A folder below `inputs/`, and a table; `__received` still fits behind it."""

Format = Literal["csv", "excel", "json_lines", "parquet"]

_NO_TYPES = {
    "real": "double",  # MySQL widens a FLOAT when it is read
    "binary": "text",  # files of texts hold none
}
_MAX_SCALE = 30
"""MySQL's DECIMAL holds so many digits after the point."""

_MAX_VARCHAR = 16_383
_MAX_KEY_CHARACTERS = 750
"""InnoDB indexes 3,072 bytes: so many characters, and some room for numbers."""

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


class Contract(BaseModel):
    """What a source delivers.

    Attributes:
        source: Its name; its files are below `inputs/<source>/` in the staging store.
        description: What one row of it is.
        owner: Who answers for it: `team:name`, or an e-mail address.
        table: The table it is loaded into, which belongs to it; the source's name unless said.
        primary_key: Columns that together name a row; a later file's row replaces it.
        columns: Types and headers, by column name.
        format: `csv`, `excel`, `json_lines` or `parquet`; found from the content unless said.
        encoding: Of texts, such as `cp1252`; found unless said: a byte order mark, or UTF-8, or
            else cp1252.
        delimiter: Between the fields of a CSV; the one that gives the headers unless said.
        quote: Around fields of a CSV; none when empty.
        sheet: Of a spreadsheet; its first unless said.
        header_row: The line or row that holds the headers; 0 where there are none and the
            columns come in the order of the contract.
        number: How numbers are written: a locale, such as `de_DE`, or its `decimal` and `group`
            signs; `1234.5` unless said.
        date: How dates are written: a locale, or formats as strptime has them, tried in order;
            `2017-12-31` unless said. A timestamp may have a time after it.
        null_values: Texts that stand for no value, beside the empty one.
        on_bad_row: `reject_row` leaves it out and writes it to the rejects; `quarantine_file`
            loads nothing of the file.
        most_rejected_percent: A file of which more rows are bad is quarantined.
        duplicates: Of rows of one file with the same key, `keep_last` loads the last one;
            `reject` loads the first, and the others are bad rows.
        unknown_columns: `ignore` leaves them out; `refuse` quarantines the file.
        deliver_within_hours: A source that has delivered nothing for longer is late.
        most_bytes: A file that unpacks to more is quarantined.
        most_rows: A file that holds more is quarantined.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: SourceName
    description: str = ""
    owner: Owner | None = None
    table: SourceName = ""
    primary_key: tuple[ColumnName, ...] = Field(min_length=1)
    columns: dict[ColumnName, InputColumn] = Field(min_length=1)
    format: Format | None = None
    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    quote: str = Field(default='"', max_length=1)
    sheet: str | None = None
    header_row: int = Field(default=1, ge=0, le=10_000)
    number: NumberFormat = Signs(decimal=".")
    date: DateFormats | None = None
    null_values: tuple[str, ...] = ()
    on_bad_row: Literal["reject_row", "quarantine_file"] = "reject_row"
    most_rejected_percent: float = Field(default=10, ge=0, le=100)
    duplicates: Literal["keep_last", "reject"] = "keep_last"
    unknown_columns: Literal["ignore", "refuse"] = "ignore"
    deliver_within_hours: float | None = Field(default=None, gt=0)
    most_bytes: int = Field(default=8 << 30, ge=1)
    most_rows: int = Field(default=100_000_000, ge=1)

    @field_validator("date")
    @classmethod
    def _unambiguous(cls, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return check_dates(formats)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                if "a".encode(name).decode(name) != "a":
                    raise ValueError(f"{name!r} is no encoding of texts")
            except (LookupError, UnicodeError):
                raise ValueError(f"{name!r} is no encoding; write one such as cp1252") from None
        return name

    @model_validator(mode="after")
    def _fits_together(self) -> "Contract":
        if not self.table:
            object.__setattr__(self, "table", self.source)
        for name in self.columns:
            if name in INPUT_COLUMNS or name.startswith(RESERVED_PREFIX):
                raise ValueError(f"the column `{name}` has a name that the platform uses itself")
        _check_key(self)
        _check_headers(self)
        return self

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source

    @property
    def table_columns(self) -> list[Column]:
        """The columns of the table that come from the file."""
        return [
            Column(name=name, type=column.type, comment=column.comment)
            for name, column in self.columns.items()
        ]

    @property
    def digest(self) -> str:
        """SHA-256 of what decides how a file is read and what becomes of it."""
        leave_out = {"description", "owner", "deliver_within_hours"}
        content = self.model_dump(mode="json", exclude=leave_out)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def is_required(self, column: str) -> bool:
        """Return whether a row without a value in a column is a bad one."""
        return self.columns[column].required or column in self.primary_key

    def headers_of(self, column: str) -> list[str]:
        """Return the headers a column may have, each in the form of `plain_header`."""
        spec = self.columns[column]
        return [plain_header(text) for text in (spec.header or column, *spec.aliases)]


def plain_header(text: str) -> str:
    """Return a header without what does not matter: case, blanks, `_`, `-`, a byte order mark."""
    return "".join(c for c in text.casefold() if not c.isspace() and c not in "_-\ufeff")


def _check_key(contract: Contract) -> None:
    characters = 0
    if len(set(contract.primary_key)) < len(contract.primary_key):
        raise ValueError("`primary_key` names a column twice")
    for name in contract.primary_key:
        if name not in contract.columns:
            raise ValueError(f"`primary_key` names `{name}`, which is not among the columns")
        kind = contract.columns[name].type
        if kind.name in ("text", "double"):
            raise ValueError(f"`{name}` is {kind}, which cannot be in a primary key")
        characters += kind.precision if kind.name == "varchar" else 0
    if characters > _MAX_KEY_CHARACTERS:
        raise ValueError(
            f"the texts of the primary key have {characters} characters; a key holds"
            f" {_MAX_KEY_CHARACTERS}"
        )


def _check_headers(contract: Contract) -> None:
    taken: dict[str, str] = {}
    for name in contract.columns:
        for header in contract.headers_of(name):
            if not header:
                raise ValueError(f"a header of `{name}` is empty")
            if taken.setdefault(header, name) != name:
                raise ValueError(f"`{name}` and `{taken[header]}` have a header in common")
