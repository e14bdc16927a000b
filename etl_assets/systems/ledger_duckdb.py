"""The ledger of the embedded warehouse: a row per load or prune, written in its transaction."""

import duckdb

from etl_assets.core.manifest import Load
from etl_assets.core.sql import column_list, quote_table

LEDGER = quote_table("etl_assets", "loads")


def create_ledger(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the ledger unless it is there."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS etl_assets")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {LEDGER} (load_id VARCHAR NOT NULL, kind VARCHAR NOT NULL,"
        ' dataset VARCHAR NOT NULL, "table" VARCHAR NOT NULL, campaign_key VARCHAR NOT NULL,'
        " records BIGINT NOT NULL, replaced_records BIGINT NOT NULL, source_records BIGINT NOT NULL,"
        " filtered BIGINT NOT NULL, rejected BIGINT NOT NULL, rule_version INTEGER NOT NULL,"
        " rules_digest VARCHAR NOT NULL, inputs_digest VARCHAR NOT NULL, extract_id VARCHAR,"
        " stage VARCHAR, run_id VARCHAR, proof VARCHAR NOT NULL, started_at TIMESTAMPTZ NOT NULL,"
        " committed_at TIMESTAMPTZ NOT NULL)"
    )


def ledger_rows(
    connection: duckdb.DuckDBPyConnection, tail: str, parameters: list[object]
) -> list[Load]:
    """Return rows of the ledger; `tail` is what follows the table's name."""
    names = list(Load.model_fields)
    rows = connection.execute(f"SELECT {column_list(names)} FROM {LEDGER} {tail}", parameters)
    return [Load(**dict(zip(names, row, strict=True))) for row in rows.fetchall()]


def write_ledger(connection: duckdb.DuckDBPyConnection, load: Load) -> None:
    """Add a row to the ledger."""
    row = load.model_dump()
    marks = ", ".join("?" for _ in row)
    connection.execute(
        f"INSERT INTO {LEDGER} ({column_list(row)}) VALUES ({marks})", list(row.values())
    )
