"""How the database of inputs is reached, and how one load at a time has a source to itself."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from etl_assets.core.errors import SourceError, TransientError
from etl_assets.core.failure_classes import meaning_of
from etl_assets.systems.input_tables import LEDGER_METADATA

_PATIENCE_SECONDS = 30.0
_CACHE_KIBIBYTES = 64 << 10
"""Pages in memory before SQLite writes to the file, from when on nobody else can read it."""


class InputEngine:
    """The database that inputs are written to."""

    dialect: Literal["sqlite", "mysql"] = "sqlite"

    def __init__(self, url: sa.URL, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Remember the database; nothing is connected before it is needed.

        Args:
            url: Of an SQLite file, which is made when something is loaded.
            patience_seconds: How long to wait while another load runs.
        """
        self.path = Path(url.database or "")
        self._patience = patience_seconds

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """Give a connection that only reads; None while there is no database."""
        if not self.path.is_file():
            yield None
            return
        with self._connect("ro") as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextlib.contextmanager
    def writing(self, source: str, *, create: bool = False) -> Iterator[sa.Connection]:
        """Give a transaction that has a source to itself; it is committed at the end."""
        del source, create
        with self._connect("rwc") as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

    def prepare(self) -> None:
        """Make the ledger where there is none."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.writing("") as connection:
            LEDGER_METADATA.create_all(connection)

    @contextlib.contextmanager
    def _connect(self, mode: str) -> Iterator[sa.Connection]:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"

        def connect() -> sqlite3.Connection:
            made = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._patience)
            made.execute(f"PRAGMA cache_size=-{_CACHE_KIBIBYTES}")
            return made

        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield connection


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the driver's errors into sentences; statement and values stay out of them."""
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        meaning = meaning_of("SQLite", code, (code or 0) & 0xFF)
        if meaning and meaning.transient:
            raise TransientError(f"{what}: {meaning.reason}.", meaning.remedy) from error
        raise SourceError(f"{what}: {str(cause).splitlines()[0]}.", "") from error


def open_engine(url: sa.URL, password: str) -> InputEngine | None:
    """Return the engine of a URL; None when it names no such database."""
    del password
    if url.get_backend_name() == "sqlite" and url.database:
        return InputEngine(url)
    return None
