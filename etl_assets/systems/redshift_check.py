"""What `etl-assets doctor` asks Redshift: who are we, and may we do what a load does."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg2
import psycopg2.extensions as pg

from etl_assets.core.ledger import LEDGER, SCHEMA
from etl_assets.systems.protocols import Check
from etl_assets.systems.redshift_connect import RedshiftUrl
from etl_assets.systems.redshift_errors import first_line
from etl_assets.systems.redshift_readers import Reader, missing_readers
from etl_assets.systems.redshift_tables import count, make_ledger


class _Question(NamedTuple):
    """One check: its name, what finds the detail, and what to do when it fails."""

    name: str
    answer: Callable[[], str]
    remedy: str


def check_warehouse(
    connection: pg.connection,
    url: RedshiftUrl,
    readers: Sequence[Reader],
    sleep: Callable[[float], None],
) -> list[Check]:
    """Return what a connection may do; a failed check does not stop the next."""
    questions = [
        _Question("reachable", lambda: _version(connection, url), ""),
        _Question("isolation level", lambda: _isolation(connection), ""),
        _Question(
            "tables can be made",
            lambda: _may_create(connection, url.schema),
            f"Run GRANT CREATE, USAGE ON SCHEMA {url.schema} TO the user, as its owner.",
        ),
        _Question(
            "ledger writable",
            lambda: _write_ledger(connection, sleep),
            f"Let the user create the schema {SCHEMA}, or give it that schema and its tables.",
        ),
    ]
    if readers:
        questions.append(
            _Question(
                "readers of the views",
                lambda: _find_readers(connection, readers),
                "Create who is missing, or take it out of ETL_ASSETS_READERS.",
            )
        )
    found = [_ask(connection, question) for question in questions]
    return [*found, Check("COPY reads S3 as", ok=True, detail=url.iam_role)]


def _ask(connection: pg.connection, question: _Question) -> Check:
    try:
        detail = question.answer()
        problem = ""
    except psycopg2.Error as error:
        detail = problem = first_line(error)
    except LookupError as error:
        detail = problem = str(error.args[0])
    if not connection.closed:
        connection.rollback()
    remedy = question.remedy if problem else ""
    return Check(question.name, ok=not problem, detail=detail, remedy=remedy)


def _version(connection: pg.connection, url: RedshiftUrl) -> str:
    version, user = _row(connection, "SELECT version(), current_user")
    _, name, number = str(version).rpartition("Redshift ")  # after PostgreSQL's, of 2005
    return f"{url.host}:{url.port} as {user}: {name}{number}"


def _isolation(connection: pg.connection) -> str:
    """Return the database's isolation level; loads are written for either."""
    query = "SELECT isolation_level FROM stv_db_isolation_level WHERE db_name = current_database()"
    try:
        return str(_row(connection, query)[0]).strip()
    except (psycopg2.Error, LookupError) as error:
        if connection.closed:
            raise
        return f"not readable for this user, and not needed ({first_line(error)})"


def _may_create(connection: pg.connection, schema: str) -> str:
    allowed = _row(connection, "SELECT has_schema_privilege(%s, 'CREATE')", schema)[0]
    if not allowed:
        raise LookupError(f"no right to create tables in the schema {schema}")
    return f"schema {schema}"


def _write_ledger(connection: pg.connection, sleep: Callable[[float], None]) -> str:
    make_ledger(connection, (), sleep)
    with connection.cursor() as cursor:
        # Takes the rights of a load, and changes nothing: no row is inserted.
        cursor.execute(f"INSERT INTO {LEDGER} SELECT * FROM {LEDGER} WHERE false")
        rows = count(cursor, f"SELECT count(*) FROM {LEDGER}")
    connection.rollback()
    return f"{rows:,} rows in {LEDGER}"


def _find_readers(connection: pg.connection, readers: Sequence[Reader]) -> str:
    with connection.cursor() as cursor:
        missing = missing_readers(cursor, readers)
    if missing:
        raise LookupError(f"not there, or not shown to this user: {', '.join(missing)}")
    return ", ".join(map(str, readers))


def _row(connection: pg.connection, query: str, *parameters: object) -> tuple[object, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, list(parameters) or None)
        row = cursor.fetchone()
    if row is None:
        raise LookupError("no answer")
    return tuple(row)
