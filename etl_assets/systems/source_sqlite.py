"""The embedded source: an SQLite file, opened read-only.

SQLite gives values, not types: a column declared INTEGER may hold text. So each value is
held to the column's type, and one that does not fit stops the extract with its place.
"""

import contextlib
import datetime as dt
import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
import sqlglot
from pydantic import ValidationError
from sqlglot import exp

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, SourceError, TransientError
from etl_assets.core.failure_classes import meaning_of
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import Group, groups_of
from etl_assets.core.fingerprint_sql import Cell, Query, fingerprint
from etl_assets.core.sql import quote_identifier
from etl_assets.systems.fingerprint_sqlite import PLANNER, with_aggregates
from etl_assets.systems.protocols import Check, Outcome

CELLS_PER_BATCH = 250_000
"""Bounds memory: a batch of 250,000 Python values is about 20 MB."""

_DOUBLE_DIGITS = 15
"""Decimals of so many digits survive the way through a double and back."""

_PRIMARY = 0xFF
"""The part of an SQLite code that says what kind it is; the rest says which of its kind."""

_TOO_FINE = re.compile(r"\.[0-9]{6}[0-9]*[1-9]")

_MISFIT = (pa.ArrowException, ValueError, TypeError, OverflowError, InvalidOperation)
"""What `to_array` raises for a value that is not of the type."""


class SqliteSource:
    """An SQLite database file as a source; it is opened per snapshot.

    Args:
        url: Of the file.
        patience_seconds: How long to wait while another process writes it.
    """

    def __init__(self, url: sa.URL, *, patience_seconds: float = 30.0) -> None:
        self.path = Path(url.database or "")
        self._patience_seconds = patience_seconds

    @contextlib.contextmanager
    def snapshot(self, dataset: Dataset, bindings: dict[str, Scalar]) -> Iterator["SqliteSnapshot"]:
        """Open a read transaction on the file; see `Source.snapshot`."""
        with self._connect() as connection:
            connection.exec_driver_sql("BEGIN")
            with SqliteMoment(connection).snapshot(dataset, bindings) as opened:
                yield opened

    @contextlib.contextmanager
    def moment(self) -> Iterator["SqliteMoment"]:
        """Open a read transaction on the file; see `Source.moment`."""
        with self._connect() as connection:
            with _explained("The source cannot be read"):
                connection.exec_driver_sql("BEGIN")
                # The transaction sees the file as it is at its first read.
                connection.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1")
            yield SqliteMoment(connection)

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        if not self.path.is_file():
            raise SourceError(
                f"The source database {self.path} is not there.",
                "Set ETL_ASSETS_SOURCE, or make the sample with `etl-assets demo --no-refresh`.",
            )
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        engine = sa.create_engine(
            "sqlite://",
            creator=lambda: with_aggregates(
                sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._patience_seconds)
            ),
            poolclass=sa.NullPool,
        )
        with engine.connect() as connection:
            yield connection

    def check(self) -> list[Check]:
        """Return whether the file is a database that can be read."""
        try:
            with self._connect() as connection:
                version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
                tables = sa.inspect(connection).get_table_names()
        except (PermanentError, sa.exc.SQLAlchemyError) as error:
            remedy = error.remedy if isinstance(error, PermanentError) else "Check the file."
            return [Check("readable", ok=False, detail=_first_line(error), remedy=remedy)]
        detail = f"SQLite {version}, {len(tables)} tables, {self.path}"
        return [
            Check("readable", ok=bool(tables), detail=detail, remedy="The database has no tables.")
        ]


class SqliteMoment:
    """One read transaction; see `Moment`."""

    def __init__(self, connection: sa.Connection) -> None:
        """Use a connection whose transaction has begun."""
        self._connection = connection

    @contextlib.contextmanager
    def snapshot(self, dataset: Dataset, bindings: dict[str, Scalar]) -> Iterator["SqliteSnapshot"]:
        """Begin a query; see `Moment.snapshot`."""
        with _explained(
            f"The query of {dataset.name} failed for campaign {bindings['campaign_key']}"
        ):
            yield SqliteSnapshot(self._connection, dataset, bindings)


