"""A stream cut short and taken for the end, a snapshot that moves, or a parameter that is SQL."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from etl_assets.core.campaigns import Campaign, Scalar
from etl_assets.core.errors import EtlError, SourceError, TransientError
from etl_assets.pipeline import extract
from etl_assets.systems import source_mysql
from etl_assets.systems.mysql_errors import explained
from etl_assets.systems.source_mysql import MysqlSource, with_driver_parameters
from etl_assets.systems.staging import FileStaging
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.systems.mysql_reading import BINDINGS, make_dataset, open_mysql, read

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
CAMPAIGN = Campaign(key="SP17", name="", start=dt.date(2017, 3, 1), end=dt.date(2017, 5, 31))

MANY = 60_000
"""Records of some 1,000 bytes: more than any buffer between server and client holds."""


@pytest.fixture(scope="module")
def many(mariadb: MariaDBServer) -> Iterator[str]:
    """A query for many long records."""
    mariadb.run(
        "CREATE TABLE many (id INT PRIMARY KEY, filler VARCHAR(1000)) ENGINE=InnoDB",
        f"INSERT INTO many SELECT seq, REPEAT('x', 1000) FROM seq_1_to_{MANY}",
    )
    yield "SELECT id, filler FROM many"
    mariadb.run("DROP TABLE many")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a batch be few records, so that a test can act between two."""
    monkeypatch.setattr(source_mysql, "BLOCK_BYTES", 10_000)


