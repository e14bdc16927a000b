"""A query over tables and views of the platform, in no warehouse's words yet.

It is written once, in DuckDB's words and without schemas, and rendered for each warehouse. Its
columns get types, so that what is read out has the same ones whatever warehouse it is read from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import sqlglot
from sqlglot import exp
from sqlglot.dialects.redshift import Redshift

from etl_assets.core.columns import Column
from etl_assets.core.errors import PermanentError
from etl_assets.core.sql import quote_identifier

Dialect = Literal["duckdb", "redshift"]


class PlainRedshift(Redshift):
    """Redshift's words, with a quote in a text doubled: UNLOAD takes its query as a text."""

    class Tokenizer(Redshift.Tokenizer):
        """Knows no escape with a backslash."""

        STRING_ESCAPES: ClassVar = ["'"]


@dataclass(frozen=True)
class Select:
    """A query and the order of its records.

    Attributes:
        sql: One SELECT in DuckDB's words; tables without a schema, parameters as literals.
        order_by: Columns of the result, each with ` desc` where it descends; NULLs come first, or
            last in what descends. Empty: in no order.
    """

    sql: str
    order_by: tuple[str, ...] = ()

    def render(self, dialect: Dialect, schema: str) -> str:
        """Return the query in a warehouse's words, every table in a schema, without an order.

        Raises:
            PermanentError: When it holds a backslash, which Redshift reads in its own way.
        """
        tree = sqlglot.parse_one(self.sql, read="duckdb")
        local = {cte.alias for cte in tree.find_all(exp.CTE)}
        for table in tree.find_all(exp.Table):
            if table.name not in local:
                table.set("db", exp.to_identifier(schema))
        words = PlainRedshift if dialect == "redshift" else dialect
        sql = str(tree.sql(dialect=words, identify=True, comments=False))
        if "\\" in sql:
            raise PermanentError(
                "A query that is read out in bulk holds a backslash.", "Write it without."
            )
        return sql

    def typed(self, dialect: Dialect, schema: str, columns: Sequence[Column]) -> str:
        """Return the query with its columns cast to their types, in order.

        Bytes come out of Redshift as hexadecimal text, since it unloads no VARBYTE to Parquet
        (dg:r_UNLOAD).
        """
        listed = ", ".join(_typed(dialect, column) for column in columns)
        ordered = ", ".join(_ordered(term) for term in self.order_by)
        # The order is of the typed columns, which the outermost query's names stand for.
        return (
            f"SELECT {listed} FROM ({self.render(dialect, schema)}) AS q"
            f"{f' ORDER BY {ordered}' if ordered else ''}"
        )


def _typed(dialect: Dialect, column: Column) -> str:
    name = quote_identifier(column.name)
    if column.type.name == "binary":
        return f"TO_HEX(q.{name}) AS {name}" if dialect == "redshift" else f"q.{name} AS {name}"
    if column.type.is_text:
        return f"q.{name} AS {name}"
    kind = column.type.redshift if dialect == "redshift" else column.type.duckdb
    return f"CAST(q.{name} AS {kind}) AS {name}"


def _ordered(term: str) -> str:
    name, _, descending = term.partition(" ")
    return f"{quote_identifier(name)}{' DESC NULLS LAST' if descending else ' ASC NULLS FIRST'}"
