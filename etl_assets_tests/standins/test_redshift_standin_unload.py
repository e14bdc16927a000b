"""Tests of UNLOAD against real PostgreSQL and a real S3 endpoint."""

from __future__ import annotations

import io
import json
import uuid
from decimal import Decimal
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_assets_tests.standins.bucket import Bucket
from etl_assets_tests.standins.conftest import ROLE, Connect
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import tokenize
from etl_assets_tests.standins.redshift.unload_command import parse_unload

Cursor = Any
TO = "TO 's3://b/k/'"


@pytest.fixture
def prefix() -> str:
    """A prefix of the bucket that no other test uses."""
    return f"unload/{uuid.uuid4().hex}/"


def unload(cursor: Cursor, bucket: Bucket, prefix: str, select: str, options: str = "") -> None:
    quoted = select.replace("'", "''")
    url = f"s3://{bucket.name}/{prefix}"
    cursor.execute(
        f"UNLOAD ('{quoted}') TO '{url}' {ROLE} FORMAT AS PARQUET MANIFEST VERBOSE {options}"
    )


def read(bucket: Bucket, prefix: str) -> tuple[dict[str, Any], list[pa.Table]]:
    """Return the manifest and the tables of the objects it names."""

    def get(key: str) -> bytes:
        return bucket.client.get_object(Bucket=bucket.name, Key=key)["Body"].read()

    manifest = json.loads(get(f"{prefix}manifest"))
    keys = [entry["url"].removeprefix(f"s3://{bucket.name}/") for entry in manifest["entries"]]
    return manifest, [pq.read_table(io.BytesIO(get(key))) for key in keys]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"UNLOAD ('SELECT 1') {TO} PARQUET", "CREDENTIALS argument is required"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE}", "UNLOAD FORMAT TEXT is valid on Redshift but not"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} CSV", "UNLOAD FORMAT CSV"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} PARQUET GZIP", "GZIP option is not compatible"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} PARQUET PARQUET", "redundant options: FORMAT"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} PARQUET SORTED", "SORTED"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} PARQUET MAXFILESIZE 4", "between 5 MB and 6.2 GB"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} PARQUET CLEANPATH ALLOWOVERWRITE", "not compatible"),
        (f"UNLOAD ('SELECT 1') {TO} {ROLE} PARQUET PARTITION BY (a)", "not emulated"),
        (f"UNLOAD SELECT 1 {TO} {ROLE} PARQUET", "SELECT"),
        (f"UNLOAD ('SELECT 1; SELECT 2') {TO} {ROLE} PARQUET", "one query"),
        (f"UNLOAD ('SELECT 1') TO 'file:///k' {ROLE} PARQUET", "is not valid"),
        (f"UNLOAD ('SELECT 1') {TO} IAM_ROLE 'loader' PARQUET", "invalid format"),
    ],
)  # fmt: skip
def test_what_the_documentation_does_not_allow_is_refused(text: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        parse_unload(tuple(tokenize(text)))


def test_types_come_out_as_redshift_writes_them(
    cursor: Cursor, bucket: Bucket, prefix: str
) -> None:
    cursor.execute(
        "CREATE TABLE t (b BOOLEAN, s SMALLINT, i INTEGER, g BIGINT, n NUMERIC(12,2), r REAL,"
        " d DOUBLE PRECISION, v VARCHAR(40), y DATE, ts TIMESTAMP)"
    )
    cursor.execute(
        "INSERT INTO t SELECT true, 1::smallint, 2, 3, 4.50, 0.5::real, 0.1::float8,"
        " 'it''s \"grün\"', '2017-03-01'::date, '2017-03-01 10:11:12.123456'::timestamp"
        " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"
    )
    unload(cursor, bucket, prefix, "SELECT * FROM t ORDER BY i", "PARALLEL OFF")
    manifest, (table,) = read(bucket, prefix)
    assert [str(field.type) for field in table.schema] == [
        "bool", "int16", "int32", "int64", "decimal128(12, 2)", "float", "double", "string",
        "date32[day]", "timestamp[ns]",
    ]  # fmt: skip
    first, second = table.to_pylist()
    assert first["n"] == Decimal("4.50")
    assert first["v"] == 'it\'s "grün"'
    assert str(first["ts"]) == "2017-03-01 10:11:12.123456"
    assert set(second.values()) == {None}
    assert manifest["meta"]["record_count"] == 2
    assert manifest["schema"]["elements"][4] == {
        "name": "n", "type": {"base": "numeric", "precision": 12, "scale": 2},
    }  # fmt: skip
    cursor.execute("SELECT pg_last_unload_count()")
    assert cursor.fetchone() == (2,)
    assert any("2 record(s) unloaded" in notice for notice in cursor.connection.notices)


def test_slices_write_files_of_their_own_unless_told_otherwise(
    cursor: Cursor, bucket: Bucket, prefix: str
) -> None:
    cursor.execute("CREATE TABLE t AS SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3")
    unload(cursor, bucket, prefix, "SELECT n FROM t ORDER BY n")
    manifest, tables = read(bucket, prefix)
    assert [t["n"].to_pylist() for t in tables] == [[1, 3], [2]]
    assert [e["meta"]["record_count"] for e in manifest["entries"]] == [2, 1]
    unload(cursor, bucket, f"{prefix}one/", "SELECT n FROM t ORDER BY n DESC", "PARALLEL OFF")
    manifest, (table,) = read(bucket, f"{prefix}one/")
    assert table["n"].to_pylist() == [3, 2, 1]
    assert manifest["entries"][0]["url"].endswith("one/000.parquet")


def test_no_row_makes_no_file_but_a_manifest(cursor: Cursor, bucket: Bucket, prefix: str) -> None:
    unload(cursor, bucket, prefix, "SELECT 1 AS n WHERE false")
    manifest, tables = read(bucket, prefix)
    assert (manifest["entries"], tables, manifest["meta"]["record_count"]) == ([], [], 0)


def test_a_destination_that_is_not_empty_is_refused_unless_told_otherwise(
    cursor: Cursor, bucket: Bucket, prefix: str
) -> None:
    bucket.put(b"old", f"{prefix}manifest")
    bucket.put(b"old", f"{prefix}other")
    with pytest.raises(psycopg2.Error, match="Specified unload destination on S3 is not empty"):
        unload(cursor, bucket, prefix, "SELECT 1 AS n")
    unload(cursor, bucket, prefix, "SELECT 1 AS n", "ALLOWOVERWRITE")
    read(bucket, prefix)
    unload(cursor, bucket, prefix, "SELECT 2 AS n", "CLEANPATH")
    assert read(bucket, prefix)[1][0]["n"].to_pylist() == [2]
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=prefix)["Contents"]
    assert not any(item["Key"].endswith("other") for item in found)


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("SELECT 1 AS n LIMIT 1", "LIMIT clause"),
        ("DELETE FROM t", "DELETE"),
        ("SELECT from_hex('00') AS v", 'does not support column "v" of type bytea'),
        ("SELECT sum(1.5) AS n", "precision of column"),
        ("SELECT missing FROM nowhere", "nowhere"),
    ],
)
def test_queries_that_cannot_be_unloaded_leave_nothing(
    cursor: Cursor, bucket: Bucket, prefix: str, select: str, message: str
) -> None:
    with pytest.raises(psycopg2.Error, match=message):
        unload(cursor, bucket, prefix, select)
    found = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=prefix)
    assert "Contents" not in found
    cursor.execute("SELECT 1")  # the session goes on


def test_an_unload_sees_what_its_transaction_wrote(
    connect: Connect, bucket: Bucket, prefix: str
) -> None:
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE t AS SELECT 7 AS n")
        unload(cursor, bucket, prefix, "SELECT n FROM t")
        connection.rollback()
    assert read(bucket, prefix)[1][0]["n"].to_pylist() == [7]
