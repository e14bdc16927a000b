"""Every statement that writes to Redshift, as text from quoted identifiers.

What AWS documents about each is cited by its page of the Amazon Redshift developer guide.
`%s` stands for a parameter; no name may hold a percent sign (`RedshiftUrl` and the grammar of
columns see to that).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from etl_assets.core.columns import LOAD_COLUMNS, Column
from etl_assets.core.csv_record import empty_bytes
from etl_assets.core.errors import PermanentError
from etl_assets.core.ledger import SCHEMA
from etl_assets.core.manifest import Stage
from etl_assets.core.sql import column_list, quote_identifier, quote_literal, quote_table

LOAD_TYPES = {"campaign_key": "VARCHAR(64)", "load_id": "VARCHAR(64)", "loaded_at": "TIMESTAMP"}
MAX_COLUMNS = 1_600
_NAMES = {
    "VARCHAR": "character varying",
    "TIMESTAMP": "timestamp without time zone",
    "DOUBLE PRECISION": "double precision",
    "VARBYTE": "binary varying",
}


@dataclass(frozen=True)
class SchemaChange:
    """What a target table lacks.

    Attributes:
        add: Columns to add, with their types.
        widen: VARCHAR columns to widen, with the wider type.
        refused: Sentences for what no ALTER TABLE can do.
        gone: Columns that only the table has; they need no change, and are NULL in new records.
    """

    add: dict[str, str]
    widen: dict[str, str]
    refused: list[str]
    gone: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.add or self.widen or self.refused)

    def __str__(self) -> str:
        added = [f"`{name}` {kind} is new" for name, kind in self.add.items()]
        wider = [f"`{name}` needs {kind}" for name, kind in self.widen.items()]
        return "; ".join([*added, *wider, *self.refused])

    def frozen(self) -> str:
        """Return every difference, of which a frozen table takes none; empty when there is none."""
        gone = [f"`{name}` is not in the records" for name in self.gone]
        return "; ".join([*([str(self)] if self else []), *gone])


def table_types(columns: Sequence[Column]) -> dict[str, str]:
    """Return the columns of a target table with their Redshift types, in order."""
    return {c.name: c.type.redshift for c in columns} | LOAD_TYPES


def create_table(schema: str, stage: Stage) -> str:
    """Return the DDL of a target table, with its distribution and sort keys (r_CREATE_TABLE_NEW).

    Raises:
        PermanentError: When it has more columns than a Redshift table can have.
    """
    types = table_types(stage.columns)
    if len(types) > MAX_COLUMNS:
        raise PermanentError(
            f"{stage.dataset} has {len(types):,} columns with those of the load, and a Redshift"
            f" table can have {MAX_COLUMNS:,}.",
            "Leave columns out with a `select` rule.",
        )
    distribution = (
        f" DISTSTYLE KEY DISTKEY ({quote_identifier(stage.distribution_key)})"
        if stage.distribution_key
        else " DISTSTYLE AUTO"
    )
    sort = f" SORTKEY ({column_list(stage.sort_keys)})" if stage.sort_keys else ""
    target = quote_table(schema, stage.table)
    return f"CREATE TABLE {target} ({_definitions(types)}){distribution}{sort}"


def alter_table(schema: str, table: str, change: SchemaChange) -> list[str]:
    """Return a statement per column: Redshift takes no more at once (r_ALTER_TABLE).

    ALTER COLUMN TYPE must run outside a transaction block.
    """
    head = f"ALTER TABLE {quote_table(schema, table)}"
    added = [f"{head} ADD COLUMN {quote_identifier(n)} {kind}" for n, kind in change.add.items()]
    wider = [
        f"{head} ALTER COLUMN {quote_identifier(n)} TYPE {kind}" for n, kind in change.widen.items()
    ]
    return added + wider


def comment_column(schema: str, table: str, column: str) -> str:
    """Return the COMMENT of a column; its parameter is the text (r_COMMENT)."""
    return f"COMMENT ON COLUMN {quote_table(schema, table)}.{quote_identifier(column)} IS %s"


def staging_table(number: int = 0) -> str:
    """Return the name of a session's staging table; a transaction of several loads has several."""
    return quote_identifier(f"etl_staging_{number}")


def create_staging(columns: Sequence[Column], number: int = 0) -> str:
    """Return the DDL of a staging table of the session: no keys, so it takes the least space."""
    types = {c.name: c.type.redshift for c in columns}
    return f"CREATE TEMP TABLE {staging_table(number)} ({_definitions(types)}) DISTSTYLE EVEN"


