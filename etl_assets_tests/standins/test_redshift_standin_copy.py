"""Tests of COPY against real PostgreSQL and a real S3 endpoint."""

from __future__ import annotations

import bz2
import gzip
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
import zstandard

from etl_assets_tests.standins.bucket import Bucket
from etl_assets_tests.standins.conftest import ROLE, Connect, copy_text
from etl_assets_tests.standins.redshift.copy_grammar import parse_copy
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import tokenize

Cursor = Any


def error_rows(cursor: Cursor) -> list[tuple[Any, ...]]:
    """Return the load errors of the session's last COPY."""
    cursor.execute(
        "SELECT error_code, trim(column_name), line_number, trim(file_name) "
        "FROM sys_load_error_detail WHERE query_id = pg_last_copy_id() ORDER BY line_number"
    )
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def loaded(cursor: Cursor, table: str = "t") -> list[tuple[Any, ...]]:
    """Return a table's rows in order of their first column."""
    cursor.execute(f"SELECT * FROM {table} ORDER BY 1")
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


FROM = "COPY t FROM 's3://b/k'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{FROM} {ROLE} CSV HEADER", "HEADER"),
        (f"{FROM} {ROLE} CSV FREEZE", "FREEZE"),
        (f"{FROM} {ROLE} WITH (FORMAT csv)", r"\("),
        (f"{FROM} {ROLE} CSV CSV", "redundant options: FORMAT"),
        (f"{FROM} {ROLE} CSV FORMAT AS CSV", "redundant options: FORMAT"),
        (f"{FROM} {ROLE} MANIFEST MANIFEST", "redundant options: MANIFEST"),
        (f"{FROM} {ROLE} GZIP ZSTD", "redundant options: compression"),
        (f"{FROM} {ROLE} NULL 'a' NULL AS 'b'", "redundant options: NULL"),
        (f"{FROM} {ROLE} {ROLE}", "redundant options: AUTHORIZATION"),
        (f"{FROM} {ROLE} ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b'", "AUTHORIZATION"),
        (f"{FROM} ACCESS_KEY_ID 'a'", "together"),
        (f"{FROM} CSV", "CREDENTIALS argument is required"),
        (f"{FROM} CREDENTIALS 'secret-text'", "Invalid credentials"),
        (f"{FROM} IAM_ROLE 'loader'", "invalid format"),
        (f"{FROM} {ROLE} CSV ESCAPE", "not compatible"),
        (f"{FROM} {ROLE} CSV REMOVEQUOTES", "not compatible"),
        (f"{FROM} {ROLE} CSV FIXEDWIDTH 'a:1'", "redundant options: FORMAT"),
        (f"{FROM} {ROLE} FIXEDWIDTH 'a:1' DELIMITER ','", "not compatible"),
        (f"{FROM} {ROLE} QUOTE '%'", "CSV only"),
        (f"{FROM} {ROLE} CSV DELIMITER '\"'", "different characters"),
        (f"{FROM} {ROLE} CSV DELIMITER '||'", "single ASCII character"),
        (f"{FROM} {ROLE} MAXERROR 5 IGNOREALLERRORS", "not compatible"),
        (f"{FROM} {ROLE} MAXERROR 100001", "out of range"),
        (f"{FROM} {ROLE} MAXERROR 'five'", "five"),
        (f"{FROM} {ROLE} ENCODING LATIN1", "encoding"),
        (f"{FROM} {ROLE} REGION 'here'", "Region"),
        (f"{FROM} {ROLE} PARQUET MAXERROR 5", "not supported for PARQUET"),
        (f"{FROM} {ROLE} PARQUET GZIP", "not supported for PARQUET"),
        (f"{FROM} {ROLE} PARQUET", "not emulated"),
        (f"{FROM} {ROLE} JSON 'auto'", "not emulated"),
        (f"{FROM} {ROLE} JSON 'auto' ESCAPE", "not compatible"),
        (f"{FROM} {ROLE} LZOP", "not emulated"),
        (f"{FROM} {ROLE} MASTER_SYMMETRIC_KEY 'k'", "ENCRYPTED only"),
        (f"COPY t (a, a) FROM 's3://b/k' {ROLE}", "more than once"),
        (f"COPY t () FROM 's3://b/k' {ROLE}", r"\)"),
        ("COPY t FROM STDIN", "STDIN"),
        ("COPY t TO 's3://b/k'", "TO"),
        ("COPY (SELECT 1) TO STDOUT", r"\("),
        (f"COPY t FROM 'dynamodb://t' {ROLE} READRATIO 50", "not emulated"),
        (f"{FROM} {ROLE} CSV NULL AS", "end of input"),
    ],
)
def test_copy_refuses_what_the_documentation_does_not_allow(text: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        parse_copy(tuple(tokenize(text)))


@pytest.mark.parametrize(
    "options",
    [
        (
            f"{ROLE} REGION 'eu-west-1' MANIFEST FORMAT AS CSV NULL AS '~N~' GZIP ENCODING UTF8 "
            "DATEFORMAT 'auto' TIMEFORMAT 'auto' MAXERROR 0 COMPUPDATE OFF STATUPDATE OFF"
        ),
        "IAM_ROLE default CSV QUOTE AS '%' DELIMITER AS ';'",
        "CREDENTIALS 'aws_access_key_id=a;aws_secret_access_key=b;token=c' DELIMITER '\\t' ESCAPE",
        "WITH CREDENTIALS AS 'aws_iam_role=arn:aws:iam::123456789012:role/x' ZSTD",
        "ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b' SESSION_TOKEN 'c' BZIP2 COMPUPDATE PRESET",
        (
            f"{ROLE} ACCEPTINVCHARS AS '^' ACCEPTANYDATE BLANKSASNULL EMPTYASNULL FILLRECORD "
            "IGNOREBLANKLINES IGNOREHEADER AS 1 ROUNDEC TRIMBLANKS TRUNCATECOLUMNS EXPLICIT_IDS "
            "COMPROWS 10 NOLOAD IGNOREALLERRORS STATUPDATE"
        ),
        "IAM_ROLE 'arn:aws:iam::123456789012:role/a,arn:aws:iam::210987654321:role/b'",
    ],
)
def test_copy_accepts_every_documented_option_in_any_order(options: str) -> None:
    command = parse_copy(tuple(tokenize(f"{FROM} {options}")))
    assert command.table == '"t"'


def test_copy_never_repeats_credentials_in_its_errors(cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE t (a int)")
    with pytest.raises(psycopg2.Error) as caught:
        cursor.execute("COPY t FROM 's3://b/k' CREDENTIALS 'key=hidden-text' CSV")
    assert "hidden-text" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "pack"),
    [
        ("", bytes),
        ("GZIP", gzip.compress),
        ("ZSTD", zstandard.compress),
        ("BZIP2", bz2.compress),
    ],
)
def test_parts_load_from_every_compression(
    cursor: Cursor, bucket: Bucket, option: str, pack: Any
) -> None:
    url = bucket.put(pack(b"1,one\n") + pack(b"2,two\n"))
    manifest = bucket.manifest({"url": url, "mandatory": True})
    cursor.execute("CREATE TABLE t (id int, name varchar(10))")
    cursor.execute(f"COPY t FROM '{manifest}' {ROLE} MANIFEST CSV {option}")
    assert loaded(cursor) == [(1, "one"), (2, "two")]


