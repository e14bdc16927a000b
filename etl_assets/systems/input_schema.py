"""A source's tables are made as its contract says, and follow it when it changes.

What they look like is kept in `etl_assets_input_sources`, written before they are made: a process
that is killed in between leaves what the next one completes.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import SourceError
from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.storage import is_text_in_sqlite, is_wider
from etl_assets.systems.input_engine import InputEngine
from etl_assets.systems.input_tables import SOURCES, Declared, SourceTables, received_name

_DROP = "Name another `table` in the contract; the other one stays as it is."


def ensure_tables(engine: InputEngine, contract: Contract) -> SourceTables:
    """Return a source's tables, made or changed so that they hold what its contract says.

    A column that is new is added; one whose type holds more is widened; one that the contract
    does not name any more stays, and is null for later files.

    Raises:
        SourceError: When a table of that name is not the source's, a type holds less than it
            did, or the primary key is another; nothing was changed.
    """
    engine.prepare()
    with engine.writing(contract.source) as connection:
        wanted = sa.select(SOURCES).where(SOURCES.c.source == contract.source)
        known = connection.execute(wanted).mappings().first()
        if known is None or not _are_made(connection, known["table"]):
            _refuse_foreign(connection, contract)
            columns: Sequence[Column] = contract.table_columns
            _remember(connection, contract, columns, is_new=known is None)
        else:
            _refuse_change(contract, known["table"], json.loads(known["primary_key"]))
            before = _columns(known["columns"])
            columns = _merged(contract, before)
            if [(c.name, c.type) for c in columns] != [(c.name, c.type) for c in before]:
                tables = SourceTables(contract.table, columns, contract.primary_key)
                _alter(connection, tables, before, engine.dialect)
                _remember(connection, contract, columns, is_new=False)
        tables = SourceTables(contract.table, columns, contract.primary_key)
        tables.target.metadata.create_all(connection)
    return tables


def _are_made(connection: sa.Connection, table: str) -> bool:
    """Return whether one of a source's tables is there; the database may have refused both."""
    inspector = sa.inspect(connection)
    return any(inspector.has_table(name) for name in (table, received_name(table)))


def _columns(text: str) -> list[Column]:
    return [Column(name=c["name"], type=ColumnType.parse(c["type"])) for c in json.loads(text)]


def _remember(
    connection: sa.Connection, contract: Contract, columns: Sequence[Column], *, is_new: bool
) -> None:
    """Write what the tables look like; they are made or completed after this is kept."""
    values = {
        "table": contract.table,
        "primary_key": json.dumps(contract.primary_key),
        "columns": json.dumps([{"name": c.name, "type": str(c.type)} for c in columns]),
    }
    if is_new:
        connection.execute(sa.insert(SOURCES).values(source=contract.source, **values))
    else:
        mine = SOURCES.c.source == contract.source
        connection.execute(sa.update(SOURCES).where(mine).values(**values))


def _refuse_foreign(connection: sa.Connection, contract: Contract) -> None:
    there = {name.lower() for name in sa.inspect(connection).get_table_names()}
    for name in (contract.table, received_name(contract.table)):
        if name in there:
            raise SourceError(
                f"The table `{name}` is there already, and was not made for the source"
                f" {contract.source}.",
                _DROP,
            )


def _refuse_change(contract: Contract, table: str, key: Sequence[str]) -> None:
    if contract.table != table:
        raise SourceError(
            f"The source {contract.source} has the table `{table}`; its contract now says"
            f" `{contract.table}`.",
            "Write the former name, or give the contract another `source`.",
        )
    if list(contract.primary_key) != list(key):
        raise SourceError(
            f"The table `{table}` has the primary key {', '.join(key)}; the contract of"
            f" {contract.source} now says {', '.join(contract.primary_key)}.",
            "Write the former key, or a contract with another `source` and `table`.",
        )


def _merged(contract: Contract, before: Sequence[Column]) -> list[Column]:
    """Return the table's columns with what a contract adds or widens."""
    wanted = {column.name: column for column in contract.table_columns}
    for column in before:
        new = wanted.get(column.name, column)
        if not is_wider(new.type, column.type):
            raise SourceError(
                f"The column `{column.name}` of `{contract.table}` is {column.type}, and"
                f" {new.type} would not hold every value of it.",
                "Write the former type or a wider one, or give the column another name.",
            )
    names = [column.name for column in before]
    kept = [wanted.get(column.name, column) for column in before]
    return [*kept, *(column for name, column in wanted.items() if name not in names)]


def _alter(
    connection: sa.Connection, tables: SourceTables, before: Sequence[Column], dialect: str
) -> None:
    """Add and widen columns of both tables; what is done already stays as it is."""
    old = {column.name: column for column in before}
    for table in (tables.target, tables.received):
        if not sa.inspect(connection).has_table(table.name):
            continue
        there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
        for name in tables.values:
            if name not in there:
                _run(connection, table, "ADD COLUMN", name)
        widened = [
            c.name
            for c in tables.columns
            if c.name in there and (c.name not in old or c.type != old[c.name].type)
        ]
        if widened and dialect == "sqlite":
            _rebuild(connection, table)
        for name in widened if dialect == "mysql" else ():
            _run(connection, table, "MODIFY COLUMN", name)


def _run(connection: sa.Connection, table: sa.Table, verb: str, name: str) -> None:
    dialect = connection.dialect
    ddl = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]
    column = ddl.get_column_specification(table.c[name])
    preparer = dialect.identifier_preparer
    connection.exec_driver_sql(f"ALTER TABLE {preparer.format_table(table)} {verb} {column}")


def _decimal_text(value: object, scale: int) -> str | None:
    """Return a decimal as SQLite keeps it in a column that holds more digits than a double."""
    return None if value is None else f"{Decimal(str(value)):.{scale}f}"


def _rebuild(connection: sa.Connection, table: sa.Table) -> None:
    """Give an SQLite table new types: SQLite can only copy it, and here in one transaction."""
    quote = connection.dialect.identifier_preparer.quote
    indexes = connection.execute(
        sa.text("SELECT sql FROM sqlite_schema WHERE tbl_name = :t AND type != 'table'"
                " AND sql IS NOT NULL"),
        {"t": table.name},
    ).scalars().all()  # fmt: skip
    made = table.to_metadata(sa.MetaData(), name=f"{table.name}__new")
    made.indexes.clear()
    made.create(connection)
    driver: Any = connection.connection.driver_connection
    driver.create_function("etl_decimal_text", 2, _decimal_text, deterministic=True)
    names = [column.name for column in table.columns]
    values = [
        sa.func.etl_decimal_text(column, column.type.kind.scale)
        if isinstance(column.type, Declared) and is_text_in_sqlite(column.type.kind)
        else column
        for column in table.columns
    ]
    connection.execute(sa.insert(made).from_select(names, sa.select(*values)))
    table.drop(connection)
    connection.exec_driver_sql(f"ALTER TABLE {quote(made.name)} RENAME TO {quote(table.name)}")
    for sql in indexes:
        connection.exec_driver_sql(sql)
