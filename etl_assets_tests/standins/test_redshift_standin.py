"""Tests of the stand-in's sessions, SQL rules, transactions and concurrency."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redshift_connector.error

from etl_assets_tests.standins.bucket import Bucket
from etl_assets_tests.standins.certificate import make_certificate
from etl_assets_tests.standins.conftest import Connect, copy_text
from etl_assets_tests.standins.redshift import RedshiftStandin, RedshiftStandinError
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import split_statements, tokenize
from etl_assets_tests.standins.redshift.plan import plan_statement

Cursor = Any
Submit = Callable[..., "Future[Any]"]


@pytest.fixture
def submit() -> Iterator[Submit]:
    """Runs a call in another thread."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


@pytest.fixture
def connector(redshift: RedshiftStandin) -> Iterator[Any]:
    """A connection of redshift_connector, which uses extended queries."""
    connection = redshift_connector.connect(
        host=redshift.host,
        port=redshift.port,
        user=redshift.user,
        password=redshift.password,
        database=redshift.database,
        ssl=False,
    )
    yield connection
    connection.close()


def wait_until_blocked(observer: Any, pid: int) -> None:
    """Return when a session waits for a lock."""
    cursor = observer.cursor()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted", [pid])
        waiting = cursor.fetchone()[0]
        observer.rollback()
        if waiting:
            return
    raise AssertionError("the session never waited")


def test_a_client_sees_a_redshift_server(cursor: Cursor) -> None:
    assert cursor.connection.info.server_version == 80002
    cursor.execute("SHOW server_version")
    assert cursor.fetchone() == ("8.0.2",)
    cursor.execute("SELECT version(), getdate(), sysdate, pg_last_copy_count(), pg_last_copy_id()")
    version, today, now, count, query = cursor.fetchone()
    assert version.startswith("PostgreSQL 8.0.2 on ")
    assert "Redshift" in version
    assert isinstance(today, datetime)
    assert today.microsecond == 0
    assert isinstance(now, datetime)
    assert (count, query) == (0, -1)


def test_redshift_connector_reads_writes_and_copies(connector: Any, bucket: Bucket) -> None:
    cursor = connector.cursor()
    cursor.execute("CREATE TABLE connector_rows (id int, s varchar(9)) DISTSTYLE EVEN")
    cursor.execute(copy_text("connector_rows", bucket.load(b"1,one\n2,two\n")))
    cursor.execute("SELECT pg_last_copy_count()")
    assert list(cursor.fetchall()[0]) == [2]
    connector.commit()
    cursor.execute(copy_text("connector_rows", bucket.load(b"3,three\n")))
    cursor.execute("SELECT pg_last_copy_count()")
    assert list(cursor.fetchall()[0]) == [1]
    cursor.execute("INSERT INTO connector_rows VALUES (%s, %s)", (4, "four"))
    connector.rollback()
    connector.autocommit = True
    cursor.execute("INSERT INTO connector_rows VALUES (%s, %s)", (5, "five"))
    cursor.execute("SELECT id, s FROM connector_rows WHERE id > %s ORDER BY id", (1,))
    assert [list(row) for row in cursor.fetchall()] == [[2, "two"], [5, "five"]]
    cursor.execute("DROP TABLE connector_rows")


def test_redshift_connector_sees_errors_and_goes_on(connector: Any, bucket: Bucket) -> None:
    connector.autocommit = True
    cursor = connector.cursor()
    cursor.execute("CREATE TEMP TABLE n (id int)")
    for statement in (
        copy_text("n", bucket.load(b"x\n")),
        "SAVEPOINT a",
        "SELECT nothing",
        "INSERT INTO n VALUES ('x')",
        "INSERT INTO nowhere VALUES (1)",
        "COPY n FROM 's3://loads/x' CSV",
    ):
        with pytest.raises(redshift_connector.error.ProgrammingError):
            cursor.execute(statement)
        cursor.execute("SELECT count(*) FROM n")
        assert list(cursor.fetchall()[0]) == [0]


def test_a_wrong_password_is_refused(redshift: RedshiftStandin) -> None:
    wrong = redshift.dsn.replace(redshift.password, "wrong")
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(wrong)


