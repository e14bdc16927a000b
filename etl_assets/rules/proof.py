"""Fingerprints of Parquet files, by the engine that rules run in."""

from collections.abc import Sequence
from pathlib import Path

from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.sql import quote_identifier, quote_literal
from etl_assets.rules.engine import engine
from etl_assets.systems.fingerprint_duckdb import fingerprint_of


def fingerprint_of_parquet(columns: Sequence[Column], files: Sequence[Path]) -> Fingerprint:
    """Return the fingerprint of the records of Parquet files; no files hold no records.

    Raises:
        duckdb.Error: When a file cannot be read, or lacks a column.
    """
    none = ", ".join(
        f"CAST(NULL AS {c.type.duckdb}) AS {quote_identifier(c.name)}" for c in columns
    )
    paths = ", ".join(quote_literal(str(path)) for path in files)
    relation = f"read_parquet([{paths}])" if files else f"(SELECT {none or 'NULL'} LIMIT 0) AS none"
    with engine() as connection:
        return fingerprint_of(connection, columns, relation)
