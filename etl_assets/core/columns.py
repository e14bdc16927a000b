"""Column types: one table from our type to Parquet, DuckDB, Redshift and SQLite.

A type is written as in SQL: `bigint`, `decimal(12,2)`, `varchar(40)`. Everything
that needs to know a type, from the extract's Parquet to the target's DDL, asks here.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

if TYPE_CHECKING:
    import pyarrow as pa

RESERVED_PREFIX = "__etl_"
"""Column names that start so belong to the platform while rules run."""

LOAD_COLUMNS = ("campaign_key", "load_id", "loaded_at")
"""What the load adds to every record of a target table."""

MAX_TEXT_BYTES = 65535
"""Redshift's VARCHAR holds so many; a dataset means the same in every warehouse."""

MAX_DECIMAL_PRECISION = 38
"""Redshift's and DuckDB's DECIMAL hold 38 digits at most."""

MAX_DECIMAL_SCALE = 37
"""Redshift's holds so many after the point."""


@dataclass(frozen=True)
class _Row:
    """One line of the type table. `{p}`, `{s}` and `{n}` stand for the type's arguments."""

    arrow: str
    duckdb: str
    redshift: str
    csv: str  # how a value is written in a staged part
    arguments: int
    sqlite: str  # pattern of the declared types in SQLite that mean this type


TYPES: dict[str, _Row] = {
    "boolean": _Row("bool", "BOOLEAN", "BOOLEAN", "true, false", 0, r"BOOL(EAN)?"),
    "smallint": _Row("int16", "SMALLINT", "SMALLINT", "digits", 0, r"SMALLINT|INT2|TINYINT"),
    "integer": _Row("int32", "INTEGER", "INTEGER", "digits", 0, r"MEDIUMINT|INT4"),
    "bigint": _Row("int64", "BIGINT", "BIGINT", "digits", 0, r"BIGINT|INT8|INT(EGER)?"),
    "decimal": _Row(
        "decimal128", "DECIMAL({p},{s})", "NUMERIC({p},{s})", "digits, point, {s} digits", 2,
        r"(DECIMAL|NUMERIC|DECIMAL_TEXT)\(\d+,\s*\d+\)",
    ),
    "real": _Row("float32", "FLOAT", "REAL", "shortest that reads back the same", 0, r"FLOAT4"),
    "double": _Row(
        "float64", "DOUBLE", "DOUBLE PRECISION", "shortest that reads back the same", 0,
        r"REAL|DOUBLE( PRECISION)?|FLOAT",
    ),
    "varchar": _Row("string", "VARCHAR", "VARCHAR({n4})", "as it is", 1, r"(VAR)?CHAR\(\d+\)"),
    "text": _Row("string", "VARCHAR", "VARCHAR(65535)", "as it is", 0, r"TEXT|CLOB"),
    "binary": _Row("binary", "BLOB", "VARBYTE(65535)", "hexadecimal", 0, r"(?!)"),
    "date": _Row("date32", "DATE", "DATE", "YYYY-MM-DD", 0, r"DATE"),
    "timestamp": _Row(
        "timestamp[us]", "TIMESTAMP", "TIMESTAMP", "YYYY-MM-DD hh:mm:ss[.ffffff]", 0,
        r"TIMESTAMP|DATETIME",
    ),
}  # fmt: skip
"""The type table. VARCHAR(n) counts characters; in Redshift it counts bytes, at most 4 each."""

_PATTERN = re.compile(r"\s*([a-z]+)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*")