def test_a_part_cut_short_fails_the_load(cursor: Cursor, bucket: Bucket) -> None:
    url = bucket.put(gzip.compress(b"1\n2\n")[:-6])
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error, match="Failed to decompress GZIP"):
        cursor.execute(copy_text("t", bucket.manifest({"url": url})))
    assert loaded(cursor) == []


def test_a_missing_file_is_skipped_unless_it_is_mandatory(cursor: Cursor, bucket: Bucket) -> None:
    here, gone = bucket.put(gzip.compress(b"1\n")), f"s3://{bucket.name}/gone"
    cursor.execute("CREATE TABLE t (id int)")
    cursor.execute(copy_text("t", bucket.manifest({"url": here}, {"url": gone})))
    assert loaded(cursor) == [(1,)]
    with pytest.raises(psycopg2.errors.InternalError_) as caught:
        cursor.execute(
            copy_text("t", bucket.manifest({"url": here}, {"url": gone, "mandatory": True}))
        )
    assert "1212" in str(caught.value.diag.message_detail)
    assert loaded(cursor) == [(1,)]


def test_a_file_listed_twice_loads_twice(cursor: Cursor, bucket: Bucket) -> None:
    url = bucket.put(gzip.compress(b"1\n"))
    cursor.execute("CREATE TABLE t (id int)")
    cursor.execute(copy_text("t", bucket.manifest({"url": url}, {"url": url})))
    assert loaded(cursor) == [(1,), (1,)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"not json", "not valid JSON"),
        (gzip.compress(b'{"entries": []}', mtime=0), "not valid JSON"),
        (b'{"entries": []}', "no entries"),
        (b'{"entries": [{"url": "s3://loads/x", "mandatory": "yes"}]}', "not valid JSON"),
        (b'{"entries": [{"url": "https://loads/x"}]}', "not valid"),
    ],
)
def test_a_wrong_manifest_fails_the_load(
    cursor: Cursor, bucket: Bucket, body: bytes, message: str
) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error, match=message):
        cursor.execute(copy_text("t", bucket.put(body)))