def test_the_stand_ins_own_account_is_closed_to_clients(redshift: RedshiftStandin) -> None:
    own = redshift.dsn.replace(redshift.user, "standin_admin")
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(own)


REFUSED = [
    ("SAVEPOINT a", "0A000"),
    ("RELEASE SAVEPOINT a", "0A000"),
    ("ROLLBACK TO SAVEPOINT a", "0A000"),
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "42601"),
    ("INSERT INTO t VALUES (1) RETURNING id", "42601"),
    ("DELETE FROM t RETURNING id", "42601"),
    ("UPDATE t SET id = 1 RETURNING id", "42601"),
    ("WITH x AS (DELETE FROM t) SELECT 1", "42601"),
    ("CREATE INDEX i ON t (id)", "0A000"),
    ("CREATE UNIQUE INDEX i ON t (id)", "0A000"),
    ("CREATE SEQUENCE s", "0A000"),
    ("CREATE TYPE e AS ENUM ('a')", "0A000"),
    ("CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", "0A000"),
    ("CREATE EXTENSION hstore", "0A000"),
    ("CREATE EXTERNAL TABLE x (a int)", "0A000"),
    ("CREATE UNLOGGED TABLE x (a int)", "0A000"),
    ("DROP INDEX i", "0A000"),
    ("ALTER SEQUENCE s RESTART", "0A000"),
    ("SELECT nextval('s')", "0A000"),
    ("LISTEN x", "42601"),
    ("NOTIFY x", "42601"),
    ("DO 'BEGIN END'", "42601"),
    ("CLUSTER t", "42601"),
    ("VALUES (1)", "42601"),
    ("SELECT * FROM (VALUES (1)) v", "42601"),
    ("SELECT ARRAY[1]", "0A000"),
    ("SELECT '{}'::int[]", "0A000"),
    ("SELECT DISTINCT ON (id) id FROM t", "0A000"),
    ("SELECT * FROM t, LATERAL (SELECT 1) l", "42601"),
    ("SELECT count(*) FILTER (WHERE true) FROM t", "42601"),
    ("TRUNCATE t, t", "42601"),
    ("TRUNCATE t CASCADE", "42601"),
    ("LOCK TABLE t IN SHARE MODE", "42601"),
    ("LOCK TABLE t NOWAIT", "42601"),
    ("SET lock_timeout TO 5", "42704"),
    ("SET enable_case_sensitive_identifier TO true", "0A000"),
    (f"SELECT 1 AS {'i' * 128}", "42622"),
    ("CREATE TABLE x (a int CHECK (a > 0))", "0A000"),
    ("CREATE TABLE x (a int, CHECK (a > 0))", "0A000"),
    ("CREATE TABLE x (a int[])", "0A000"),
    ("CREATE TABLE x (a serial)", "0A000"),
    ("CREATE TABLE x (a uuid)", "0A000"),
    ("CREATE TABLE x (a json)", "0A000"),
    ("CREATE TABLE x (a varchar(65536))", "22023"),
    ("CREATE TABLE x (a char(4097))", "22023"),
    ("CREATE TABLE x (a decimal(39, 0))", "22023"),
    ("CREATE TABLE x (a decimal(38, 38))", "22023"),
    ("CREATE TABLE x (a timestamp(3))", "42601"),
    ("CREATE TABLE x (tag int)", "42601"),
    ("CREATE TABLE x (ctid int)", "42701"),
    ('CREATE TABLE x ("OID" int)', "42701"),
    ('CREATE TABLE x (a int, "A" int)', "42701"),
    ("CREATE TABLE x (a int) DISTKEY (b)", "42703"),
    ("CREATE TABLE x (a int) SORTKEY (b)", "42703"),
    ("CREATE TABLE x (a int DISTKEY, b int DISTKEY)", "42601"),
    ("CREATE TABLE x (a int DISTKEY) DISTSTYLE ALL", "42601"),
    ("CREATE TABLE x (a int) DISTSTYLE KEY", "42601"),
    ("CREATE TABLE x (a int) DISTSTYLE ROUND", "42601"),
    ("CREATE TABLE x (a int ENCODE zip)", "42601"),
    ("CREATE TABLE x (a int) WITH (fillfactor = 10)", "42601"),
    ("CREATE TABLE x (a int) INHERITS (t)", "42601"),
    ("CREATE TEMP TABLE x (a int) ON COMMIT DROP", "42601"),
    ("CREATE TABLE x (" + ", ".join(f"c{n} int" for n in range(1601)) + ")", "54011"),
    ("ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int", "0A000"),
    ("ALTER TABLE t DROP COLUMN a, DROP COLUMN b", "0A000"),
    ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int", "42601"),
    ("ALTER TABLE t ADD COLUMN a int NOT NULL", "0A000"),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0)", "0A000"),
    ("ALTER TABLE t ALTER COLUMN id TYPE bigint", "0A000"),
    ("ALTER TABLE t ALTER COLUMN id SET NOT NULL", "0A000"),
    ("ALTER TABLE t APPEND FROM u", "0A000"),
]


