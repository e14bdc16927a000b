"""The MySQL source: records rendered as CSV by the server, streamed, parsed with exact types.

A record is one text, made in SQL, so that no value becomes a Python object: that is ten
times faster than a cursor's tuples, and memory is one block. The query itself is the
dataset's, as a derived table; the server needs no temporary tables of ours, so a read-only
replica will do.
"""

import contextlib
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pymysql
import pymysql.cursors
import sqlalchemy as sa
import sqlglot
from pydantic import ValidationError
from sqlglot.tokenizer_core import TokenType

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError, SourceError
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_engines import planner_of
from etl_assets.core.fingerprint_groups import Group, groups_of
from etl_assets.core.fingerprint_sql import Cell, Query, fingerprint
from etl_assets.core.mysql_types import MysqlField, Reading, name_of, read_as
from etl_assets.systems.csv_blocks import CsvBlocks, CsvColumn
from etl_assets.systems.mysql_errors import explained
from etl_assets.systems.mysql_server import MysqlServer
from etl_assets.systems.protocols import Check, Outcome

BLOCK_BYTES = 8 << 20
BLOCK_CELLS = 1_000_000
"""A block ends when it has either; both bound memory."""

_DATE_CHARACTERS = {"date": 10, "timestamp": 26}


class MysqlSource:
    """A MySQL server as a source."""

    def __init__(self, url: sa.URL, password: str = "") -> None:
        """Remember where the server is; it is connected per snapshot."""
        self._server = MysqlServer(url, password)

    @contextlib.contextmanager
    def snapshot(self, dataset: Dataset, bindings: dict[str, Scalar]) -> Iterator["MysqlSnapshot"]:
        """Open a consistent, read-only snapshot; see `Source.snapshot`."""
        with self.moment() as moment, moment.snapshot(dataset, bindings) as opened:
            yield opened

    @contextlib.contextmanager
    def moment(self) -> Iterator["MysqlMoment"]:
        """Open a consistent, read-only transaction; see `Source.moment`."""
        with self._server.session() as connection, explained("The source cannot be read"):
            stream = connection.cursor(_Stream)
            try:
                stream.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                yield MysqlMoment(stream)
            finally:
                stream.abandon()

    def check(self) -> list[Check]:
        """Return whether the server can be reached and read, and whether by TLS."""
        try:
            with self._server.session() as connection, explained("The source cannot be read"):
                cursor = connection.cursor()
                cursor.execute(
                    "SELECT VERSION(), COUNT(*) FROM information_schema.tables"
                    " WHERE table_schema = DATABASE()"
                )
                version, tables = (bytes(v).decode() for v in cursor.fetchone() or (b"?", b"0"))
        except EtlError as error:
            return [Check("readable", ok=False, detail=error.message, remedy=error.remedy)]
        tls = "TLS verified" if self._server.verifies_tls else "loopback"
        detail = f"MySQL {version}, {tables} tables, {self._server.host}, {tls}"
        return [
            Check("readable", ok=tables != "0", detail=detail, remedy="The user sees no tables.")
        ]


class MysqlMoment:
    """One transaction that sees one state of the source; see `Moment`."""

    def __init__(self, stream: "_Stream") -> None:
        """Use the cursor of a transaction that has begun."""
        self._stream = stream

    @contextlib.contextmanager
    def snapshot(self, dataset: Dataset, bindings: dict[str, Scalar]) -> Iterator["MysqlSnapshot"]:
        """Begin a query, after the rest of the one before; see `Moment.snapshot`."""
        what = f"The query of {dataset.name} failed for campaign {bindings['campaign_key']}"
        with explained(what):
            self._stream.drain()
            yield MysqlSnapshot(self._stream, dataset, bindings)