class SqliteSnapshot:
    """A dataset query in one read transaction; see `SourceSnapshot`.

    Attributes:
        columns: The query's columns, with the types the document says or the tables declare.
    """

    def __init__(
        self, connection: sa.Connection, dataset: Dataset, bindings: dict[str, Scalar]
    ) -> None:
        """Find the query's columns; no record is read."""
        self._connection = connection
        self._dataset = dataset
        self._campaign_key = bindings["campaign_key"]
        self._bindings = {k: v for k, v in bindings.items() if k in dataset.query_parameters}
        self._statement = sqlglot.transpile(dataset.query, read="mysql", write="sqlite")[0]
        self.columns = self._find_columns()

    def _find_columns(self) -> tuple[Column, ...]:
        """Ask SQLite for the columns of the query, as those of a temporary view.

        A view cannot hold parameters: NULL stands in for them, which changes no type.
        """
        tree = sqlglot.parse_one(self._statement, read="sqlite")
        unbound = tree.transform(
            lambda node: exp.null() if isinstance(node, exp.Placeholder) else node
        )
        self._connection.exec_driver_sql(f"CREATE TEMP VIEW etl_types AS {unbound.sql('sqlite')}")
        described = self._connection.exec_driver_sql("PRAGMA temp.table_info(etl_types)").all()
        self._connection.exec_driver_sql("DROP VIEW temp.etl_types")
        columns = []
        for row in described:
            spec = self._dataset.columns.get(row.name)
            made = (spec.type if spec else None) or ColumnType.from_sqlite(row.type)
            if made is None:
                raise SourceError(
                    f"The query of {self._dataset.name} gives a column `{row.name}` whose type"
                    f" SQLite does not know ({row.type or 'none declared'}).",
                    f"Say it in the dataset's document: columns: {{{row.name}: {{type: …}}}}.",
                )
            columns.append(_column(self._dataset, row.name, made))
        return tuple(self._dataset.describe(columns))

    def outcome(self) -> Outcome:
        """Return nothing: SQLite holds none of what the policies are for."""
        return Outcome()

    def fingerprint(self, names: Collection[str], groups: Collection[Group] = ()) -> Fingerprint:
        """Return the fingerprint of columns; see `SourceSnapshot.fingerprint`."""
        cells = [Cell(c, quote_identifier(c.name)) for c in self.columns if c.name in names]
        source = f"({self._statement}) AS q"

        def run(query: Query) -> Sequence[object]:
            return self._connection.exec_driver_sql(query.over(source), self._bindings).one()

        return fingerprint(cells, groups or groups_of(c.column for c in cells), PLANNER, run)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield typed batches; see `SourceSnapshot.batches`."""
        size = max(1_000, CELLS_PER_BATCH // len(self.columns))
        schema = pa.schema([(c.name, c.type.arrow()) for c in self.columns])
        result = self._connection.execution_options(stream_results=True).exec_driver_sql(
            self._statement, self._bindings
        )
        cursor: Any = result.cursor  # plain tuples: SQLAlchemy's rows cost twice the time
        while rows := cursor.fetchmany(size):
            values = list(zip(*rows, strict=True))
            arrays = [self._array(c, values[i], rows) for i, c in enumerate(self.columns)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _array(
        self, column: Column, values: Sequence[Any], rows: Sequence[Sequence[Any]]
    ) -> pa.Array:
        try:
            return to_array(values, column.type)
        except _MISFIT:
            for value, row in zip(values, rows, strict=True):
                try:
                    to_array([value], column.type)
                except _MISFIT:
                    raise SourceError(
                        f"The source has {value!r} in `{column.name}`, which is {column.type},"
                        f" in the record {self._record(row)} of campaign"
                        f" {self._campaign_key}.",
                        "Correct it at the source, or declare the column as text and cast it"
                        " with a rule that rejects what does not fit.",
                    ) from None
            raise

    def _record(self, row: Sequence[Any]) -> str:
        names = [c.name for c in self.columns]
        keys = [k for k in self._dataset.primary_key if k in names]
        return ", ".join(f"{k}={row[names.index(k)]}" for k in keys)


def _column(dataset: Dataset, name: str, kind: ColumnType) -> Column:
    try:
        return Column(name=name, type=kind)
    except ValidationError:
        raise SourceError(
            f"The query of {dataset.name} gives a column the name `{name}`, which is not one of"
            " lower case letters, digits and `_`, or is there twice.",
            "Name it in the query: … AS a_name.",
        ) from None


def to_array(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    """Return SQLite's values as an Arrow array of a column type, exactly or not at all.

    Raises:
        ValueError: Or an Arrow exception, when a value is not of the type.
    """
    arrow = kind.arrow()
    if kind.name == "decimal":
        return _decimals(values, kind)
    if kind.name == "boolean":
        if any(v not in (0, 1, None) for v in values):
            raise ValueError("not a boolean")
        return pa.array([None if v is None else bool(v) for v in values], arrow)
    if kind.name in ("date", "timestamp"):
        return _moments(values, kind)
    if kind.is_integer and any(isinstance(v, float) for v in values):
        raise ValueError("not an integer")
    if kind.is_text and any(not isinstance(v, str | None) for v in values):
        raise TypeError("not text")
    array = pa.array(values, arrow)
    if kind.name == "varchar" and (pc.max(pc.utf8_length(array)).as_py() or 0) > kind.precision:
        raise ValueError("too long")
    return array


def _moments(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    """Return dates or timestamps of ISO texts."""
    if any(not isinstance(v, str | None) for v in values):
        raise TypeError("not a date's text")
    try:
        return pa.array(values, pa.string()).cast(kind.arrow())
    except pa.ArrowException:  # a form that Arrow does not read, such as "…T…" without seconds
        if any(v is not None and _TOO_FINE.search(v) for v in values):
            raise ValueError("finer than microseconds") from None
        read = dt.date.fromisoformat if kind.name == "date" else dt.datetime.fromisoformat
        return pa.array([None if v is None else read(v) for v in values], kind.arrow())


def _decimals(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    """Return decimals. SQLite stores them as REAL: the decimal nearest to that is meant.

    It is taken when it gives the same REAL back, so 0.1 is 0.1 and 0.125 is no decimal(_,2).
    """
    arrow = kind.arrow()
    numbers = all(isinstance(v, float | int | None) for v in values)
    if numbers and kind.precision <= _DOUBLE_DIGITS:
        doubles = pa.array(values, pa.float64())
        scale = float(10**kind.scale)
        nearest = pc.divide(pc.round(pc.multiply(doubles, scale)), scale)
        if pc.any(pc.not_equal(nearest, doubles)).as_py():
            raise ValueError("more digits than the type has")
        return doubles.cast(arrow)
    exact = [None if v is None else Decimal(str(v)) for v in values]
    return pa.array(exact, arrow)  # raises where it would have to round


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn the driver's errors into sentences; statement and values stay out of them."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        meaning = meaning_of("SQLite", code, (code or 0) & _PRIMARY)
        if meaning and meaning.transient:
            raise TransientError(f"{what}: {meaning.reason}.", meaning.remedy) from error
        remedy = meaning.remedy if meaning else "Correct the dataset's query."
        raise SourceError(f"{what}: {_first_line(cause)}.", remedy) from error


def _first_line(error: BaseException | None) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
