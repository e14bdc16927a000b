"""The formats of a feed's files, and what can be said of each."""

import codecs
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ENCODINGS = ("utf-8", "utf-8-sig", "iso-8859-1", "iso-8859-15", "windows-1252")


class _Format(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CsvFormat(_Format):
    """Text with a delimiter (RFC 4180).

    A field is quoted where it holds the delimiter, a quote or a line break, and where an empty
    text or one that looks like `null` would be taken for NULL.

    Attributes:
        kind: `csv`.
        delimiter: One character between fields.
        encoding: Of the file; a text that it cannot write fails the delivery.
        header: Whether the first line names the columns.
        decimal_mark: Before the digits of a fraction.
        null: What stands for NULL, unquoted.
        compression: `gzip`, or none.
    """

    kind: Literal["csv"] = "csv"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: Literal["utf-8", "utf-8-sig", "iso-8859-1", "iso-8859-15", "windows-1252"] = "utf-8"
    header: bool = True
    decimal_mark: Literal[".", ","] = "."
    null: str = ""
    compression: Literal["none", "gzip"] = "none"

    @model_validator(mode="after")
    def _readable(self) -> "CsvFormat":
        if self.delimiter in '"\r\n' or self.delimiter.isalnum() or self.delimiter in "-.:":
            raise ValueError(f"`delimiter` is {self.delimiter!r}, which values hold")
        if self.delimiter == self.decimal_mark:
            raise ValueError("`delimiter` and `decimal_mark` are the same")
        if set(self.null) & {self.delimiter, '"', "\r", "\n"}:
            raise ValueError("`null` holds the delimiter, a quote or a line break")
        try:
            f"{self.delimiter}{self.null}".encode(codecs.lookup(self.encoding).name)
        except UnicodeEncodeError:
            raise ValueError(f"{self.encoding} cannot write `delimiter` or `null`") from None
        return self


class JsonLinesFormat(_Format):
    """One JSON object per line, in UTF-8.

    Decimals are numbers with all their digits; dates and moments are texts as in ISO 8601, bytes
    are hexadecimal.

    Attributes:
        kind: `json_lines`.
        compression: `gzip`, or none.
    """

    kind: Literal["json_lines"] = "json_lines"
    compression: Literal["none", "gzip"] = "none"


class ParquetFormat(_Format):
    """Parquet with the exact types of the columns.

    Attributes:
        kind: `parquet`.
        compression: Of its pages.
    """

    kind: Literal["parquet"] = "parquet"
    compression: Literal["zstd", "snappy", "none"] = "zstd"


class ExcelFormat(_Format):
    """An Excel workbook with one sheet and a header.

    What Excel cannot hold as a number with all its digits is a text there.

    Attributes:
        kind: `excel`.
        sheet: The name of the sheet.
    """

    kind: Literal["excel"] = "excel"
    sheet: str = Field(default="Data", pattern=r"^[^\[\]:*?/\\']{1,31}$")


def _named(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


Format = Annotated[
    CsvFormat | JsonLinesFormat | ParquetFormat | ExcelFormat,
    Field(discriminator="kind"),
    BeforeValidator(_named),
]
"""A format's name, or a mapping with its `kind` and what else is said of it."""