def test_a_manifest_that_does_not_exist_is_error_8001(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error, match="8001"):
        cursor.execute(copy_text("t", f"s3://{bucket.name}/nothing"))


def test_a_part_of_another_length_than_the_manifest_says_fails(
    cursor: Cursor, bucket: Bucket
) -> None:
    url = bucket.put(gzip.compress(b"1\n"))
    manifest = bucket.manifest({"url": url, "meta": {"content_length": 1}})
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error, match="the manifest says 1"):
        cursor.execute(copy_text("t", manifest))


def test_without_manifest_every_key_with_the_prefix_loads(cursor: Cursor, bucket: Bucket) -> None:
    for key in ("prefix/part-1", "prefix/part-10", "prefix/other"):
        bucket.put(b"1\n", key)
    cursor.execute("CREATE TABLE t (id int)")
    cursor.execute(f"COPY t FROM 's3://{bucket.name}/prefix/part-1' {ROLE} CSV")
    assert loaded(cursor) == [(1,), (1,)]
    with pytest.raises(psycopg2.Error, match="does not exist"):
        cursor.execute(f"COPY t FROM 's3://{bucket.name}/prefix/none' {ROLE} CSV")


BAD_FIELDS = [
    ("varchar(3)", "abcd", 1204),
    ("varchar(3)", "ää", 1204),
    ("char(3)", "abcd", 1204),
    ("char(3)", "ä", 1220),
    ("smallint", "32768", 1222),
    ("int", "-2147483649", 1222),
    ("bigint", "9223372036854775808", 1222),
    ("int", "9" * 5000, 1222),
    ("int", "1.5", 1207),
    ("int", " 1", 1207),
    ("decimal(4,2)", "100", 1209),
    ("decimal(4,2)", "1e1", 1207),
    ("decimal(4,2)", "1" * 2000, 1209),
    ("real", "1e39", 1204),
    ("double precision", "1e309", 1204),
    ("double precision", "one", 1208),
    ("boolean", "maybe", 1210),
    ("date", "2026-02-30", 1205),
    ("date", "0000-00-00", 1205),
    ("date", "01/02/2026", 1205),
    ("timestamp", "2026-01-01 25:00:00", 1206),
    ("timestamp", "2026-01-01", 1206),
    ("timestamp", "2026-01-01 00:00:00.1234567", 1206),
    ("timestamptz", "2026-01-01 00:00:00", 1206),
    ("time", "100:00:00", 1206),
    ("super", "{broken", 1224),
    ("varbyte", "0g", 1207),
]