class MysqlSnapshot:
    """A dataset query in one snapshot; see `SourceSnapshot`.

    Attributes:
        columns: The query's columns, with the types of the table in `core/mysql_types.py`,
            or those the document declares.
    """

    def __init__(self, stream: "_Stream", dataset: Dataset, bindings: dict[str, Scalar]) -> None:
        """Find the query's columns; no record is read."""
        self._stream = stream
        self._dataset = dataset
        self._bindings = {k: v for k, v in bindings.items() if k in dataset.query_parameters}
        self._statement = with_driver_parameters(dataset.query)
        self._execute("SELECT *", "LIMIT 0")
        readings = [(field, self._reading(field)) for field in stream.fields()]
        stream.fetchall()
        read = [self._csv_column(field, reading) for field, reading in readings]
        self.columns = tuple(column.column for column in read)
        cells = ",".join(
            f"IFNULL({reading.cell.format(c=f'q.`{field.name}`')},'')"
            for field, reading in readings
        )
        self._cells = [
            _summed(reading, f"q.`{field.name}`", column)
            for (field, reading), column in zip(readings, self.columns, strict=True)
        ]
        self._record = f"CONCAT_WS(',',{cells})"
        of = f"{dataset.name} for campaign {bindings['campaign_key']}"
        self._blocks = CsvBlocks(read, dataset.primary_key, of)

    def outcome(self) -> Outcome:
        """Return what the policies did; see `SourceSnapshot.outcome`."""
        return self._blocks.outcome()

    def fingerprint(self, names: Collection[str], groups: Collection[Group] = ()) -> Fingerprint:
        """Return the fingerprint of columns; see `SourceSnapshot.fingerprint`."""
        cells = [c for c in self._cells if c.column.name in names]
        source = f"(\n{self._statement}\n) q"

        def run(query: Query) -> Sequence[object]:
            self._stream.execute(query.over(source, percent="%%"), self._bindings)
            return self._stream.fetchall()[0]

        together = groups or groups_of(c.column for c in cells)
        return fingerprint(cells, together, planner_of("mysql"), run)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield typed batches; see `SourceSnapshot.batches`."""
        self._execute(f"SELECT {self._record}")
        most = max(1, BLOCK_CELLS // len(self.columns))
        rows: list[bytes] = []
        size = number = 0
        while (row := self._stream.fetchone()) is not None:
            record = row[0]
            number += 1
            if record is None:
                raise SourceError(
                    f"Record {number:,} of {self._dataset.name} is longer than the server's"
                    " max_allowed_packet, and was not sent.",
                    "Raise max_allowed_packet at the server, or select fewer columns.",
                )
            rows.append(record)
            size += len(record)
            if size >= BLOCK_BYTES or len(rows) >= most:
                yield self._read(rows)
                size = 0
        if rows:
            yield self._read(rows)

    def _read(self, rows: list[bytes]) -> pa.RecordBatch:
        rows.append(b"")
        block = b"\n".join(rows)
        rows.clear()
        return self._blocks.read(block)

    def _execute(self, select: str, tail: str = "") -> None:
        self._stream.execute(f"{select} FROM (\n{self._statement}\n) q {tail}", self._bindings)

    def _reading(self, field: MysqlField) -> Reading:
        spec = self._dataset.columns.get(field.name)
        declared = spec.type if spec else None
        reading = read_as(field, declared)
        what = f"The query of {self._dataset.name} gives a column `{field.name}`"
        if reading is None:
            spatial = name_of(field) == "GEOMETRY"
            raise SourceError(
                f"{what} of the type {name_of(field)}, which has no way through.",
                f"Select ST_AsText({field.name}) AS {field.name} instead."
                if spatial
                else f"Cast it in the query: CAST({field.name} AS CHAR) AS {field.name}.",
            )
        if declared is not None and not reading.may_be(declared):
            raise SourceError(
                f"{what} of the type {reading.natural}, but the document declares {declared}.",
                "Cast it in the query, or by a rule, where it shows what becomes of each value.",
            )
        return reading

    def _csv_column(self, field: MysqlField, reading: Reading) -> CsvColumn:
        spec = self._dataset.columns.get(field.name)
        policies = self._dataset.policies_of(field.name)
        kind = (spec.type if spec else None) or reading.natural
        if spec is None or spec.type is None:
            if policies.zero_date == "text" and kind.name in _DATE_CHARACTERS:
                kind = ColumnType("varchar", _DATE_CHARACTERS[kind.name])
            elif reading.digits and policies.wide_decimal == "text":
                kind = ColumnType("varchar", reading.digits + len("-0."))
        try:
            column = Column(name=field.name, type=kind, comment=spec.comment if spec else "")
        except ValidationError:
            raise SourceError(
                f"The query of {self._dataset.name} gives a column the name `{field.name}`, which"
                " is not one of lower case letters, digits and `_`.",
                "Name it in the query: … AS a_name.",
            ) from None
        return CsvColumn(column, reading.natural, reading.digits, policies)


def _summed(reading: Reading, name: str, column: Column) -> Cell:
    sql = reading.summed(name, column.type)
    return Cell(column, sql or name, exact=sql is not None)


class _Stream(pymysql.cursors.SSCursor):
    """An unbuffered cursor that tells the types of its columns, and can be left half read."""

    _result: Any

    def fields(self) -> list[MysqlField]:
        """Return what the server says of the columns of the current result."""
        return [
            MysqlField(f.name, f.type_code, f.flags, f.length, f.scale, f.charsetnr)
            for f in self._result.fields
        ]

    def drain(self) -> None:
        """Read a result to its end, if it was left half read."""
        while self._result is not None and self._result.unbuffered_active:
            self.fetchmany(1_000)

    def abandon(self) -> None:
        """Forget the result; the driver would read it to its end, however long that is."""
        if self._result is not None:
            self._result.unbuffered_active = False
            self._result.connection = None
        self.connection = None  # type: ignore[assignment]


def with_driver_parameters(query: str) -> str:
    """Return a query with its `:name` as the driver's `%(name)s`; what is in literals stays.

    The text is otherwise the document's own, so the server reads what a person wrote.
    """
    tokens = sqlglot.tokenize(query, read="mysql")
    made, end = [], 0
    for colon, name in itertools.pairwise(tokens):
        if colon.token_type == TokenType.COLON and name.start == colon.end + 1:
            made.append(query[end : colon.start].replace("%", "%%"))
            made.append(f"%({query[name.start : name.end + 1]})s")
            end = name.end + 1
    return "".join([*made, query[end:].replace("%", "%%")])
