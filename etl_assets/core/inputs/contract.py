"""Contracts: what a source delivers in its files, as one YAML document each."""

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from etl_assets.core.columns import RESERVED_PREFIX, Column, ColumnName
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError
from etl_assets.core.inputs.input_column import InputColumn, check_dates
from etl_assets.core.readers import Owner
from etl_assets.core.rules.normalize import DateFormats, NumberFormat, Signs

INPUT_COLUMNS = ("input_id", "input_file", "input_row", "arrived_at")
"""What a load adds to every row of a source's table: where it came from, and when."""

_TAKEN = (*INPUT_COLUMNS, "file_row_number")
"""The last is DuckDB's name for a row's place, by which duplicates are found."""

SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,53}$")]
"""A folder below `inputs/`, and a table; `__received` still fits behind it."""

Format = Literal["csv", "excel", "json_lines", "parquet"]

_MAX_KEY_CHARACTERS = 750
"""InnoDB indexes 3,072 bytes: so many characters, and some room for numbers."""


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
            if name in _TAKEN or name.startswith(RESERVED_PREFIX):
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


def parse_contract(text: str, source: str) -> Contract:
    """Return the contract of a YAML document.

    Args:
        text: The document.
        source: Names it in errors, usually its file name.

    Raises:
        DocumentError: Naming line and field of everything that is wrong.
    """
    document = Document(text, source)
    return document.validate(Contract, document.data)


def index_contracts(contracts: list[tuple[str, Contract]]) -> dict[str, Contract]:
    """Return contracts by source, from pairs of document name and contract.

    Raises:
        DocumentError: When two name one source or one table.
    """
    found: dict[str, Contract] = {}
    for source, contract in contracts:
        for other in found.values():
            if contract.table == other.table:
                problem = f"the contract of {other.source} has the table `{contract.table}`, too"
                raise DocumentError(source, [problem])
        if contract.source in found:
            raise DocumentError(source, [f"another contract has the source `{contract.source}`"])
        found[contract.source] = contract
    return found