@pytest.mark.parametrize(("column", "field", "code"), BAD_FIELDS)
def test_a_field_its_column_cannot_hold_is_a_load_error(
    cursor: Cursor, bucket: Bucket, column: str, field: str, code: int
) -> None:
    cursor.execute(f"CREATE TABLE t (id int, x {column})")
    good_and_bad = f'1,\n2,"{field}"\n'.encode()
    with pytest.raises(psycopg2.errors.InternalError_, match="Load into table 't' failed"):
        cursor.execute(copy_text("t", bucket.load(good_and_bad)))
    assert [row[:3] for row in error_rows(cursor)] == [(code, "x", 2)]
    assert loaded(cursor) == []


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (b"1", 1214),
        (b"1,2,3", 1202),
        (b'1,"a"b"', 1216),
        (b'1,"open', 1216),
        (b"1,a\0b", 1218),
        (b"1,\xff", 1220),
        (b"1,\xc3", 1220),
        (b"1,\xed\xa0\x80", 1220),
        (b"1," + b"x" * (4 * 1024 * 1024), 1216),
    ],
)
def test_a_malformed_record_is_a_load_error(
    cursor: Cursor, bucket: Bucket, record: bytes, code: int
) -> None:
    cursor.execute("CREATE TABLE t (id int, x varchar(max))")
    with pytest.raises(psycopg2.errors.InternalError_, match="failed"):
        cursor.execute(copy_text("t", bucket.load(b"0,ok\n" + record + b"\n")))
    assert [row[0] for row in error_rows(cursor)] == [code]


GOOD_FIELDS = [
    ("varchar(3)", "", "abc  ", "abc"),
    ("varchar(4)", "", "ää", "ää"),
    ("varchar(20)", "", 'a\\N\tb""c\nd,e', 'a\\N\tb"c\nd,e'),
    ("varchar(10)", "TRIMBLANKS", "ab  ", "ab"),
    ("varchar(3)", "TRUNCATECOLUMNS", "aää", "aä"),
    ("decimal(4,2)", "", "1.239", Decimal("1.23")),
    ("decimal(4,2)", "", "-1.239", Decimal("-1.23")),
    ("decimal(4,2)", "ROUNDEC", "1.235", Decimal("1.24")),
    ("decimal(38,0)", "", "9" * 38, Decimal("9" * 38)),
    ("boolean", "", "YES", True),
    ("date", "ACCEPTANYDATE", "0000-00-00", None),
    ("date", "DATEFORMAT 'DD.MM.YYYY'", "01.02.2026", "2026-02-01"),
    ("date", "DATEFORMAT 'auto'", "20260201", "2026-02-01"),
    ("timestamp", "", "2026-02-01 03:04:05.123456", "2026-02-01 03:04:05.123456"),
    ("timestamp", "TIMEFORMAT 'auto'", "2026-02-01T03:04", "2026-02-01 03:04:00"),
    ("timestamp", "TIMEFORMAT 'epochsecs'", "1700000000", "2023-11-14 22:13:20"),
    ("timestamp", "TIMEFORMAT 'epochmillisecs'", "1700000000123", "2023-11-14 22:13:20.123000"),
    ("timestamp", "TIMEFORMAT 'MM/DD/YYYY HH:MI:SS AM'", "2/1/2026 1:02:03 PM", None),
    ("timestamptz", "", "2026-02-01 03:04:05+02", "2026-02-01 01:04:05+00:00"),
    ("time", "", "23:59:59.5", "23:59:59.500000"),
    ("super", "", '{""a"": [1]}', {"a": [1]}),
    ("varbyte", "", "00ff", b"\x00\xff"),
]


@pytest.mark.parametrize(("column", "options", "field", "expected"), GOOD_FIELDS)
def test_a_field_is_converted_as_on_a_cluster(
    cursor: Cursor, bucket: Bucket, column: str, options: str, field: str, expected: Any
) -> None:
    cursor.execute(f"CREATE TABLE t (x {column})")
    text = f'"{field}"\n'.encode()
    cursor.execute(copy_text("t", bucket.load(text), options))
    (value,) = loaded(cursor)[0]
    value = bytes(value) if isinstance(value, memoryview) else value
    if column.startswith(("date", "time")) and value is not None:
        expected = expected or "2026-02-01 13:02:03"
        value = str(value)
    assert value == expected


