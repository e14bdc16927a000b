"""A feed into a table of another database: in one transaction, or not at all.

At risk: another system's table that is half the old and half the new, or loses what is not ours.
"""

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from etl_assets.core.columns import Column
from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.core.feeds.destinations import TableDestination
from etl_assets.systems.deliver_table import TableTarget, check_url
from etl_assets_tests.servers import MariaDBServer, free_port

COLUMNS = tuple(
    Column.model_validate({"name": name, "type": kind})
    for name, kind in {
        "campaign_key": "text", "product": "bigint", "amount": "decimal(30,2)", "day": "date",
        "at": "timestamp", "flag": "boolean", "share": "double",
    }.items()
)  # fmt: skip
SCHEMA = pa.schema([(c.name, c.type.arrow()) for c in COLUMNS])
Record = tuple[Any, ...]


def record(key: str, product: int, amount: str = "1234567890123456789.05") -> Record:
    at = dt.datetime(2017, 3, 1, 10, 11, 12, 123456)  # noqa: DTZ001
    return (key, product, Decimal(amount), at.date(), at, product % 2 == 0, 0.1)


@pytest.fixture(params=["sqlite", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of another system, without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/other.sqlite"
        return
    server: MariaDBServer = request.getfixturevalue("mariadb")
    server.run("CREATE DATABASE feeds CHARACTER SET utf8mb4")
    yield f"mysql+pymysql://root@127.0.0.1:{server.port}/feeds"
    server.run("DROP DATABASE feeds")


def put(url: str, records: Sequence[Record], scope: str = "all", **said: object) -> None:
    made = TableDestination.model_validate({"url": url, "table": "target", **said})
    values = zip(*records, strict=True) if records else [() for _ in COLUMNS]
    arrays = [pa.array(v, f.type) for v, f in zip(values, SCHEMA, strict=True)]
    batches = [pa.record_batch(arrays, schema=SCHEMA)]
    row = {
        "feed": "units", "scope": scope, "delivery": "1", "records": len(records), "sha256": "0" * 64,
        "delivered_at": dt.datetime(2017, 3, 1), "manifest": "{}",  # noqa: DTZ001
    }  # fmt: skip
    TableTarget(made, check_url(url, "It"), "").put(COLUMNS, batches, scope, row)


def rows(url: str, what: str = "*", table: str = "target") -> list[Record]:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        found = connection.execute(sa.text(f"SELECT {what} FROM {table} ORDER BY 1, 2"))
        return [tuple(row) for row in found]


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def tables(url: str) -> set[str]:
    return set(sa.inspect(sa.create_engine(url, poolclass=sa.pool.NullPool)).get_table_names())


def test_a_table_is_made_and_replaced_with_every_digit(url: str) -> None:
    put(url, [record("A", 1), record("A", 2)])
    (first, _) = rows(url)
    assert [str(value) for value in first[:3]] == ["A", "1", "1234567890123456789.05"]
    assert (str(first[3]), str(first[4])) == ("2017-03-01", "2017-03-01 10:11:12.123456")
    assert (bool(first[5]), first[6]) == (False, 0.1)
    put(url, [record("B", 3)])
    assert rows(url, "campaign_key, product") == [("B", 3)]
    put(url, [])
    assert rows(url) == []
    assert tables(url) == {"target", "etl_assets_deliveries"}
    assert rows(url, "feed, scope, records", "etl_assets_deliveries") == [("units", "all", 0)]


def test_a_campaign_replaces_its_own_records(url: str) -> None:
    put(url, [record("A", 1)], "A", mode="replace_key")
    put(url, [record("B", 1), record("B", 2)], "B", mode="replace_key")
    put(url, [record("A", 3)], "A", mode="replace_key")
    assert rows(url, "campaign_key, product") == [("A", 3), ("B", 1), ("B", 2)]
    assert len(rows(url, "scope, feed", "etl_assets_deliveries")) == 2


def test_an_upsert_replaces_records_with_the_same_key_in_a_table_that_is_there(url: str) -> None:
    run(
        url,
        "CREATE TABLE target (campaign_key VARCHAR(20), product INTEGER, amount DECIMAL(30,2),"
        " day DATE, at DATETIME(6), flag SMALLINT, share DOUBLE PRECISION, own INTEGER DEFAULT 7)",
        "INSERT INTO target (campaign_key, product, amount) VALUES ('A', 1, 5), ('A', 9, 5)",
    )
    put(
        url,
        [record("A", 1, "8.00"), record("B", 1, "9.00")],
        mode="upsert",
        key=["campaign_key", "product"],
    )
    found = rows(url, "campaign_key, product, amount, own")
    assert [(r[0], r[1], float(r[2]), r[3]) for r in found] == [
        ("A", 1, 8.0, 7), ("A", 9, 5.0, 7), ("B", 1, 9.0, 7),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([record("A", 1), record("A", 1)], r"is that of two records \(A, 1\)"),
        ([record("A", 1), (None, 2, *record("A", 2)[2:])], "is NULL"),
    ],
)
def test_a_key_that_names_no_record_is_refused(
    url: str, records: list[Record], problem: str
) -> None:
    put(url, [record("A", 5)], mode="upsert", key=["campaign_key", "product"])
    with pytest.raises(PermanentError, match=problem):
        put(url, records, mode="upsert", key=["campaign_key", "product"])
    assert rows(url, "campaign_key, product") == [("A", 5)]
    assert tables(url) == {"target", "etl_assets_deliveries"}


def test_a_table_that_lacks_a_column_is_refused_as_it_is(url: str) -> None:
    run(url, "CREATE TABLE target (campaign_key VARCHAR(20), product INTEGER)")
    run(url, "INSERT INTO target VALUES ('A', 1)")
    with pytest.raises(PermanentError, match="has no column `amount`, `day`"):
        put(url, [record("A", 2)])
    assert rows(url) == [("A", 1)]


def test_what_the_database_refuses_leaves_the_table_as_it_was(url: str) -> None:
    run(
        url,
        "CREATE TABLE target (campaign_key VARCHAR(20), product INTEGER CHECK (product < 10),"
        " amount DECIMAL(30,2), day DATE, at DATETIME(6), flag SMALLINT, share DOUBLE PRECISION)",
        "INSERT INTO target (campaign_key, product) VALUES ('A', 1)",
    )
    with pytest.raises(PermanentError, match=r"failed: .*; the table is as it was"):
        put(url, [record("A", 2), record("A", 11)])
    assert rows(url, "campaign_key, product") == [("A", 1)]
    assert tables(url) == {"target", "etl_assets_deliveries"}


def test_readers_see_the_old_records_or_the_new_and_never_a_part(url: str) -> None:
    run(url, *(["PRAGMA journal_mode = WAL"] if url.startswith("sqlite") else []))
    put(url, [record("A", n) for n in range(300)])
    done, seen = threading.Event(), set[tuple[int, int]]()

    def read() -> None:
        while not done.is_set():
            seen.update((a, b) for a, b in rows(url, "COUNT(*), COUNT(DISTINCT campaign_key)"))

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        try:
            for number in range(4):
                put(url, [record("AB"[number % 2], n) for n in range(300 + number)])
        finally:
            done.set()
        reading.result()
    assert seen <= {(300 + n, 1) for n in range(5)}


def test_two_deliveries_at_once_come_one_after_the_other(mariadb: MariaDBServer) -> None:
    mariadb.run("CREATE DATABASE feeds CHARACTER SET utf8mb4")
    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/feeds"
    put(url, [])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: put(url, [record("ABCD"[n], k) for k in range(50)]), range(4)))
    assert rows(url, "COUNT(*), COUNT(DISTINCT campaign_key)") == [(50, 1)]
    mariadb.run("DROP DATABASE feeds")


def test_a_database_that_cannot_be_reached_is_worth_another_attempt(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="Try again"):
        put(f"mysql+pymysql://root@127.0.0.1:{free_port()}/feeds", [])
    with pytest.raises(PermanentError, match="failed"):
        put(f"sqlite:///{tmp_path}/no/folder.sqlite", [])


@pytest.mark.parametrize(
    ("url", "problem"),
    [("nothing", "no database URL"), ("mysql+pymysql://u:secret@h/d", "carries a password"),
     ("oracle://u@h/d", "is of oracle")],
)  # fmt: skip
def test_a_url_that_is_no_database_of_ours_is_refused(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match=problem) as caught:
        check_url(url, "The destination")
    assert "secret" not in str(caught.value)
