"""The parts of a COPY command, and the rules between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from etl_assets_tests.standins.redshift.errors import SqlError, not_emulated

COMPRESSIONS = ("GZIP", "LZOP", "BZIP2", "ZSTD")
COLUMNAR = ("PARQUET", "ORC")
SELF_DESCRIBING = ("JSON", "AVRO")
FLAGS = (
    "ACCEPTANYDATE",
    "BLANKSASNULL",
    "EMPTYASNULL",
    "ENCRYPTED",
    "ESCAPE",
    "EXPLICIT_IDS",
    "FILLRECORD",
    "IGNOREALLERRORS",
    "IGNOREBLANKLINES",
    "MANIFEST",
    "NOLOAD",
    "REMOVEQUOTES",
    "ROUNDEC",
    "TRIMBLANKS",
    "TRUNCATECOLUMNS",
)
# What the COPY from columnar formats page lists; everything else is refused with Parquet and ORC.
_COLUMNAR_OPTIONS = {
    "AUTHORIZATION",
    "ACCESS_KEY_ID",
    "SECRET_ACCESS_KEY",
    "SESSION_TOKEN",
    "key",
    "REGION",
    "FORMAT",
    "MANIFEST",
    "STATUPDATE",
    "ACCEPTINVCHARS",
    "FILLRECORD",
    "EXPLICIT_IDS",
    "SERIALIZETOJSON",
}
_CONFLICTS = (
    ("CSV", "ESCAPE"),
    ("CSV", "REMOVEQUOTES"),
    ("FIXEDWIDTH", "DELIMITER"),
    ("FIXEDWIDTH", "ESCAPE"),
    ("FIXEDWIDTH", "REMOVEQUOTES"),
    ("IGNOREALLERRORS", "MAXERROR"),
    *((f, o) for f in SELF_DESCRIBING for o in ("ESCAPE", "FILLRECORD", "IGNOREBLANKLINES")),
    *((f, o) for f in SELF_DESCRIBING for o in ("DELIMITER", "NULL", "REMOVEQUOTES")),
)


@dataclass
class CopyCommand:
    """A parsed `COPY table FROM 's3://...'`.

    Attributes:
        table: The table's name as SQL text, quoted identifiers folded.
        table_name: The table's own name, for messages.
        columns: The column list, or None when the command has none.
        url: The `s3://` address of the manifest or the prefix.
        format: The data format's word, empty for character-delimited text.
        compression: The compression's word, empty for none.
        delimiter: The field delimiter.
        quote: The CSV quotation mark.
        null_as: The NULL token.
        invalid_char: The replacement of ACCEPTINVCHARS, empty when not given.
        date_format: The DATEFORMAT, empty for the default.
        time_format: The TIMEFORMAT, empty for the default.
        encoding: The Python name of the file encoding.
        header_lines: The lines to skip at the start of each file.
        max_errors: The MAXERROR count.
        access_key: The access key and secret key and session token, when given.
        flags: The options without an argument that were given.
        given: Every option that was given, for the rules between options.
    """

    table: str
    table_name: str
    columns: tuple[str, ...] | None
    url: str
    format: str = ""
    compression: str = ""
    delimiter: str = ""
    quote: str = '"'
    null_as: str = "\\N"
    invalid_char: str = ""
    date_format: str = ""
    time_format: str = ""
    encoding: str = "utf-8"
    header_lines: int = 0
    max_errors: int = 0
    access_key: dict[str, str] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)

    def note(self, option: str) -> None:
        """Record that an option was given.

        Raises:
            SqlError: If it was given before.
        """
        if option in self.given:
            raise SqlError("42601", f"conflicting or redundant options: {option}")
        self.given.add(option)

    def check(self) -> None:
        """Check the rules between options and set the defaults that depend on others.

        Raises:
            SqlError: If options conflict, one that is needed is missing, or the stand-in does not
                emulate one.
        """
        present = self.given | self.flags | {self.format}
        for one, other in _CONFLICTS:
            if one in present and other in present:
                raise SqlError("42601", f"{one} option is not compatible with {other} option")
        if "AUTHORIZATION" not in self.given:
            raise SqlError("42601", "CREDENTIALS argument is required but not supplied")
        self._check_keys()
        self._check_format()
        self.delimiter = self.delimiter or ("," if self.format == "CSV" else "|")
        if self.format == "CSV" and self.delimiter == self.quote:
            raise SqlError("42601", "delimiter and quote must be different characters")
        if "\n" in self.null_as or "\r" in self.null_as:
            raise SqlError("42601", "NULL argument must not contain a line break")
        if "MASTER_SYMMETRIC_KEY" in self.given and "ENCRYPTED" not in self.flags:
            raise SqlError("42601", "MASTER_SYMMETRIC_KEY is valid with ENCRYPTED only")
        self._check_emulated()

    def _check_format(self) -> None:
        if self.format in COLUMNAR:
            for option in sorted((self.given | self.flags) - _COLUMNAR_OPTIONS):
                raise SqlError("0A000", f"{option} argument is not supported for {self.format}")
        elif "SERIALIZETOJSON" in self.given:
            raise SqlError("42601", "SERIALIZETOJSON is valid with PARQUET and ORC only")
        if "QUOTE" in self.given and self.format != "CSV":
            raise SqlError("42601", "QUOTE is valid with CSV only")

    def _check_keys(self) -> None:
        if not self.access_key or "role" in self.access_key:
            return
        if {"id", "secret"} - set(self.access_key):
            message = "ACCESS_KEY_ID and SECRET_ACCESS_KEY must be given together"
            raise SqlError("42601", message)

    def _check_emulated(self) -> None:
        if self.format not in ("", "CSV"):
            raise not_emulated(f"COPY FORMAT {self.format}")
        if self.compression == "LZOP":
            raise not_emulated("COPY LZOP")
        for flag in ("ENCRYPTED", "REMOVEQUOTES"):
            if flag in self.flags:
                raise not_emulated(f"COPY {flag}")
