"""What files make of a source's table: per key the row of the live file that arrived last."""

import datetime as dt
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from etl_assets.core.inputs.files import LoadedFile
from etl_assets.systems.input_cells import cells
from etl_assets.systems.input_tables import LEDGER, SourceTables


class Fold:
    """One file's part in a source's table, inside a transaction."""

    def __init__(
        self, connection: sa.Connection, tables: SourceTables, file: LoadedFile, dialect: str
    ) -> None:
        """Use a transaction that has locked the source."""
        self._connection = connection
        self._tables = tables
        self._file = file
        self._dialect = dialect

    def receive(self, blocks: Iterable[pa.RecordBatch]) -> None:
        """Keep the rows of the file."""
        received = self._tables.received
        for block in blocks:
            names = [*block.schema.names, "input_id"]
            columns = [cells(column, self._dialect) for column in block.columns]
            rows = list(zip(*columns, [self._file.id] * block.num_rows, strict=True))
            statement = sa.insert(received).values({name: sa.bindparam(name) for name in names})
            compiled: Any = statement.compile(dialect=self._connection.dialect)
            places = [names.index(name) for name in compiled.positiontup]
            if rows:
                given = rows if places == sorted(places) else list(map(itemgetter(*places), rows))
                self._connection.exec_driver_sql(str(compiled), given)

    def apply(self) -> dict[str, Any]:
        """Bring the table up to date with what was received; return the counts."""
        tables, connection = self._tables, self._connection
        received, target = tables.received, tables.target
        mine = received.c.input_id == self._file.id
        wins = mine if not self._later_files() else sa.and_(mine, ~self._is_outdone(received))
        winners = self._count(sa.select(received.c.input_id).where(wins))
        joined = sa.select(received.c.input_id).select_from(
            received.join(target, tables.same_key(received, target))
        )
        there = self._count(joined.where(wins))
        equal = [received.c[n].is_not_distinct_from(target.c[n]) for n in tables.values]
        unchanged = self._count(joined.where(wins, *equal))
        if there:
            self._delete_keys(wins)
        source = sa.select(
            *(received.c[name] for name in tables.values),
            received.c.input_id,
            sa.literal(self._file.path),
            received.c.input_row,
            sa.literal(_plain(self._file.arrived_at), target.c.arrived_at.type),
        ).where(wins)
        connection.execute(sa.insert(target).from_select(_target_names(tables), source))
        return {
            "inserted": winners - there,
            "updated": there - unchanged,
            "unchanged": unchanged,
            "outdated": self._file.accepted - winners,
        }

    def take_out(self) -> tuple[int, int]:
        """Take the rows of the file, which is not live any more, out of the table.

        Returns:
            How many rows left the table, and in the place of how many an earlier one is again.
        """
        tables, connection = self._tables, self._connection
        received, target = tables.received, tables.target
        mine = received.c.input_id == self._file.id
        before = self._count(sa.select(target.c.input_id))
        self._delete_keys(mine, target.c.input_id == self._file.id)
        between = self._count(sa.select(target.c.input_id))
        older, ledger = received.alias(), LEDGER.alias()
        is_there = sa.exists().where(tables.same_key(target, older))
        source = (
            sa.select(
                *(older.c[name] for name in tables.values),
                older.c.input_id,
                ledger.c.path,
                older.c.input_row,
                ledger.c.arrived_at,
            )
            .select_from(
                received.join(older, tables.same_key(received, older)).join(
                    ledger, ledger.c.id == older.c.input_id
                )
            )
            .where(mine, ledger.c.live == sa.true(), ~is_there, ~self._is_outdone(older, ledger))
        )
        connection.execute(sa.insert(target).from_select(_target_names(tables), source))
        restored = self._count(sa.select(target.c.input_id)) - between
        return before - between - restored, restored

    def _later_files(self) -> bool:
        """Return whether a live file of the source arrived later than this one."""
        later = sa.select(LEDGER.c.id).where(
            LEDGER.c.source == self._file.source, LEDGER.c.live == sa.true(),
            _order(LEDGER) > self._place(),
        )  # fmt: skip
        return self._connection.execute(later.limit(1)).first() is not None

    def _is_outdone(
        self, row: sa.FromClause, ledger: sa.FromClause | None = None
    ) -> sa.ColumnElement[bool]:
        """Return whether a live file that arrived later has a row of the same key."""
        other, others = self._tables.received.alias(), LEDGER.alias()
        place = self._place() if ledger is None else _order(ledger)
        return (
            sa.exists()
            .where(
                self._tables.same_key(other, row),
                others.c.id == other.c.input_id,
                others.c.live == sa.true(),
                _order(others) > place,
            )
            .correlate(row, *([ledger] if ledger is not None else []))
        )

    def _place(self) -> Any:  # noqa: ANN401
        file = self._file
        moment = sa.literal(_plain(file.arrived_at), LEDGER.c.arrived_at.type)
        return sa.tuple_(moment, sa.literal(file.path), sa.literal(file.id))

    def _delete_keys(
        self, received_where: sa.ColumnElement[bool], *target_where: sa.ColumnElement[bool]
    ) -> None:
        """Delete the table's rows whose keys some received rows have."""
        tables = self._tables
        received, target = tables.received, tables.target
        statement = sa.delete(target).where(*target_where)
        if self._dialect == "sqlite":
            keys = sa.select(*(received.c[name] for name in tables.key)).where(received_where)
            one = len(tables.key) == 1
            mine = target.c[tables.key[0]] if one else sa.tuple_(*(target.c[n] for n in tables.key))
            statement = statement.where(mine.in_(keys))
        else:
            statement = statement.where(tables.same_key(received, target), received_where)
        self._connection.execute(statement)

    def _count(self, wanted: sa.Select[Any]) -> int:
        counted = wanted.with_only_columns(sa.func.count(), maintain_column_froms=True)
        return int(self._connection.execute(counted).scalar_one())


def _order(ledger: sa.FromClause) -> Any:  # noqa: ANN401
    """Return the place of a file among others: by arrival, then name, then load."""
    return sa.tuple_(ledger.c.arrived_at, ledger.c.path, ledger.c.id)


def _target_names(tables: SourceTables) -> list[str]:
    return [*tables.values, "input_id", "input_file", "input_row", "arrived_at"]


def _plain(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(tzinfo=None)
