"""Every statement the Redshift warehouse runs, as text from quoted identifiers.

What AWS documents about each is cited by its page of the Amazon Redshift developer guide.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_assets.core.columns import LOAD_COLUMNS, Column
from etl_assets.core.ledger import SCHEMA
from etl_assets.core.manifest import Stage
from etl_assets.core.sql import column_list, quote_identifier, quote_literal, quote_table

LOAD_TYPES = {"campaign_key": "VARCHAR(64)", "load_id": "VARCHAR(64)", "loaded_at": "TIMESTAMP"}
STAGING_TABLE = quote_identifier("etl_staging")
_MAX_COLUMNS = 1_600
_NAMES = {
    "VARCHAR": "character varying",
    "TIMESTAMP": "timestamp without time zone",
    "DOUBLE PRECISION": "double precision",
}


@dataclass(frozen=True)
class SchemaChange:
    """What a target table lacks.

    Attributes:
        add: Columns to add, with their types.
        widen: VARCHAR columns to widen, with the wider type.
        refused: Sentences for what no ALTER TABLE can do.
    """

    add: dict[str, str]
    widen: dict[str, str]
    refused: list[str]

    def __bool__(self) -> bool:
        return bool(self.add or self.widen or self.refused)

    def __str__(self) -> str:
        added = [f"`{name}` {kind} is new" for name, kind in self.add.items()]
        wider = [f"`{name}` needs {kind}" for name, kind in self.widen.items()]
        return "; ".join([*added, *wider, *self.refused])


def table_types(columns: Sequence[Column]) -> dict[str, str]:
    """Return the columns of a target table with their Redshift types, in order."""
    return {c.name: c.type.redshift for c in columns} | LOAD_TYPES


def create_table(schema: str, stage: Stage) -> str:
    """Return the DDL of a target table, with its distribution and sort keys (r_CREATE_TABLE_NEW).

    Raises:
        ValueError: When it has more columns than a Redshift table can have.
    """
    types = table_types(stage.columns)
    if len(types) > _MAX_COLUMNS:
        raise ValueError(f"{len(types)} columns are more than the {_MAX_COLUMNS} a table can have")
    listed = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in types.items())
    distribution = (
        f" DISTSTYLE KEY DISTKEY ({quote_identifier(stage.distribution_key)})"
        if stage.distribution_key
        else " DISTSTYLE AUTO"
    )
    sort = f" SORTKEY ({column_list(stage.sort_keys)})" if stage.sort_keys else ""
    return f"CREATE TABLE {quote_table(schema, stage.table)} ({listed}){distribution}{sort}"


def create_staging(columns: Sequence[Column]) -> str:
    """Return the DDL of the session's staging table: no keys, so it takes the least space."""
    listed = ", ".join(f"{quote_identifier(c.name)} {c.type.redshift}" for c in columns)
    return f"CREATE TEMP TABLE {STAGING_TABLE} ({listed}) DISTSTYLE EVEN"


def copy_staging(stage: Stage, manifest: str, *, iam_role: str, region: str | None) -> str:
    """Return the COPY of a manifest into the staging table (r_COPY).

    Columns are named; NULL is the stage's token, for an empty field of a VARCHAR is the empty
    string; nothing may fail (MAXERROR 0) and no option that changes values silently is used.
    """
    role = "IAM_ROLE default" if iam_role == "default" else f"IAM_ROLE {quote_literal(iam_role)}"
    return " ".join(
        [
            f"COPY {STAGING_TABLE} ({column_list(c.name for c in stage.columns)})",
            f"FROM {quote_literal(manifest)} {role}",
            *([f"REGION {quote_literal(region)}"] if region else []),
            f"MANIFEST FORMAT AS CSV NULL AS {quote_literal(stage.null_token)} ZSTD",
            "DATEFORMAT 'auto' TIMEFORMAT 'auto' MAXERROR 0 COMPUPDATE OFF STATUPDATE OFF",
        ]
    )


def insert_slice(schema: str, stage: Stage) -> str:
    """Return the INSERT of the staged records; its parameters are the three load columns."""
    names = column_list(c.name for c in stage.columns)
    loaded = column_list(LOAD_COLUMNS)
    return (
        f"INSERT INTO {quote_table(schema, stage.table)} ({names}, {loaded})"
        f" SELECT {names}, %s, %s, %s FROM {STAGING_TABLE}"
    )


def mutex_table(table: str) -> str:
    """Return the name of the table that publishers of a target lock.

    Locking the target itself would make readers wait (r_LOCK).
    """
    return quote_table(SCHEMA, f"publish_mutex_{table}")


def schema_change(wanted: Mapping[str, str], existing: Mapping[str, str]) -> SchemaChange:
    """Return what a table with `existing` types lacks to take records of `wanted` types.

    Types are compared as `canonical_type` writes them. A column that is no longer wanted
    stays, and is NULL in new records.
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
                refused.append(f"`{name}` is {have} and would be {need}")
            elif new > old:
                widen[name] = kind
    return SchemaChange(add, widen, refused)


def canonical_type(kind: str) -> str:
    """Return a Redshift type as the catalog names it, such as `character varying(40)`."""
    match = re.fullmatch(r"([A-Z ]+?)\s*(\(.+\))?", kind.upper())
    if match is None:
        return kind.lower()
    name, arguments = match.groups()
    return _NAMES.get(name, name.lower()) + (arguments or "").replace(" ", "")


def _varchar_length(kind: str) -> int | None:
    match = re.fullmatch(r"character varying\((\d+)\)", kind)
    return int(match[1]) if match else None