def test_null_token_and_empty_fields_follow_the_column_type(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int, n int, s varchar(9))")
    url = bucket.load(b'1,,\n2,"",""\n3,~N~,~N~\n4,"~N~","~N~"\n5,0," "\n')
    cursor.execute(copy_text("t", url, "NULL AS '~N~'"))
    assert loaded(cursor) == [
        (1, None, ""),
        (2, None, ""),
        (3, None, None),
        (4, None, None),
        (5, 0, " "),
    ]


def test_emptyasnull_and_blanksasnull_make_texts_null(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int, s varchar(9))")
    cursor.execute(copy_text("t", bucket.load(b'1,""\n2,"  "\n'), "EMPTYASNULL BLANKSASNULL"))
    assert loaded(cursor) == [(1, None), (2, None)]


def test_the_default_null_token_is_backslash_n(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int, s varchar(9))")
    cursor.execute(copy_text("t", bucket.load(b"1,\\N\n2,\\n\n")))
    assert loaded(cursor) == [(1, None), (2, "\\n")]


def test_null_in_a_not_null_column_is_error_1213(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int, n int NOT NULL)")
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(copy_text("t", bucket.load(b"1,\n")))
    assert error_rows(cursor)[0][:2] == (1213, "n")


def test_blanks_beside_quotation_marks_are_ignored(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int, s varchar(9), u varchar(9))")
    cursor.execute(copy_text("t", bucket.load(b'1, " a " , b\r\n')))
    assert loaded(cursor) == [(1, " a ", " b")]


def test_records_may_span_lines_and_errors_name_the_first_line(
    cursor: Cursor, bucket: Bucket
) -> None:
    cursor.execute("CREATE TABLE t (s varchar(9), n int)")
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(copy_text("t", bucket.load(b'"a\n\nb",1\n"c\nd",x\n')))
    assert error_rows(cursor)[0][:3] == (1207, "n", 4)


def test_delimited_text_loads_with_escapes(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int, s varchar(9))")
    url = bucket.put(b"1|a\\|b\n2|c\\\nd\n3|\\N\n")
    cursor.execute(f"COPY t FROM '{url}' {ROLE} ESCAPE")
    assert loaded(cursor) == [(1, "a|b"), (2, "c\nd"), (3, None)]


def test_header_and_blank_lines_and_short_records_can_be_allowed(
    cursor: Cursor, bucket: Bucket
) -> None:
    cursor.execute("CREATE TABLE t (id int, s varchar(9))")
    url = bucket.load(b"id,s\n\n1\n", b"id,s\n2,x\n")
    cursor.execute(copy_text("t", url, "IGNOREHEADER 1 IGNOREBLANKLINES FILLRECORD"))
    assert loaded(cursor) == [(1, None), (2, "x")]


def test_other_encodings_and_invalid_characters_are_converted(
    cursor: Cursor, bucket: Bucket
) -> None:
    cursor.execute("CREATE TABLE t (id int, s varchar(9))")
    cursor.execute(copy_text("t", bucket.load("1,ä\n".encode("utf-16")), "ENCODING UTF16"))
    cursor.execute(copy_text("t", bucket.load(b"2,\xff\xfe\n"), "ACCEPTINVCHARS '^'"))
    assert loaded(cursor) == [(1, "ä"), (2, "^^")]


def test_the_column_list_sets_the_order_and_the_rest_gets_defaults(
    cursor: Cursor, bucket: Bucket
) -> None:
    cursor.execute("CREATE TABLE t (id bigint IDENTITY(5, 1), a int, b int DEFAULT 7, c int)")
    cursor.execute(copy_text("t", bucket.load(b"1,2\n"), columns="(c, a)"))
    assert loaded(cursor) == [(5, 2, 7, 1)]
    with pytest.raises(psycopg2.Error, match="identity column"):
        cursor.execute(copy_text("t", bucket.load(b"1\n"), columns="(id)"))
    cursor.execute(copy_text("t", bucket.load(b"9\n"), "EXPLICIT_IDS", columns="(id)"))
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        cursor.execute(copy_text("t", bucket.load(b"9\n"), columns="(nothing)"))