@pytest.mark.parametrize(("statement", "code"), REFUSED, ids=[r[0][:48] for r in REFUSED])
def test_what_redshift_refuses_is_refused(cursor: Cursor, statement: str, code: str) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error) as caught:
        cursor.execute(statement)
    assert caught.value.pgcode == code
    cursor.execute("SELECT count(*) FROM t")
    assert cursor.fetchone() == (0,)


def test_a_refused_statement_fails_its_transaction(connect: Connect) -> None:
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error, match="SAVEPOINT"):
        cursor.execute("SAVEPOINT a")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute("SELECT 1")
    connection.rollback()
    cursor.execute("SELECT to_regclass('t')::text")
    assert cursor.fetchone() == (None,)


def test_storage_attributes_are_accepted_and_shown(cursor: Cursor) -> None:
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS t (id bigint NOT NULL ENCODE az64 PRIMARY KEY, "
        "k varchar(20) ENCODE zstd UNIQUE DISTKEY COLLATE CASE_SENSITIVE, "
        "d date DEFAULT sysdate, f int REFERENCES t (id), "
        "CONSTRAINT c UNIQUE (k), FOREIGN KEY (f) REFERENCES t (id)) "
        "BACKUP NO DISTSTYLE KEY COMPOUND SORTKEY (d, id)"
    )
    cursor.execute(
        "SELECT diststyle, sortkey1, sortkey_num FROM svv_table_info WHERE \"table\" = 't'"
    )
    assert ("KEY(k)", "d", 2) in cursor.fetchall()
    cursor.execute(
        'SELECT "column", type, trim(encoding), distkey, sortkey, "notnull" FROM pg_table_def '
        "WHERE tablename = 't' AND schemaname = current_schema()"
    )
    assert cursor.fetchall() == [
        ("id", "bigint", "az64", False, 2, True),
        ("k", "character varying(20)", "zstd", True, 0, False),
        ("d", "date", "none", False, 1, False),
        ("f", "integer", "none", False, 0, False),
    ]
    cursor.execute("CREATE TEMP TABLE u DISTSTYLE EVEN SORTKEY (id) AS SELECT * FROM t")
    cursor.execute("CREATE TABLE v (LIKE t INCLUDING DEFAULTS)")


