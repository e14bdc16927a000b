"""The database that inputs are loaded into: SQLite or MySQL.

A file is loaded in one transaction: what it brought, what that makes of the table, and its row of
the ledger. The table is at any time what the files that are not undone make of it: per key the row
of the one that arrived last, whatever the order they were loaded in.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import BadFileError, InputFile, LoadedFile
from etl_assets.systems.input_engine import InputEngine, explained
from etl_assets.systems.input_fold import Fold
from etl_assets.systems.input_schema import ensure_tables
from etl_assets.systems.input_tables import LEDGER

Rows = Iterable[pa.RecordBatch]


class InputDatabase:
    """Where inputs are loaded, and what the ledger of files says of them."""

    def __init__(self, engine: InputEngine) -> None:
        """Use an engine; nothing is connected before it is needed."""
        self._engine = engine

    def history(self, source: str | None = None) -> list[LoadedFile]:
        """Return the rows of the ledger, newest first; none while there is no ledger.

        Raises:
            SourceError: When the database cannot be read.
            TransientError: When it is busy or cannot be reached.
        """
        with explained("The ledger of inputs cannot be read"), self._engine.reading() as connection:
            if connection is None or not sa.inspect(connection).has_table(LEDGER.name):
                return []
            wanted = sa.select(LEDGER).order_by(LEDGER.c.id.desc())
            if source is not None:
                wanted = wanted.where(LEDGER.c.source == source)
            return [_file_of(row) for row in connection.execute(wanted).mappings()]

    def load(
        self, contract: Contract, made: LoadedFile, rows: Rows, *, again: bool = False
    ) -> LoadedFile:
        """Load the rows of a file, in one transaction with its row of the ledger.

        Args:
            contract: Of the source.
            made: The row of the ledger, without what only the database knows.
            rows: The contract's columns and `input_row`, in batches.
            again: Whether a file whose bytes were undone may be loaded.

        Returns:
            The row of the ledger: `repeated` when the bytes were loaded before.

        Raises:
            SourceError: When the table is not the source's own, or the database refuses.
            TransientError: When another load of the source runs; a retry is safe.
        """
        what = f"The file {made.path} could not be loaded"
        with explained(what):
            tables = ensure_tables(self._engine, contract)
        with explained(what), self._engine.writing(contract.source) as connection:
            if (earlier := _earlier(connection, made, again=again)) is not None:
                return _write(connection, _repetition(made, earlier))
            written = _write(connection, replace(made, live=True))
            fold = Fold(connection, tables, written, self._engine.dialect)
            fold.receive(rows)
            counts = fold.apply()
            return _update(connection, replace(written, **counts))

    def repetition(self, made: LoadedFile, *, again: bool = False) -> LoadedFile | None:
        """Write that a file's bytes were loaded before, if they were; return that row.

        Args:
            made: The row of the ledger, as far as it is known before the file is read.
            again: As in `load`.
        """
        if not any(
            r.status == "loaded" and r.sha256 == made.sha256 for r in self.history(made.source)
        ):
            return None
        what = f"The ledger cannot be written about {made.path}"
        with explained(what), self._engine.writing(made.source) as connection:
            earlier = _earlier(connection, made, again=again)
            return _write(connection, _repetition(made, earlier)) if earlier else None

    def record(self, made: LoadedFile) -> LoadedFile:
        """Write a row of the ledger about a file of which nothing is loaded."""
        with explained(f"The ledger cannot be written about {made.path}"):
            self._engine.prepare()
            with self._engine.writing(made.source) as connection:
                return _write(connection, made)

    def undo(self, contract: Contract, loaded: LoadedFile, at: dt.datetime) -> LoadedFile:
        """Take out what a file brought, in one transaction.

        Each of its keys gets the row of the file before it that is not undone, or leaves the table.

        Returns:
            The row of the ledger that says so.

        Raises:
            BadFileError: When it has been undone meanwhile.
            SourceError: When the database refuses.
            TransientError: When another load of the source runs; a retry is safe.
        """
        with explained(f"The file {loaded.path} could not be undone"):
            tables = ensure_tables(self._engine, contract)
            with self._engine.writing(contract.source) as connection:
                taken = connection.execute(
                    sa.update(LEDGER)
                    .where(LEDGER.c.id == loaded.id, LEDGER.c.live == sa.true())
                    .values(live=False)
                )
                if taken.rowcount != 1:
                    raise BadFileError(f"The file {loaded.path} has been undone already.")
                removed, restored = Fold(
                    connection, tables, loaded, self._engine.dialect
                ).take_out()
                about = replace(
                    loaded, id=0, status="undone", live=False, about=loaded.id, recorded_at=at,
                    removed=removed, restored=restored, reason="", rejects="",
                    **_NONE,
                )  # fmt: skip
                return _write(connection, about)


_NONE: dict[str, Any] = dict.fromkeys(
    ("rows", "accepted", "rejected", "duplicates", "inserted", "updated", "unchanged", "outdated"),
    0,
)


def _earlier(connection: sa.Connection, made: LoadedFile, *, again: bool) -> LoadedFile | None:
    """Return the load of the same bytes, if that forbids another."""
    wanted = (
        sa.select(LEDGER)
        .where(
            LEDGER.c.source == made.source,
            LEDGER.c.sha256 == made.sha256,
            LEDGER.c.status == "loaded",
        )
        .order_by(LEDGER.c.live.desc(), LEDGER.c.id.desc())
    )
    found = connection.execute(wanted).mappings().first()
    earlier = _file_of(found) if found else None
    return None if earlier and again and not earlier.live else earlier


def _repetition(made: LoadedFile, earlier: LoadedFile) -> LoadedFile:
    same = made.path == earlier.path
    reason = "it was loaded before" if same else f"the same bytes came as {earlier.path}"
    if not earlier.live and same:
        reason = "it was undone; `etl-assets inputs load --again` loads it"
    elif not earlier.live:
        reason += ", which was undone; `etl-assets inputs load --again` loads them"
    return replace(made, status="repeated", about=earlier.id, reason=reason, rejects="", **_NONE)


def _write(connection: sa.Connection, made: LoadedFile) -> LoadedFile:
    values = {name: value for name, value in _values(made).items() if name != "id"}
    written: Any = connection.execute(sa.insert(LEDGER).values(values))
    return replace(made, id=written.inserted_primary_key[0])


def _update(connection: sa.Connection, made: LoadedFile) -> LoadedFile:
    connection.execute(sa.update(LEDGER).where(LEDGER.c.id == made.id).values(_values(made)))
    return made


def _values(made: LoadedFile) -> dict[str, Any]:
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    return {
        name: value.astimezone(dt.UTC).replace(tzinfo=None)
        if isinstance(value, dt.datetime)
        else value
        for name, value in values.items()
    }


def _file_of(row: Any) -> LoadedFile:  # noqa: ANN401  (a mapping of SQLAlchemy's)
    values: dict[str, Any] = {
        name: value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) else value
        for name, value in row.items()
    }
    return LoadedFile(**values)


def is_known(file: InputFile, row: LoadedFile, digest: str) -> bool:
    """Return whether a row of the ledger is about a file as it is, and by the contract as it is.

    A quarantined file is tried again by another contract; one that was loaded is not.
    """
    same = (row.path, row.bytes, row.arrived_at) == (file.path, file.bytes, file.modified)
    return same and (row.status != "quarantined" or row.contract == digest)
