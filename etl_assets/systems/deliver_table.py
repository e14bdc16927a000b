"""A feed into a table of another database, through SQLAlchemy: in one transaction, or not at all.

The records are first put into a temporary table of the session, which nobody else sees; then one transaction
takes away those they replace, adds them, and says so in `etl_assets_deliveries`. A reader sees
the table as it was, or as it is then.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from etl_assets.core.columns import Column
from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.core.failure_classes import meaning_of
from etl_assets.core.feeds.destinations import TableDestination

DELIVERIES = "etl_assets_deliveries"
_STAGED = "etl_assets_feed"
_ROWS = 1_000
_SQLITE_DIGITS = 15
"""SQLite keeps so many of a number's digits; a decimal with more is a text there."""

_BACKENDS = ("sqlite", "mysql", "postgresql")


def check_url(url: str, what: str) -> sa.URL:
    """Return an SQLAlchemy URL of a database that takes feeds.

    Raises:
        PermanentError: When it is none, or carries a password.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise PermanentError(f"{what} is no database URL.", "Write an SQLAlchemy URL.") from None
    if parsed.password:
        raise PermanentError(
            f"{what} carries a password, and documents are shown.", "Take it out of the URL."
        )
    if parsed.get_backend_name() not in _BACKENDS:
        raise PermanentError(
            f"{what} is of {parsed.get_backend_name()}.", f"Databases are {', '.join(_BACKENDS)}."
        )
    return parsed


class TableTarget:
    """The table of a destination."""

    def __init__(self, destination: TableDestination, url: sa.URL, password: str) -> None:
        """Remember where it is; nothing is connected before it is needed."""
        self._destination = destination
        self._url = url.set(password=password) if password else url
        self.uri = f"{url.render_as_string(hide_password=True)}#{destination.table}"

    def put(
        self,
        columns: tuple[Column, ...],
        batches: Iterable[pa.RecordBatch],
        key: str,
        delivery: Mapping[str, Any],
    ) -> None:
        """Put records into the table, with the row of their delivery.

        Args:
            columns: Of the records.
            batches: The records.
            key: The campaign; for `replace_key`.
            delivery: The row: `delivery`, `feed`, `scope`, `delivered_at`, `records`, `sha256`,
                `manifest`.

        Raises:
            PermanentError: When the database refuses; the table is as it was.
            TransientError: When it is busy or cannot be reached; the table is as it was, or the
                delivery is made.
        """
        metadata = sa.MetaData()
        schema = self._destination.schema_name
        engine = sa.create_engine(self._url, poolclass=sa.pool.NullPool)
        with _explained(f"Delivering to {self.uri}"), engine.connect() as connection:
            target = self._target(connection, metadata, columns)
            deliveries = _deliveries(metadata, schema)
            metadata.create_all(connection, [target, deliveries])
            staged = _table(metadata, _STAGED, None, columns, staged=True)
            staged.create(connection)
            connection.commit()
            self._fill(connection, staged, batches)
            mine = _claimed(connection, deliveries, delivery)
            with connection.begin():
                # First, so that two deliveries of one feed come one after the other.
                connection.execute(deliveries.update().where(*mine), dict(delivery))
                self._swap(connection, target, staged, [c.name for c in columns], key)

    def _target(
        self, connection: sa.Connection, metadata: sa.MetaData, columns: tuple[Column, ...]
    ) -> sa.Table:
        """Return the table that is there, or one to be made."""
        name, schema = self._destination.table, self._destination.schema_name
        if not sa.inspect(connection).has_table(name, schema):
            return _table(metadata, name, schema, columns)
        found = sa.Table(name, metadata, schema=schema, autoload_with=connection)
        missing = [c.name for c in columns if c.name not in found.c]
        if missing:
            raise PermanentError(
                f"The table {self.uri} has no column {', '.join(f'`{n}`' for n in missing)};"
                " it is as it was.",
                "Add it there, or leave it out of the feed's select.",
            )
        return found

    def _fill(
        self, connection: sa.Connection, staged: sa.Table, batches: Iterable[pa.RecordBatch]
    ) -> None:
        for batch in batches:
            rows = batch.to_pylist()
            if connection.dialect.name == "sqlite":  # has no decimals: texts keep their digits
                rows = [{name: _plain(value) for name, value in row.items()} for row in rows]
            for start in range(0, len(rows), _ROWS):
                connection.execute(staged.insert(), rows[start : start + _ROWS])
        connection.commit()

    def _swap(
        self,
        connection: sa.Connection,
        target: sa.Table,
        staged: sa.Table,
        names: list[str],
        key: str,
    ) -> None:
        mode = self._destination.mode
        if mode == "replace":
            connection.execute(target.delete())
        elif mode == "replace_key":
            connection.execute(target.delete().where(target.c.campaign_key == key))
        else:
            self._check_key(connection, staged)
            same = [target.c[name] == staged.c[name] for name in self._destination.key]
            matches = sa.select(sa.literal(1)).select_from(staged).where(*same)
            connection.execute(target.delete().where(matches.correlate(target).exists()))
        chosen = sa.select(*(staged.c[name] for name in names))
        connection.execute(target.insert().from_select(names, chosen))

    def _check_key(self, connection: sa.Connection, staged: sa.Table) -> None:
        """Raise unless the key names every record once."""
        key = [staged.c[name] for name in self._destination.key]
        nameless = sa.select(sa.func.count()).select_from(staged).where(
            sa.or_(*(column.is_(None) for column in key))
        )  # fmt: skip
        twice = sa.select(*key).group_by(*key).having(sa.func.count() > 1).limit(1)
        found = connection.execute(twice).first()
        if connection.scalar(nameless) or found is not None:
            what = f"is that of two records ({', '.join(map(str, found))})" if found else "is NULL"
            raise PermanentError(
                f"The key {', '.join(self._destination.key)} of the feed into {self.uri} {what};"
                " the table is as it was.",
                "Name the columns under `key` that tell its records apart.",
            )


def _plain(value: object) -> object:
    return f"{value:f}" if isinstance(value, Decimal) else value


def _claimed(
    connection: sa.Connection, deliveries: sa.Table, delivery: Mapping[str, Any]
) -> list[sa.ColumnElement[bool]]:
    """Make the row of a feed and its scope unless it is there; return what finds it."""
    named = {name: delivery[name] for name in ("feed", "scope")}
    mine = [deliveries.c[name] == value for name, value in named.items()]
    there = connection.execute(sa.select(deliveries.c.feed).where(*mine)).first()
    connection.rollback()
    if there is None:
        try:
            with connection.begin():
                connection.execute(deliveries.insert(), named)
        except sa.exc.IntegrityError:  # another did so meanwhile
            pass
    return mine


def _table(
    metadata: sa.MetaData,
    name: str,
    schema: str | None,
    columns: tuple[Column, ...],
    *,
    staged: bool = False,
) -> sa.Table:
    made = (sa.Column(c.name, _type(c, staged), comment=c.comment or None) for c in columns)
    return sa.Table(name, metadata, *made, schema=schema, prefixes=["TEMPORARY"] if staged else [])


def _deliveries(metadata: sa.MetaData, schema: str | None) -> sa.Table:
    text = sa.String(255)
    return sa.Table(
        DELIVERIES, metadata,
        sa.Column("feed", text, primary_key=True), sa.Column("scope", text, primary_key=True),
        sa.Column("delivery", text), sa.Column("delivered_at", sa.DateTime),
        sa.Column("records", sa.BigInteger), sa.Column("sha256", sa.String(64)),
        sa.Column("manifest", sa.Text().with_variant(mysql.LONGTEXT(), "mysql")),
        schema=schema,
    )  # fmt: skip


def _type(column: Column, staged: bool) -> sa.types.TypeEngine[Any]:  # noqa: FBT001
    """Return the type of a column in a table that is made."""
    kind = column.type
    if kind.name == "decimal":
        exact = sa.Numeric(kind.precision, kind.scale)
        as_text = staged or kind.precision > _SQLITE_DIGITS
        return exact.with_variant(sa.String(), "sqlite") if as_text else exact
    simple: dict[str, sa.types.TypeEngine[Any]] = {
        "boolean": sa.Boolean(), "smallint": sa.SmallInteger(), "integer": sa.Integer(),
        "bigint": sa.BigInteger(), "real": sa.Float(24), "double": sa.Float(53),
        "date": sa.Date(),
        "timestamp": sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql"),
        "binary": sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql"),
    }  # fmt: skip
    if kind.name == "varchar":
        return sa.String(kind.precision)
    return simple.get(kind.name) or sa.Text().with_variant(mysql.LONGTEXT(), "mysql")


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what SQLAlchemy raises into our errors, without its statements."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        origin = error.orig
        reason = (str(origin).splitlines() or [""])[0].rstrip(".")
        code = getattr(origin, "args", ("",))[0] if getattr(origin, "args", None) else ""
        meaning = (
            meaning_of("MySQL", code)
            or meaning_of("Redshift", getattr(origin, "pgcode", None) or "")
            or meaning_of("SQLite", getattr(origin, "sqlite_errorcode", ""))
        )
        lost = error.connection_invalidated or (meaning is not None and meaning.transient)
        kind = TransientError if lost else PermanentError
        raise kind(
            f"{what} failed: {reason}; the table is as it was.",
            "Try again." if lost else "See the message; correct the table, its rights or the feed.",
        ) from error
    except sa.exc.SQLAlchemyError as error:
        first = (str(error).splitlines() or [""])[0].rstrip(".")
        raise PermanentError(f"{what} failed: {first}.", "Correct the destination.") from error