def test_maxerror_loads_the_good_records_below_the_limit(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    url = bucket.load(b"1\nx\n2\n", b"y\n3\n")
    cursor.execute(copy_text("t", url, "MAXERROR 3"))
    assert loaded(cursor) == [(1,), (2,), (3,)]
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchone() == (3,)
    assert len(error_rows(cursor)) == 2
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(copy_text("t", url, "MAXERROR 2"))
    cursor.execute(copy_text("t", url, "IGNOREALLERRORS"))


def test_noload_checks_and_loads_nothing(cursor: Cursor, bucket: Bucket) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    cursor.execute(copy_text("t", bucket.load(b"1\n"), "NOLOAD"))
    assert loaded(cursor) == []
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(copy_text("t", bucket.load(b"x\n"), "NOLOAD"))


def test_load_errors_survive_the_rollback_with_every_documented_column(
    connect: Connect, bucket: Bucket
) -> None:
    connection = connect()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id int, s varchar(3))")
    manifest = bucket.load(b"1,abc\n2,abcd\n")
    with pytest.raises(psycopg2.errors.InternalError_):
        cursor.execute(copy_text("t", manifest))
    with pytest.raises(psycopg2.errors.InFailedSqlTransaction):
        cursor.execute("SELECT 1")
    connection.rollback()
    cursor.execute(
        "SELECT trim(filename), line_number, trim(colname), trim(type), trim(col_length), position,"
        " trim(raw_line), trim(raw_field_value), err_code, trim(err_reason) "
        "FROM stl_load_errors WHERE query = pg_last_copy_id()"
    )
    row = cursor.fetchone()
    assert row[0].startswith(f"s3://{bucket.name}/")
    reason = "String length exceeds DDL length"
    assert row[1:] == (2, "s", "varchar", "3", 2, "2,abcd", "abcd", 1204, reason)
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchone() == (0,)
    cursor.execute(
        "SELECT status, error_count FROM sys_load_history WHERE query_id = pg_last_copy_id()"
    )
    assert cursor.fetchone() == ("failed", 1)


def test_users_see_only_their_own_load_errors(bucket: Bucket, cursor: Cursor) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    with pytest.raises(psycopg2.Error, match="failed"):
        cursor.execute(copy_text("t", bucket.load(b"x\n")))
    cursor.execute("CREATE USER bystander PASSWORD 'Reader12'")
    info = cursor.connection.info
    other = psycopg2.connect(
        host=info.host, port=info.port, dbname=info.dbname, user="bystander", password="Reader12"
    )
    reading = other.cursor()
    reading.execute("SELECT count(*) FROM sys_load_error_detail")
    assert reading.fetchone() == (0,)
    other.close()
    cursor.execute("DROP USER bystander")
    cursor.execute("SELECT count(*) > 0 FROM sys_load_error_detail")
    assert cursor.fetchone() == (True,)


def test_copy_without_checks_streams_parts_to_postgresql(
    connect_snapshot: Connect, bucket: Bucket
) -> None:
    connection = connect_snapshot()
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id int, n int, s varchar(9))")
    url = bucket.load(b'id,n,s\n1,,""\n2,"~N~","~N~"\n3,~N~,a b', b"id,n,s\n4,4,d\n")
    cursor.execute(copy_text("t", url, "IGNOREHEADER 1 NULL AS '~N~'"))
    assert loaded(cursor) == [(1, None, ""), (2, None, None), (3, None, "a b"), (4, 4, "d")]
    cursor.execute("SELECT pg_last_copy_count()")
    assert cursor.fetchone() == (4,)
    connection.commit()
    with pytest.raises(psycopg2.errors.InternalError_, match="Load into table 't' failed"):
        cursor.execute(copy_text("t", bucket.load(b"5,x,e\n")))
    connection.rollback()
    assert error_rows(cursor)[0][:3] == (1200, "n", 1)