def copy_staging(
    columns: Sequence[Column],
    null_token: str,
    manifest: str,
    number: int = 0,
    *,
    iam_role: str,
    region: str | None,
) -> str:
    """Return the COPY of a manifest into the staging table (r_COPY).

    Columns are named; NULL is the token, for an empty field of a VARCHAR is the empty string;
    nothing may fail (MAXERROR 0) and no option that changes values silently is used.
    """
    role = "IAM_ROLE default" if iam_role == "default" else f"IAM_ROLE {quote_literal(iam_role)}"
    return " ".join(
        [
            f"COPY {staging_table(number)} ({column_list(c.name for c in columns)})",
            f"FROM {quote_literal(manifest)} {role}",
            *([f"REGION {quote_literal(region)}"] if region else []),
            f"MANIFEST FORMAT AS CSV NULL AS {quote_literal(null_token)} ZSTD",
            "DATEFORMAT 'auto' TIMEFORMAT 'auto' MAXERROR 0 COMPUPDATE OFF STATUPDATE OFF",
        ]
    )


def unload_query(
    query: str, prefix: str, *, iam_role: str, region: str | None, ordered: bool
) -> str:
    """Return the UNLOAD of a query to Parquet below a prefix that nothing is below yet (r_UNLOAD).

    One slice after the other where the order counts; else all at once, which loses it.
    """
    role = "IAM_ROLE default" if iam_role == "default" else f"IAM_ROLE {quote_literal(iam_role)}"
    return " ".join(
        [
            f"UNLOAD ({quote_literal(query)}) TO {quote_literal(prefix)} {role}",
            "FORMAT AS PARQUET MANIFEST VERBOSE MAXFILESIZE 256 MB",
            f"PARALLEL {'OFF' if ordered else 'ON'}",
            *([f"REGION {quote_literal(region)}"] if region else []),
        ]
    )


def delete_slice(schema: str, table: str) -> str:
    """Return the DELETE of a campaign's records; its parameter is the key."""
    return f"DELETE FROM {quote_table(schema, table)} WHERE campaign_key = %s"


def insert_slice(schema: str, stage: Stage, number: int = 0) -> str:
    """Return the INSERT of the staged records; its parameters are the three load columns."""
    names = column_list(c.name for c in stage.columns)
    loaded = column_list(LOAD_COLUMNS)
    values = ", ".join(staged_value(c, stage.null_token) for c in stage.columns)
    return (
        f"INSERT INTO {quote_table(schema, stage.table)} ({names}, {loaded})"
        f" SELECT {values}, %s, %s, %s FROM {staging_table(number)}"
    )


def staged_value(column: Column, null_token: str) -> str:
    """Return a staged value; what stands for bytes of length 0 becomes them (r_VARBYTE_type)."""
    name = quote_identifier(column.name)
    if column.type.name != "binary":
        return name
    empty = f"FROM_HEX({quote_literal(empty_bytes(null_token))})"
    return f"CASE WHEN {name} = {empty} THEN SUBSTRING({name}, 1, 0) ELSE {name} END"


def create_mutex(table: str) -> str:
    """Return the DDL of the table that publishers of a target lock.

    Locking the target itself would make readers wait (r_LOCK).
    """
    return f"CREATE TABLE IF NOT EXISTS {_mutex(table)} (held BOOLEAN)"


def lock_mutexes(tables: Collection[str]) -> str:
    """Return the LOCK that comes first in every transaction that writes target tables.

    Always in the same sequence, so that nobody waits in a circle.
    """
    return f"LOCK {', '.join(_mutex(table) for table in sorted(tables))}"


def mutex_name(table: str) -> str:
    """Return the name of a target's mutex, in the ledger's schema."""
    return f"publish_mutex_{table}"


def schema_change(wanted: Mapping[str, str], existing: Mapping[str, str]) -> SchemaChange:
    """Return what a table with `existing` types lacks to take records of `wanted` types.

    Existing types are as `canonical_type` writes them. A column that is no longer wanted
    stays, and is NULL in new records; a frozen table does not take that either.
    """
    add: dict[str, str] = {}
    widen: dict[str, str] = {}
    refused: list[str] = []
    for name, kind in wanted.items():
        have, need = existing.get(name), canonical_type(kind)
        if have is None:
            add[name] = kind
        elif have != need:
            old, new = _varchar_length(have), _varchar_length(need)
            if old is None or new is None:
                refused.append(f"the type of `{name}` would change from {have} to {need}")
            elif new > old:
                widen[name] = kind
    gone = [name for name in existing if name not in wanted]
    return SchemaChange(add, widen, refused, gone)


def canonical_type(kind: str) -> str:
    """Return a Redshift type as the catalog names it, such as `character varying(40)`."""
    name, bracket, arguments = kind.upper().partition("(")
    name = name.strip()
    return _NAMES.get(name, name.lower()) + (bracket + arguments).replace(" ", "")


def _definitions(types: Mapping[str, str]) -> str:
    return ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in types.items())


def _mutex(table: str) -> str:
    return quote_table(SCHEMA, mutex_name(table))


def _varchar_length(kind: str) -> int | None:
    match = re.fullmatch(r"character varying\((\d+)\)", kind)
    return int(match[1]) if match else None
