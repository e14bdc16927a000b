"""How the database of inputs is reached, and how a load has its source to itself."""

import contextlib
import hashlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

import pymysql
import sqlalchemy as sa

from etl_assets.core.errors import SourceError, TransientError
from etl_assets.core.failure_classes import meaning_of
from etl_assets.systems.input_tables import LEDGER_METADATA
from etl_assets.systems.mysql_errors import explained as mysql_explained
from etl_assets.systems.mysql_server import MysqlServer

Dialect = Literal["sqlite", "mysql"]

PATIENCE_SECONDS = 30.0
"""How long to wait while another load of the source runs."""

_CACHE_KIBIBYTES = 64 << 10
"""Pages in memory before SQLite writes to the file, from when on nobody else can read it."""

_PRIMARY = 0xFF
_GRANTS = "Grant the user SELECT, INSERT, UPDATE, DELETE, CREATE and ALTER on the database."
_MYSQL_REMEDIES = {
    1044: _GRANTS,
    1142: _GRANTS,
    1118: "Declare the longest columns as `text`: a row of MySQL holds 65,535 bytes.",
    1074: "Declare the column as `text`.",
}


class InputEngine(ABC):
    """The database that inputs are written to.

    Attributes:
        dialect: Of its statements.
    """

    dialect: Dialect
    _is_prepared = False

    @abstractmethod
    def reading(self) -> contextlib.AbstractContextManager[sa.Connection | None]:
        """Give a connection to read with; None while there is no database."""

    @abstractmethod
    def writing(self, source: str) -> contextlib.AbstractContextManager[sa.Connection]:
        """Give a transaction that has a source to itself; it is committed at the end.

        Raises:
            TransientError: When another has it for too long.
        """

    def prepare(self) -> None:
        """Make the ledger where there is none."""
        if not self._is_prepared:
            with self.writing("") as connection:
                LEDGER_METADATA.create_all(connection)
            self._is_prepared = True


class SqliteEngine(InputEngine):
    """An SQLite file; it is made when something is loaded."""

    dialect = "sqlite"

    def __init__(self, url: sa.URL, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Remember the file; it is opened when it is needed."""
        self.path = Path(url.database or "")
        self._patience = patience_seconds

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """Open a read transaction; see `InputEngine.reading`."""
        if not self.path.is_file():
            yield None
            return
        with self._connect("ro") as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextlib.contextmanager
    def writing(self, source: str) -> Iterator[sa.Connection]:
        """Open a transaction: SQLite has one writer at a time; see `InputEngine.writing`."""
        del source
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(
                f"The folder of {self.path} cannot be made: {error.strerror}.",
                "Correct ETL_ASSETS_INPUTS.",
            ) from error
        with self._connect("rwc") as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")

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


class MysqlEngine(InputEngine):
    """A database of a MySQL server; a lock of its session keeps other loads of a source away."""

    dialect = "mysql"

    def __init__(
        self, url: sa.URL, password: str = "", *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Check the URL; nothing is connected yet.

        Raises:
            PermanentError: When an option of it is not known.
        """
        self._server = MysqlServer(url, password, variable="ETL_ASSETS_INPUTS")
        self._patience = patience_seconds

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """Open a connection; see `InputEngine.reading`."""
        with self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, source: str) -> Iterator[sa.Connection]:
        """Lock the source, then begin; see `InputEngine.writing`.

        The lock goes with the session, so that of a process that was killed is free.
        """
        with self._engine.connect() as connection:
            lock = sa.select(sa.func.GET_LOCK(self._lock_name(source), int(self._patience)))
            if connection.execute(lock).scalar_one() != 1:
                raise TransientError(
                    f"Another load of the source {source} is running.", "Try again when it ended."
                )
            connection.rollback()
            with connection.begin():
                yield connection

    def _lock_name(self, source: str) -> str:
        database = self._server.database
        return f"etl_assets:{hashlib.sha256(f'{database}/{source}'.encode()).hexdigest()[:48]}"

    @cached_property
    def _engine(self) -> sa.Engine:
        return sa.create_engine(
            "mysql+pymysql://",
            creator=self._server.writer,
            poolclass=sa.NullPool,
            paramstyle="format",  # rows are given as tuples
        )


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the driver's errors into sentences; statement and values stay out of them.

    Args:
        what: Begins the sentence, such as "The file inputs/x.csv could not be loaded".
    """
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error, pymysql.err.Error) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if isinstance(cause, pymysql.err.Error):
            _raise_mysql(what, cause)
        code = getattr(cause, "sqlite_errorcode", None)
        meaning = meaning_of("SQLite", code, (code or 0) & _PRIMARY)
        if meaning and meaning.transient:
            raise TransientError(f"{what}: {meaning.reason}.", meaning.remedy) from error
        remedy = meaning.remedy if meaning else "Check the database of ETL_ASSETS_INPUTS."
        raise SourceError(f"{what}: {next(iter(str(cause).splitlines()), '')}.", remedy) from error


def _raise_mysql(what: str, cause: pymysql.err.Error) -> None:
    """Raise what an error of a MySQL server means."""
    code = cause.args[0] if cause.args else None
    if code in _MYSQL_REMEDIES:
        raise SourceError(f"{what}: {cause.args[-1]} (MySQL error {code}).", _MYSQL_REMEDIES[code])
    with mysql_explained(what):
        raise cause


def open_engine(url: sa.URL, password: str) -> InputEngine | None:
    """Return the engine of a URL; None when it names no such database."""
    if url.get_backend_name() == "sqlite" and url.database:
        return SqliteEngine(url)
    return MysqlEngine(url, password) if url.get_backend_name() == "mysql" else None
