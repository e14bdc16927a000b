"""The fingerprint of what rules made."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import Group, groups_of
from etl_assets.core.rules.compile import CompiledRules
from etl_assets.core.sql import quote_literal
from etl_assets.rules.engine import Connection
from etl_assets.systems.fingerprint_duckdb import fingerprint_of


def print_records(
    connection: Connection,
    compiled: CompiledRules,
    parquet: Sequence[Path],
    as_read: Collection[str],
    groups: Iterable[Group],
) -> Fingerprint:
    """Return the fingerprint of the records to load.

    That of columns which are as they were read is computed of the extract itself: so the table is
    compared with what was read, past the rules, and in less time.

    Args:
        connection: Where the rules ran.
        compiled: The rules.
        parquet: The extract's files.
        as_read: Columns that no rule sets, when all records are there.
        groups: Columns that the fingerprint is to have together.

    Raises:
        duckdb.Error: When a file cannot be read.
    """
    same = set(as_read) if parquet else set()
    direct = [c for c in compiled.columns if c.name in same]
    others = [c for c in compiled.columns if c.name not in same]
    files = ", ".join(quote_literal(str(path)) for path in parquet)
    relations = {
        f"read_parquet([{files}])": direct,
        f"({compiled.last.records()}) r": others,
    }
    prints = [
        fingerprint_of(connection, columns, groups_of(columns, groups), relation)
        for relation, columns in relations.items()
        if columns
    ]
    return Fingerprint(
        records=prints[0].records,
        columns=tuple(column for found in prints for column in found.columns),
        groups=tuple(group for found in prints for group in found.groups),
    )