@dataclass(frozen=True)
class ColumnType:
    """A type of the table with its arguments.

    Attributes:
        name: A key of `TYPES`.
        precision: Digits of a decimal, or characters of a varchar; 0 otherwise.
        scale: Digits after a decimal's point; 0 otherwise.
    """

    name: str
    precision: int = 0
    scale: int = 0

    @classmethod
    def parse(cls, text: str) -> "ColumnType":
        """Return the type that `text` names.

        Raises:
            ValueError: When it names none, with the types there are.
        """
        match = _PATTERN.fullmatch(text.lower())
        row = TYPES.get(match[1]) if match else None
        if match is None or row is None:
            raise ValueError(f"{text!r} is not a column type; types are {', '.join(TYPES)}")
        arguments = [int(a) for a in match.groups()[1:] if a is not None]
        if len(arguments) != row.arguments:
            raise ValueError(f"{match[1]} takes {row.arguments} argument(s), {text!r} has other")
        made = cls(match[1], *arguments)
        if made.name == "decimal" and not (
            0 < made.precision <= MAX_DECIMAL_PRECISION
            and made.scale <= min(made.precision, MAX_DECIMAL_SCALE)
        ):
            raise ValueError(
                f"{text!r}: precision is 1 to 38, scale at most 37 and at most the precision"
            )
        if made.name == "varchar" and made.precision < 1:
            raise ValueError(f"{text!r}: a varchar holds at least one character")
        return made

    @classmethod
    def from_sqlite(cls, declared: str) -> "ColumnType | None":
        """Return the type SQLite's declared type stands for, or None when it stands for none."""
        wanted = " ".join(declared.upper().split())
        for name, row in TYPES.items():
            if re.fullmatch(row.sqlite, wanted):
                try:
                    return cls.parse(name + "".join(wanted.partition("(")[1:]))
                except ValueError:  # DECIMAL(60,2) has a meaning in SQLite, but not here
                    return None
        return None

    def __str__(self) -> str:
        arguments = (self.precision, self.scale)[: TYPES[self.name].arguments]
        return self.name + (f"({','.join(map(str, arguments))})" if arguments else "")

    @property
    def duckdb(self) -> str:
        """The type in DuckDB."""
        return TYPES[self.name].duckdb.format(p=self.precision, s=self.scale)

    @property
    def redshift(self) -> str:
        """The type in Redshift."""
        row = TYPES[self.name]
        return row.redshift.format(
            p=self.precision, s=self.scale, n4=min(4 * self.precision, 65535)
        )

    @property
    def is_text(self) -> bool:
        """Whether values are character strings."""
        return self.name in ("varchar", "text")

    @property
    def family(self) -> str:
        """What values can be compared with: `text`, `number`, or a type's own name."""
        if self.is_text:
            return "text"
        numbers = self.is_integer or self.name in ("decimal", "real", "double")
        return "number" if numbers else self.name

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers."""
        return self.name in ("smallint", "integer", "bigint")

    def arrow(self) -> "pa.DataType":
        """Return the Arrow type, which is also the Parquet type."""
        import pyarrow as pa

        if self.name == "decimal":
            return pa.decimal128(self.precision, self.scale)
        return pa.type_for_alias(TYPES[self.name].arrow)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Let pydantic read and write the type as its text."""
        del source, handler

        def read(value: "str | ColumnType") -> ColumnType:
            return value if isinstance(value, cls) else cls.parse(str(value))

        return core_schema.no_info_plain_validator_function(
            read, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Tell editors how types are written, in any case."""
        del schema, handler
        plain = [name for name, row in TYPES.items() if not row.arguments]
        forms = [
            "".join(f"[{c.upper()}{c}]" for c in name)
            + (r"\s*\(\s*" + r"\s*,\s*".join([r"\d+"] * row.arguments) + r"\s*\)")
            * bool(row.arguments)
            for name, row in TYPES.items()
        ]
        pattern = {"type": "string", "pattern": rf"^\s*({'|'.join(forms)})\s*$"}
        return {"anyOf": [{"enum": plain}, pattern]}


ColumnName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
"""Lower case, so that no warehouse folds two names into one; short enough for all of them."""


class Column(BaseModel):
    """A column: its name, its type, and what it means.

    Attributes:
        name: Unique within its dataset; lower case.
        type: Written as in SQL, such as `decimal(12,2)`.
        comment: What a reader of the table should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ColumnName
    type: ColumnType
    comment: str = ""
