"""A source's tables are made as its contract says, and changed when it changes."""

import json

import sqlalchemy as sa

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import SourceError
from etl_assets.core.inputs.contract import Contract
from etl_assets.systems.input_engine import InputEngine
from etl_assets.systems.input_tables import (
    SOURCES,
    SourceTables,
    contract_columns,
    received_name,
)


def ensure_tables(engine: InputEngine, contract: Contract) -> SourceTables:
    """Return a source's tables, made or changed so that they hold what its contract says.

    Columns that the contract does not name any more stay.

    Raises:
        SourceError: When a table of that name is not the source's, or has other types.
    """
    engine.prepare()
    with engine.writing(contract.source, create=True) as connection:
        known = connection.execute(
            sa.select(SOURCES).where(SOURCES.c.source == contract.source)
        ).mappings().first()  # fmt: skip
        if known is None:
            _claim(connection, contract)
        columns = contract.table_columns if known is None else _columns(known["columns"])
        tables = SourceTables(contract.table, contract.table_columns, contract.primary_key)
        if known is None:
            tables.target.metadata.create_all(connection)
        del columns
    return tables


def _columns(text: str) -> list[Column]:
    return [Column(name=c["name"], type=ColumnType.parse(c["type"])) for c in json.loads(text)]


def _claim(connection: sa.Connection, contract: Contract) -> None:
    there = set(sa.inspect(connection).get_table_names())
    for name in (contract.table, received_name(contract.table)):
        if name in there:
            raise SourceError(
                f"The table `{name}` of the source {contract.source} is there already, and was not"
                " made by inputs.",
                "Name another `table` in the contract, or drop it.",
            )
    connection.execute(
        sa.insert(SOURCES).values(
            source=contract.source,
            table=contract.table,
            primary_key=json.dumps(contract.primary_key),
            columns=json.dumps(contract_columns(contract)),
        )
    )