def test_keys_are_not_enforced_but_make_columns_not_null(cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE t (a int, b int UNIQUE, PRIMARY KEY (a))")
    cursor.execute("INSERT INTO t VALUES (1, 1), (1, 1)")
    cursor.execute("ALTER TABLE t ADD CONSTRAINT k UNIQUE (a)")
    cursor.execute("ALTER TABLE t DROP CONSTRAINT k")
    with pytest.raises(psycopg2.errors.NotNullViolation):
        cursor.execute("INSERT INTO t VALUES (NULL, 1)")


def test_types_have_redshifts_sizes(cursor: Cursor) -> None:
    cursor.execute(
        "CREATE TABLE t (a varchar, b text, c varchar(max), d char, e bpchar, f decimal, "
        "g nvarchar(7), h character varying(8), i float, j timestamp with time zone, "
        "k super, l varbyte(3), m double precision, n decimal(20))"
    )
    cursor.execute(
        "SELECT type FROM pg_table_def WHERE tablename = 't' AND schemaname = current_schema()"
    )
    assert [row[0] for row in cursor.fetchall()] == [
        "character varying(256)",
        "character varying(256)",
        "character varying(65535)",
        "character(1)",
        "character(256)",
        "numeric(18,0)",
        "character varying(7)",
        "character varying(8)",
        "double precision",
        "timestamp with time zone",
        "super",
        "bytea",
        "double precision",
        "numeric(20,0)",
    ]
    cursor.execute("SELECT 'x'::varchar(max), '{}'::super")


def test_lengths_are_in_bytes_for_insert_and_update_and_copies_of_the_table(
    cursor: Cursor,
) -> None:
    cursor.execute("CREATE TABLE t (a varchar(4), b char(2), c varbyte(1))")
    cursor.execute("INSERT INTO t VALUES ('ää', 'ab', '\\x00')")
    cursor.execute("CREATE TABLE u (LIKE t)")
    for statement, size in (
        ("INSERT INTO t (a) VALUES ('äää')", "character varying(4)"),
        ("UPDATE t SET a = 'aäää'", "character varying(4)"),
        ("INSERT INTO u (a) VALUES ('äää')", "character varying(4)"),
        ("INSERT INTO t (b) VALUES ('ä')", "character(2)"),
        ("INSERT INTO t (c) VALUES ('\\x0000')", "binary varying(1)"),
        ("INSERT INTO t (a) VALUES ('abcde')", "character varying(4)"),
    ):
        with pytest.raises(psycopg2.errors.StringDataRightTruncation) as caught:
            cursor.execute(statement)
        assert f"value too long for type {size}" in str(caught.value)


def test_only_varchar_is_resized_and_only_outside_a_transaction(connect: Connect) -> None:
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (a varchar(2), n int)")
    connection.commit()
    with pytest.raises(psycopg2.errors.ActiveSqlTransaction):
        cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    connection.rollback()
    connection.autocommit = True
    cursor.execute("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    assert cursor.statusmessage == "ALTER TABLE"
    cursor.execute("INSERT INTO t VALUES ('äää')")
    with pytest.raises(psycopg2.errors.StringDataRightTruncation):
        cursor.execute("INSERT INTO t VALUES ('äääa')")
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        cursor.execute("ALTER TABLE t ALTER COLUMN n TYPE varchar(6)")


def test_columns_are_added_one_at_a_time(cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE t (a int)")
    cursor.execute("ALTER TABLE t ADD COLUMN b varchar(4) ENCODE zstd DEFAULT 'x'")
    cursor.execute("ALTER TABLE t ALTER COLUMN b ENCODE lzo")
    cursor.execute("ALTER TABLE t ALTER SORTKEY (a)")
    cursor.execute("ALTER TABLE t RENAME COLUMN b TO c")
    cursor.execute("ALTER TABLE t DROP COLUMN a CASCADE")
    cursor.execute("SELECT c FROM t")


def test_identifiers_are_folded_even_when_quoted(cursor: Cursor) -> None:
    cursor.execute('CREATE TABLE "Orders" ("Id" int, "ÄB" int)')
    cursor.execute('INSERT INTO orders ("ID") VALUES (1)')
    cursor.execute('SELECT "iD" AS "Number", \'A"B\' FROM "ORDERS"')
    assert cursor.description[0].name == "number"
    assert cursor.fetchone() == (1, 'A"B')
    cursor.execute('SELECT "Äb" FROM orders')


def test_parameters_only_redshift_has_are_accepted(cursor: Cursor) -> None:
    cursor.execute("SET query_group TO 'loads'")
    cursor.execute("SHOW query_group")
    assert cursor.fetchone() == ("loads",)
    cursor.execute("RESET query_group")
    cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute("SHOW default_transaction_isolation")
    assert cursor.fetchone() == ("serializable",)


def test_every_isolation_level_is_accepted_and_the_databases_own_is_used(
    connect: Connect,
) -> None:
    connection = connect()
    connection.set_session(isolation_level="READ COMMITTED")
    cursor = connection.cursor()
    cursor.execute("SHOW transaction_isolation")
    assert cursor.fetchone() == ("serializable",)


def test_vacuum_and_analyze_take_redshifts_words(cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE t (a int)")
    cursor.execute("VACUUM SORT ONLY t TO 99 PERCENT")
    cursor.execute("VACUUM DELETE ONLY t")
    cursor.execute("ANALYZE t PREDICATE COLUMNS")
    cursor.execute("DELETE t")


def test_truncate_commits_the_transaction_it_is_in(connect: Connect) -> None:
    connection, other = connect(), connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (a int)")
    cursor.execute("CREATE TABLE u (a int)")
    cursor.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    cursor.execute("INSERT INTO u VALUES (1)")
    cursor.execute("TRUNCATE TABLE t")
    connection.rollback()
    reading = other.cursor()
    reading.execute("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)")
    assert reading.fetchone() == (0, 1)


def test_truncate_commits_in_extended_queries_too(connector: Any) -> None:
    cursor = connector.cursor()
    cursor.execute("CREATE TABLE truncated (a int)")
    cursor.execute("INSERT INTO truncated VALUES (1)")
    connector.commit()
    cursor.execute("TRUNCATE truncated")
    connector.rollback()
    cursor.execute("SELECT count(*) FROM truncated")
    assert list(cursor.fetchall()[0]) == [0]
    cursor.execute("DROP TABLE truncated")
    connector.commit()


def test_the_statements_of_one_message_are_one_transaction(cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE t (a int)")
    with pytest.raises(psycopg2.Error, match="division by zero"):
        cursor.execute("INSERT INTO t VALUES (1); SELECT 1 / 0")
    cursor.execute("INSERT INTO t VALUES (2); SELECT a FROM t")
    assert cursor.fetchall() == [(2,)]
    cursor.execute("BEGIN; INSERT INTO t VALUES (3); ROLLBACK")
    cursor.execute("SELECT count(*) FROM t;  -- the end")
    assert cursor.fetchone() == (1,)
    cursor.execute("SELECT $q$;$q$, E'\\';', 'a--b' /* ; /* nested */ */")
    assert cursor.fetchone() == (";", "';", "a--b")


def test_a_copy_that_is_rolled_back_leaves_no_rows(connect: Connect, bucket: Bucket) -> None:
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (a int)")
    connection.commit()
    cursor.execute(copy_text("t", bucket.load(b"1\n")))
    connection.rollback()
    cursor.execute("SELECT count(*), pg_last_copy_count() FROM t")
    assert cursor.fetchone() == (0, 1)


def replace_key(connection: Any, key: str, mutex: str = "") -> None:
    """Replace one key's rows as a loader does."""
    cursor = connection.cursor()
    if mutex:
        cursor.execute(f"LOCK TABLE {mutex}")
    cursor.execute("DELETE FROM t WHERE k = %s", [key])
    cursor.execute("INSERT INTO t VALUES (%s, 'new')", [key])


@pytest.fixture
def keyed(connect: Connect) -> Connect:
    """A table with two keys and a mutex beside it."""
    make_keyed(connect)
    return connect


def make_keyed(connect: Connect) -> None:
    """Create the tables of the concurrency tests."""
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (k varchar(9), v varchar(9))")
    cursor.execute("CREATE TABLE mutex (a int)")
    cursor.execute("INSERT INTO t VALUES ('a', 'old'), ('b', 'old')")
    connection.commit()


def values(connection: Any) -> list[tuple[str, str]]:
    """Return the rows a reader sees at once."""
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout TO 5000")
    cursor.execute("SELECT k, v FROM t ORDER BY k")
    rows: list[tuple[str, str]] = cursor.fetchall()
    connection.rollback()
    return rows


OLD, NEW = [("a", "old"), ("b", "old")], [("a", "new"), ("b", "new")]


@pytest.mark.parametrize("mutex", ["", "mutex"])
def test_two_loaders_of_one_table_run_one_after_the_other(
    keyed: Connect, submit: Submit, mutex: str
) -> None:
    first, second, reader = keyed(), keyed(), keyed()
    replace_key(first, "a", mutex)
    waiting = submit(replace_key, second, "b", mutex)
    wait_until_blocked(reader, second.info.backend_pid)
    assert values(reader) == OLD
    first.commit()
    waiting.result(30)
    second.commit()
    assert values(reader) == NEW


def test_an_autocommit_write_waits_and_then_sees_the_table_as_it_is(
    keyed: Connect, submit: Submit
) -> None:
    first, second, reader = keyed(), keyed(), keyed()
    second.autocommit = True
    replace_key(first, "a")
    waiting = submit(second.cursor().execute, "UPDATE t SET v = v || '!'")
    wait_until_blocked(reader, second.info.backend_pid)
    first.commit()
    waiting.result(30)
    assert values(reader) == [("a", "new!"), ("b", "old!")]


def test_a_stale_snapshot_is_error_1023(keyed: Connect, submit: Submit) -> None:
    first, second, reader = keyed(), keyed(), keyed()
    second.cursor().execute("SELECT count(*) FROM t")
    replace_key(first, "a")
    waiting = submit(replace_key, second, "b")
    wait_until_blocked(reader, second.info.backend_pid)
    assert values(reader) == OLD
    first.commit()
    with pytest.raises(psycopg2.errors.InternalError_) as caught:
        waiting.result(30)
    assert caught.value.pgcode == "XX000"
    assert caught.value.diag.message_primary == "1023"
    cursor = reader.cursor()
    cursor.execute("SELECT to_regclass('t')::oid::int")
    (table,) = cursor.fetchone()
    reader.rollback()
    expected = f"Serializable isolation violation on table - {table}, transactions forming the"
    assert str(caught.value.diag.message_detail).startswith(expected)
    second.rollback()
    replace_key(second, "b")
    second.commit()
    assert values(reader) == NEW


def test_snapshot_isolation_allows_other_rows_on_a_stale_snapshot(
    connect_snapshot: Connect, submit: Submit
) -> None:
    make_keyed(connect_snapshot)
    first, second, reader = connect_snapshot(), connect_snapshot(), connect_snapshot()
    second.cursor().execute("SELECT count(*) FROM t")
    replace_key(first, "a")
    waiting = submit(replace_key, second, "b")
    wait_until_blocked(reader, second.info.backend_pid)
    first.commit()
    waiting.result(30)
    second.commit()
    assert values(reader) == NEW


def test_snapshot_isolation_refuses_the_same_rows_with_1023(
    connect_snapshot: Connect, submit: Submit
) -> None:
    make_keyed(connect_snapshot)
    first, second, reader = connect_snapshot(), connect_snapshot(), connect_snapshot()
    second.cursor().execute("SELECT count(*) FROM t")
    replace_key(first, "a")
    waiting = submit(replace_key, second, "a")
    wait_until_blocked(reader, second.info.backend_pid)
    first.commit()
    with pytest.raises(psycopg2.errors.InternalError_, match="1023"):
        waiting.result(30)


def test_redshift_connector_gets_1023_too(keyed: Connect, connector: Any, submit: Submit) -> None:
    first, reader = keyed(), keyed()
    cursor = connector.cursor()
    reading = first.cursor()
    reading.execute("SHOW search_path")
    cursor.execute(f"SET search_path TO {reading.fetchone()[0]}")
    first.rollback()
    cursor.execute("SELECT pg_backend_pid()")
    pid = cursor.fetchall()[0][0]
    cursor.execute("SELECT count(*) FROM t")
    replace_key(first, "a")
    waiting = submit(cursor.execute, "DELETE FROM t WHERE k = %s", ("b",))
    wait_until_blocked(reader, pid)
    first.commit()
    with pytest.raises(redshift_connector.error.ProgrammingError, match="1023"):
        waiting.result(30)
    connector.rollback()


def test_a_loader_of_redshift_connector_that_locks_first_waits_and_succeeds(
    keyed: Connect, connector: Any, submit: Submit
) -> None:
    first, reader = keyed(), keyed()
    cursor, reading = connector.cursor(), first.cursor()
    reading.execute("SHOW search_path")
    cursor.execute(f"SET search_path TO {reading.fetchone()[0]}")
    cursor.execute("SELECT pg_backend_pid()")
    pid = cursor.fetchall()[0][0]
    connector.commit()
    first.rollback()
    replace_key(first, "a")
    waiting = submit(cursor.execute, "DELETE FROM t WHERE k = %s", ("b",))
    wait_until_blocked(reader, pid)
    first.commit()
    waiting.result(30)
    connector.commit()
    assert values(reader) == [("a", "new")]


def test_copies_into_one_table_wait_for_each_other(
    keyed: Connect, submit: Submit, bucket: Bucket
) -> None:
    first, second, reader = keyed(), keyed(), keyed()
    statement = copy_text("t", bucket.load(b"c,new\n"))
    first.cursor().execute(statement)
    waiting = submit(second.cursor().execute, statement)
    wait_until_blocked(reader, second.info.backend_pid)
    assert values(reader) == OLD
    first.commit()
    waiting.result(30)
    second.commit()
    assert len(values(reader)) == 4


def test_lock_makes_readers_wait_for_the_whole_transaction(keyed: Connect, submit: Submit) -> None:
    first, reader, observer = keyed(), keyed(), keyed()
    replace_key(first, "a", mutex="t")
    waiting = submit(values, reader)
    wait_until_blocked(observer, reader.info.backend_pid)
    first.commit()
    waiting.result(30)
    assert values(reader) == [("a", "new"), ("b", "old")]


def test_a_deadlock_is_reported_to_one_of_the_two(keyed: Connect, submit: Submit) -> None:
    first, second, observer = keyed(), keyed(), keyed()
    first.cursor().execute("LOCK t")
    second.cursor().execute("LOCK mutex")
    waiting = submit(second.cursor().execute, "LOCK t")
    wait_until_blocked(observer, second.info.backend_pid)
    failures = 0
    runs: list[tuple[Any, ...]] = [(first.cursor().execute, "LOCK mutex"), (waiting.result, 30)]
    for run, argument in runs:
        try:
            run(argument)
        except psycopg2.errors.DeadlockDetected:
            failures += 1
            first.rollback()
    assert failures == 1


def test_a_waiting_statement_can_be_cancelled(keyed: Connect, submit: Submit) -> None:
    first, second, observer = keyed(), keyed(), keyed()
    replace_key(first, "a")
    waiting = submit(replace_key, second, "b")
    wait_until_blocked(observer, second.info.backend_pid)
    second.cancel()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        waiting.result(30)


def test_a_client_that_leaves_rolls_back_its_transaction(keyed: Connect) -> None:
    first, second = keyed(), keyed()
    replace_key(first, "a")
    first.close()
    replace_key(second, "b")
    second.commit()
    assert values(second) == [("a", "old"), ("b", "new")]


def test_a_statement_timeout_ends_a_copy_that_waits(keyed: Connect, bucket: Bucket) -> None:
    first, second = keyed(), keyed()
    first.cursor().execute("LOCK t")
    cursor = second.cursor()
    cursor.execute("SET statement_timeout TO 100")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        cursor.execute(copy_text("t", bucket.load(b"c,new\n")))
    second.rollback()
    first.rollback()
    assert values(second) == OLD


def test_a_failed_copy_outside_a_transaction_leaves_the_session_usable(
    cursor: Cursor, bucket: Bucket
) -> None:
    cursor.execute("CREATE TABLE t (a int)")
    for statement in (
        copy_text("t", bucket.load(b"x\n")),
        copy_text("nowhere", bucket.load(b"1\n")),
        copy_text("t", "s3://nowhere/manifest"),
    ):
        with pytest.raises(psycopg2.Error):
            cursor.execute(statement)
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone() == (0,)


def test_a_copy_in_a_failed_transaction_is_not_run(connect: Connect, bucket: Bucket) -> None:
    cursor = connect().cursor()
    cursor.execute("CREATE TABLE t (a int)")
    with pytest.raises(psycopg2.Error):
        cursor.execute("SELECT nothing")
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute(copy_text("t", bucket.load(b"1\n")))


def test_an_endpoint_that_does_not_answer_fails_the_load() -> None:
    with RedshiftStandin("http://127.0.0.1:1") as standin:
        connection = psycopg2.connect(standin.dsn)
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE t (a int)")
        with pytest.raises(psycopg2.errors.InternalError_, match="S3ServiceException"):
            cursor.execute(copy_text("t", "s3://loads/manifest"))
        connection.close()


def test_a_session_that_is_terminated_is_rolled_back(keyed: Connect) -> None:
    first, second = keyed(), keyed()
    replace_key(first, "a")
    cursor = second.cursor()
    cursor.execute("SELECT pg_terminate_backend(%s)", [first.info.backend_pid])
    second.rollback()
    with pytest.raises(psycopg2.OperationalError, match=r"terminating connection|server closed"):
        first.commit()
    replace_key(second, "b")
    second.commit()
    assert values(second) == [("a", "old"), ("b", "new")]


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\0\0\0\x08", b""])
def test_what_is_no_client_is_sent_away(redshift: RedshiftStandin, junk: bytes) -> None:
    with socket.create_connection((redshift.host, redshift.port), 30) as stream:
        stream.sendall(junk)
        stream.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            assert stream.recv(1) == b""


def test_text_that_is_not_utf_8_is_refused(connect: Connect) -> None:
    connection = connect()
    connection.set_client_encoding("LATIN1")
    with pytest.raises(psycopg2.errors.CharacterNotInRepertoire):
        connection.cursor().execute("SELECT 'ä'")
    connection.rollback()


@pytest.mark.parametrize("statement", [r[0] for r in REFUSED if len(r[0]) < 100])
def test_every_beginning_of_a_statement_is_planned_or_refused(statement: str) -> None:
    texts = [token.text for token in tokenize(statement)]
    for end in range(1, len(texts) + 1):
        with contextlib.suppress(SqlError):
            for part in split_statements(" ".join(texts[:end])):
                assert plan_statement(part, "SERIALIZABLE").sql


def test_many_clients_load_at_once(keyed: Connect, submit: Submit, bucket: Bucket) -> None:
    clients = [keyed() for _ in range(16)]
    statement = copy_text("t", bucket.load(b"c,new\n" * 1000))

    def load(connection: Any) -> None:
        connection.cursor().execute(statement)
        connection.commit()

    for done in [submit(load, client) for client in clients]:
        done.result(60)
    assert len(values(clients[0])) == 16_002


def test_tls_is_offered_and_can_be_verified(bucket: Bucket, tmp_path: Path) -> None:
    key, cert = make_certificate(tmp_path)
    with RedshiftStandin(bucket.endpoint, tls_certificate=str(cert), tls_key=str(key)) as standin:
        connection = psycopg2.connect(standin.dsn, sslmode="verify-full", sslrootcert=str(cert))
        assert connection.info.ssl_in_use
        connection.close()


def descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    listing = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listing.stdout.splitlines()]
    found = [child for child, parent in pairs if parent == pid]
    return found + [below for child in found for below in descendants(child)]


def test_stopping_ends_sessions_and_every_process(bucket: Bucket) -> None:
    standin = RedshiftStandin(bucket.endpoint).start()
    processes = descendants(standin.pid)
    assert processes
    connection = psycopg2.connect(standin.dsn)
    connection.cursor().execute("SELECT 1")
    standin.stop()
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")


def test_killing_the_stand_in_ends_postgresql(bucket: Bucket) -> None:
    standin = RedshiftStandin(bucket.endpoint).start()
    processes = descendants(standin.pid)
    os.kill(standin.pid, signal.SIGKILL)
    standin.stop()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < deadline


def test_a_stand_in_that_cannot_start_says_so(bucket: Bucket) -> None:
    with pytest.raises(RedshiftStandinError), RedshiftStandin(bucket.endpoint, binaries="/none"):
        pass


def test_one_command_starts_it_and_prints_one_line_with_the_dsn(bucket: Bucket) -> None:
    module = "etl_assets_tests.standins.redshift"
    command = [sys.executable, "-m", module, "--s3-endpoint", bucket.endpoint, "--port", "0"]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        dsn = process.stdout.readline().strip()
        psycopg2.connect(dsn).close()
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert process.wait(60) == 0


def test_a_data_folder_keeps_the_data(bucket: Bucket, data_folder: str) -> None:
    for expected in (0, 1):
        with RedshiftStandin(bucket.endpoint, data_folder=data_folder) as standin:
            connection = psycopg2.connect(standin.dsn)
            connection.autocommit = True
            cursor = connection.cursor()
            if not expected:
                cursor.execute("CREATE TABLE kept AS SELECT 1 AS a")
            cursor.execute("SELECT count(*) FROM kept")
            assert cursor.fetchone() == (1,)
            connection.close()
