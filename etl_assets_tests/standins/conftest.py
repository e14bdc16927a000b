"""Fixtures of the tests of the Redshift stand-in: S3, the stand-in and connections to it."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest
from moto.server import ThreadedMotoServer

from etl_assets_tests.standins.redshift import RedshiftStandin

ROLE = "IAM_ROLE 'arn:aws:iam::123456789012:role/loader'"
Connect = Callable[[], Any]


class Bucket:
    """A bucket of the S3 stand-in, and the COPY texts that load from it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self._keys = itertools.count()
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="standin",
            aws_secret_access_key="standin",
        )
        self.client.create_bucket(Bucket=name)

    def put(self, body: bytes, key: str = "") -> str:
        """Store an object and return its address."""
        key = key or f"object-{next(self._keys)}"
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"s3://{self.name}/{key}"

    def manifest(self, *entries: dict[str, Any]) -> str:
        """Store a manifest and return its address."""
        return self.put(json.dumps({"entries": list(entries)}).encode())

    def load(self, *parts: bytes) -> str:
        """Store gzip parts with their manifest; return the manifest's address."""
        urls = [self.put(gzip.compress(part)) for part in parts]
        return self.manifest(*({"url": url, "mandatory": True} for url in urls))


def copy_text(table: str, url: str, options: str = "", columns: str = "") -> str:
    """Return the COPY of a manifest with gzip CSV parts."""
    return f"COPY {table} {columns} FROM '{url}' {ROLE} MANIFEST GZIP CSV {options}"


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """A bucket of an S3 stand-in on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Bucket(f"http://{host}:{port}", "loads")
    server.stop()


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