@given(values=st.lists(st.tuples(st.none() | TEXT, st.none() | TEXT), max_size=8))
@hypothesis_settings(max_examples=60)
def test_any_text_arrives_as_it_is(
    mariadb: MariaDBServer,
    tmp_path_factory: pytest.TempPathFactory,
    values: list[tuple[str | None, str | None]],
) -> None:
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE texts (id INT PRIMARY KEY, a VARCHAR(30), b TEXT)")
        rows = [(n, a, b) for n, (a, b) in enumerate(values)]
        cursor.executemany("INSERT INTO texts VALUES (%s, %s, %s)", rows)
    found = read(mariadb, tmp_path_factory.mktemp("texts"), "SELECT id, a, b FROM texts")
    assert sorted((r["id"], r["a"], r["b"]) for r in found.records) == rows


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@hypothesis_settings(max_examples=40)
def test_any_double_arrives_as_it_is(
    mariadb: MariaDBServer, tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    with mariadb.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE TABLE doubles (id INT PRIMARY KEY, a DOUBLE)")
        cursor.executemany("INSERT INTO doubles VALUES (%s, %s)", list(enumerate(values)))
    found = read(mariadb, tmp_path_factory.mktemp("doubles"), "SELECT id, a FROM doubles")
    assert [r["a"] for r in found.records] == values


def test_one_column_of_null_and_empty_text_keeps_every_record(
    mariadb: MariaDBServer, tmp_path: Path
) -> None:
    query = "SELECT CAST(NULL AS CHAR(5)) AS id UNION ALL SELECT '' UNION ALL SELECT NULL"
    found = read(mariadb, tmp_path, query)
    assert [r["id"] for r in found.records] == [None, "", None]
    assert found.count == 3


def test_a_query_of_no_records_gives_its_columns(mariadb: MariaDBServer, tmp_path: Path) -> None:
    found = read(mariadb, tmp_path, "SELECT 1 AS id, 'a' AS v FROM DUAL WHERE 1 = 0")
    assert (found.count, found.records, list(found.kinds)) == (0, [], ["id", "v"])


@pytest.mark.parametrize(
    "query",
    [
        "WITH a AS (SELECT 1 AS id) SELECT id, id + 1 AS next FROM a",
        "SELECT id, COUNT(*) AS n FROM (SELECT 1 AS id UNION ALL SELECT 1) u GROUP BY id HAVING n > 1",
        "SELECT a.id, b.id AS other FROM (SELECT 1 AS id) a LEFT JOIN (SELECT 2 AS id) b ON a.id = b.id",
        "SELECT 1 AS id -- the last line is a comment",
        "SELECT 1 AS id, '100 %' AS share, ':start' AS word, \"%s\" AS mark ORDER BY id LIMIT 1",
        "SELECT 1 AS id, ROW_NUMBER() OVER (ORDER BY 1) AS n",
    ],
)
def test_any_select_is_a_query(mariadb: MariaDBServer, tmp_path: Path, query: str) -> None:
    found = read(mariadb, tmp_path, query)
    assert (found.count, found.records[0]["id"]) == (1, 1)


def test_what_is_in_literals_and_comments_is_no_parameter() -> None:
    query = """SELECT ':a', `x:b`, "q:c" /* :d */ , 'it''s \\' :e' LIKE '5%' WHERE a=:start AND b<:end -- :f"""
    made = with_driver_parameters(query)
    assert made == query.replace("%", "%%").replace(":start", "%(start)s").replace(
        ":end", "%(end)s"
    )


HOSTILE = (
    "x' OR '1'='1", "'; DROP TABLE victims; -- ", "\\' OR 1=1 -- ", "%s", "%(start)s", ":start",
    '" OR ""="', "\\", "a\nb", "😀", "/*! 1 */",
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_sql_in_a_parameter_stays_a_value(
    mariadb: MariaDBServer, tmp_path: Path, value: str
) -> None:
    mariadb.run("CREATE OR REPLACE TABLE victims (id INT)", "INSERT INTO victims VALUES (1), (2)")
    query = "SELECT id, :word AS word FROM victims WHERE :word = 'nothing' OR id = 2"
    found = read(mariadb, tmp_path, query, {"word": value})
    assert found.records == [{"id": 2, "word": value}]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [(3, "integer", 3), (True, "integer", 1), (1.5, "double", 1.5), ("a", "varchar(1)", "a")],
)
def test_a_parameter_keeps_its_type(
    mariadb: MariaDBServer, tmp_path: Path, value: Scalar, kind: str, expected: object
) -> None:
    found = read(mariadb, tmp_path, "SELECT 1 AS id, :v AS v", {"v": value})
    assert (found.kinds["v"], found.records[0]["v"]) == (kind, expected)


def test_the_snapshot_does_not_move_while_others_write(
    mariadb: MariaDBServer, small_blocks: None
) -> None:
    del small_blocks
    mariadb.run(
        "CREATE OR REPLACE TABLE moving (id INT PRIMARY KEY, v VARCHAR(1000)) ENGINE=InnoDB",
        "INSERT INTO moving SELECT seq, REPEAT('a', 1000) FROM seq_1_to_500",
    )
    source = open_mysql(mariadb)
    with source.snapshot(make_dataset("SELECT id, v FROM moving"), dict(BINDINGS)) as snapshot:
        mariadb.run("INSERT INTO moving VALUES (501, 'late')")
        assert snapshot.fingerprint(()).records == 500
        batches = snapshot.batches()
        seen = next(batches).to_pylist()
        mariadb.run("UPDATE moving SET v = 'changed'", "DELETE FROM moving WHERE id > 400")
        for batch in batches:
            seen += batch.to_pylist()
        assert snapshot.fingerprint(()).records == 500
    assert [r["id"] for r in seen] == list(range(1, 501))
    assert {r["v"] for r in seen} == {"a" * 1000}


def test_the_session_reads_only_and_is_pinned(mariadb: MariaDBServer, tmp_path: Path) -> None:
    mariadb.run(
        "SET GLOBAL time_zone = '+05:00'",
        "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH'",
    )
    try:
        found = read(
            mariadb, tmp_path,
            "SELECT 1 AS id, @@session.time_zone AS zone, @@session.sql_mode AS modes,"
            " @@tx_isolation AS isolation, @@session.net_write_timeout AS patience",
        )  # fmt: skip
    finally:
        mariadb.run("SET GLOBAL time_zone = 'SYSTEM'", "SET GLOBAL sql_mode = DEFAULT")
    record = found.records[0]
    assert record["zone"] == "+00:00"
    assert "ANSI_QUOTES" not in str(record["modes"])
    assert "ESCAPES" not in str(record["modes"])
    assert record["isolation"] == "REPEATABLE-READ"
    assert record["patience"] == 60


def _interrupt(source: MysqlSource, query: str, act: Callable[[], None]) -> int:
    """Read one batch, act, and read the others; return how many records came."""
    with source.snapshot(make_dataset(query), dict(BINDINGS)) as snapshot:
        batches = snapshot.batches()
        received = next(batches).num_rows
        act()
        return int(received + sum(batch.num_rows for batch in batches))


def _readers(server: MariaDBServer) -> list[int]:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'reader'")
        return [number for (number,) in cursor.fetchall()]


def _await_no_reader(server: MariaDBServer) -> None:
    while _readers(server):
        pass


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_connection_is_an_error_and_never_the_end(
    mariadb: MariaDBServer, many: str
) -> None:
    def kill() -> None:
        mariadb.run(*(f"KILL CONNECTION {number}" for number in _readers(mariadb)))

    with pytest.raises(TransientError, match=r"failed for campaign SP17: .*(lost|ended)"):
        _interrupt(open_mysql(mariadb), many, kill)


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_query_is_an_error_and_never_the_end(mariadb: MariaDBServer, many: str) -> None:
    def kill() -> None:
        mariadb.run(*(f"KILL QUERY {number}" for number in _readers(mariadb)))

    with pytest.raises(TransientError, match="failed for campaign SP17: somebody ended it"):
        _interrupt(open_mysql(mariadb), many, kill)


@pytest.mark.usefixtures("small_blocks")
def test_a_killed_server_is_an_error_and_never_the_end(tmp_path: Path) -> None:
    with MariaDBServer() as server:
        server.run("CREATE TABLE many (id INT PRIMARY KEY, filler VARCHAR(1000))",
                   f"INSERT INTO many SELECT seq, REPEAT('x', 1000) FROM seq_1_to_{MANY}")  # fmt: skip
        with pytest.raises(
            TransientError, match="failed for campaign SP17: the connection was lost"
        ):
            _interrupt(open_mysql(server), "SELECT id, filler FROM many", server.kill)
        with pytest.raises(TransientError, match="cannot be reached"):
            read(server, tmp_path, "SELECT 1 AS id")
        server.start()
        assert read(server, tmp_path, "SELECT id FROM many").count == MANY


@pytest.mark.usefixtures("small_blocks")
def test_a_stream_that_nobody_reads_is_cut_and_that_is_an_error(
    mariadb: MariaDBServer, many: str
) -> None:
    source = open_mysql(mariadb, "?net_write_timeout=1")
    with pytest.raises(TransientError, match="the connection was lost"):
        _interrupt(source, many, lambda: _await_no_reader(mariadb))


@pytest.mark.usefixtures("small_blocks")
def test_a_stream_left_half_read_is_not_read_to_its_end(mariadb: MariaDBServer, many: str) -> None:
    with open_mysql(mariadb).snapshot(make_dataset(many), dict(BINDINGS)) as snapshot:
        next(snapshot.batches())
    _await_no_reader(mariadb)


def test_a_record_longer_than_a_packet_is_an_error(mariadb: MariaDBServer, tmp_path: Path) -> None:
    query = "SELECT 1 AS id, REPEAT('x', 9000000) AS a, REPEAT('x', 9000000) AS b"
    with pytest.raises(SourceError, match="longer than the server's max_allowed_packet"):
        read(mariadb, tmp_path, query)


def test_a_long_group_concat_is_not_cut(mariadb: MariaDBServer, tmp_path: Path) -> None:
    query = "SELECT 1 AS id, LENGTH(GROUP_CONCAT(seq)) AS n FROM seq_1_to_400000"
    assert read(mariadb, tmp_path, query).records[0]["n"] == 2688894


def test_columns_are_found_without_running_the_query(mariadb: MariaDBServer) -> None:
    query = "SELECT seq AS id, SUM(seq) OVER () AS v FROM seq_1_to_100000000"
    with open_mysql(mariadb, "?read_timeout=20").snapshot(
        make_dataset(query), dict(BINDINGS)
    ) as snapshot:
        assert [c.name for c in snapshot.columns] == ["id", "v"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT nothing AS id FROM missing", r"missing' doesn't exist \(MySQL error 1146\)"),
        ("SELECT 1 AS id, 2 AS id", r"Duplicate column name 'id'"),
        ("SELECT nothing AS id FROM DUAL", r"Unknown column 'nothing'"),
        ("SELECT 1 AS id, 18446744073709551615 + :start AS n", "out of range"),
        ("SELECT 1 AS Id", "`Id`, which is not one of lower case"),
        ("SELECT 1 AS id, COUNT(*)", r"`COUNT\(\*\)`, which is not one of"),
        ("SELECT user AS id FROM mysql.user", "may not read"),
    ],
)
def test_a_refused_query_is_one_sentence_without_its_values(
    mariadb: MariaDBServer, tmp_path: Path, query: str, message: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read(mariadb, tmp_path, query, {"start": 123454321})
    assert "123454321" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.remedy


def test_an_unknown_code_shows_its_number_and_not_the_driver_s_words() -> None:
    import pymysql

    with (
        pytest.raises(EtlError, match="refused it with error 9999") as caught,
        explained("It failed"),
    ):
        raise pymysql.err.OperationalError(9999, "near 'secret'")
    assert "secret" not in str(caught.value)


def test_an_extract_of_the_source_counts_what_it_received(
    mariadb: MariaDBServer, many: str, tmp_path: Path
) -> None:
    made = extract(
        make_dataset(many),
        CAMPAIGN,
        open_mysql(mariadb),
        FileStaging(tmp_path),
        source_name="mysql",
    )
    assert (made.records, made.source_records, made.rejected, made.touched) == (MANY, MANY, 0, ())


def test_the_check_says_what_it_found(mariadb: MariaDBServer) -> None:
    mariadb.run("CREATE TABLE IF NOT EXISTS one (id INT)")
    (found,) = open_mysql(mariadb).check()
    assert found.ok
    assert "MariaDB" in found.detail
    assert "loopback" in found.detail
