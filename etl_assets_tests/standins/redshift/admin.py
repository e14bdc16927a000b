"""The stand-in's own connection to its database, which a client's rollback does not touch."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import extras, sql

from etl_assets_tests.standins.redshift.ddl import TableAttributes
from etl_assets_tests.standins.redshift.load import LoadError
from etl_assets_tests.standins.redshift.postgres import ADMIN, PostgresServer

_ERRORS = """INSERT INTO redshift_standin.load_errors
    SELECT u.usesysid::integer, %(table)s, %(start)s, %(session)s, %(query)s, %(query)s,
        e.file, e.line, e."column", e.type_name, e.length, e.position, e.raw_line, e.raw_value,
        e.code, e.reason
    FROM pg_user u, jsonb_to_recordset(%(errors)s) AS e(file text, line bigint, "column" text,
        type_name text, length text, position integer, raw_line text, raw_value text, code integer,
        reason text)
    WHERE u.usename = %(user)s"""
_LOAD = """INSERT INTO redshift_standin.loads
    SELECT u.usesysid::integer, %(query)s, %(session)s, %(table)s, %(status)s, %(start)s,
        timezone('UTC', clock_timestamp()), %(source)s, %(rows)s, %(count)s, %(message)s
    FROM pg_user u WHERE u.usename = %(user)s"""


class Admin:
    """A connection for what is written outside the clients' transactions."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._lock = threading.Lock()
        self._server = server
        self._database = database
        self._connection: Any = None

    def open(self, user: str, password: str) -> None:
        """Connect, and set up a new server first.

        Args:
            user: The cluster's master user.
            password: Its password.
        """
        if self._server.is_new:
            self._create(user, password)
        self._connection = self._connect(self._database)

    def _connect(self, database: str) -> Any:
        connection = psycopg2.connect(
            host=self._server.socket_folder, port=self._server.port, user=ADMIN, dbname=database
        )
        # What this connection writes must not take part in the clients' serializable conflicts.
        connection.set_session(isolation_level="READ COMMITTED", autocommit=True)
        return connection

    def _create(self, user: str, password: str) -> None:
        role, name = sql.Identifier(user), sql.Identifier(self._database)
        connection = self._connect("postgres")
        with connection.cursor() as cursor:
            statement = "CREATE ROLE {} LOGIN CREATEROLE PASSWORD %s"
            cursor.execute(sql.SQL(statement).format(role), [password])
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
        connection.close()
        connection = self._connect(self._database)
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(role))
            cursor.execute("SET allow_system_table_mods = on")
            cursor.execute(Path(__file__).with_name("catalog.sql").read_text())
        connection.close()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    def _run(self, statement: str, parameters: Any = None) -> Any:
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchone() if cursor.description else None

    def next_query_id(self) -> int:
        """Return the identifier of a new query."""
        return int(self._run("SELECT nextval('redshift_standin.query_id')")[0])

    def transaction_id(self) -> int:
        """Return a current transaction identifier."""
        return int(self._run("SELECT txid_current()")[0])

    def record_load(self, values: dict[str, Any]) -> None:
        """Record a COPY for sys_load_history.

        Args:
            values: The values of the row.
        """
        self._run(_LOAD, values)

    def record_errors(self, values: dict[str, Any], errors: list[LoadError]) -> None:
        """Record load errors.

        Args:
            values: The user, session, query, table and start of the COPY.
            errors: The errors.
        """
        # A NUL byte cannot be stored, so the tables show a point as they do on a cluster.
        rows = [
            {k: v.replace("\0", ".") if isinstance(v, str) else v for k, v in vars(e).items()}
            for e in errors
        ]
        self._run(_ERRORS, {**values, "errors": extras.Json(rows)})

    def record_table(self, table_id: int, attributes: TableAttributes) -> None:
        """Record how a cluster would store a table.

        Args:
            table_id: The table's identifier.
            attributes: The attributes.
        """
        self._run(
            "INSERT INTO redshift_standin.table_attributes VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [
                table_id,
                attributes.diststyle,
                attributes.distkey,
                list(attributes.sortkey) or None,
                json.dumps(attributes.encodings),
            ],
        )


def now() -> datetime:
    """Return the current time in UTC, without a zone as the system tables have it."""
    return datetime.now(UTC).replace(tzinfo=None)
