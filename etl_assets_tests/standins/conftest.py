"""Fixtures of the tests of the Redshift stand-in: S3, the stand-in and connections to it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from etl_assets_tests.servers import ensure_packages
from etl_assets_tests.standins.bucket import Bucket, serve_bucket
from etl_assets_tests.standins.redshift import RedshiftStandin

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/loader'"
Connect = Callable[[], Any]


def copy_text(table: str, url: str, options: str = "", columns: str = "") -> str:
    """Return the COPY of a manifest with gzip CSV parts."""
    return f"COPY {table} {columns} FROM '{url}' {ROLE} MANIFEST GZIP CSV {options}"


@pytest.fixture(scope="session", autouse=True)
def postgresql() -> None:
    """PostgreSQL, which the stand-in stands on."""
    ensure_packages("initdb")


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """A bucket of an S3 stand-in on a free port."""
    with serve_bucket("loads") as bucket:
        yield bucket


@pytest.fixture(scope="session")
def redshift(bucket: Bucket) -> Iterator[RedshiftStandin]:
    """A stand-in at SERIALIZABLE isolation that checks fields."""
    with RedshiftStandin(bucket.endpoint) as standin:
        yield standin


@pytest.fixture(scope="session")
def redshift_snapshot(bucket: Bucket) -> Iterator[RedshiftStandin]:
    """A stand-in at SNAPSHOT isolation that does not check fields."""
    with RedshiftStandin(bucket.endpoint, isolation="snapshot", checks=False) as standin:
        yield standin


_schemas = itertools.count()


def connections(standin: RedshiftStandin) -> Iterator[Connect]:
    """Yield a maker of psycopg2 connections to a schema of its own."""
    schema, opened = f"test_{next(_schemas)}", []

    def connect() -> Any:
        connection = psycopg2.connect(standin.dsn)
        opened.append(connection)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            cursor.execute(f"SET search_path TO {schema}")
        connection.autocommit = False
        return connection

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def connect(redshift: RedshiftStandin) -> Iterator[Connect]:
    """A maker of connections in transactions."""
    yield from connections(redshift)


@pytest.fixture
def connect_snapshot(redshift_snapshot: RedshiftStandin) -> Iterator[Connect]:
    """A maker of connections in transactions, to the stand-in at SNAPSHOT isolation."""
    yield from connections(redshift_snapshot)


@pytest.fixture
def data_folder() -> Iterator[str]:
    """A folder that the account PostgreSQL runs as can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="redshift-data-") as folder:
        Path(folder).chmod(0o755)
        yield str(Path(folder, "data"))


@pytest.fixture
def cursor(connect: Connect) -> Any:
    """A cursor in autocommit."""
    connection = connect()
    connection.autocommit = True
    return connection.cursor()
