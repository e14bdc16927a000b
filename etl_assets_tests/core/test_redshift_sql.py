"""A wrong word in a statement loses data silently on a cluster that no test reaches.

So each statement is compared whole, and what must never stand in one is looked for in all.
"""

import re

import hypothesis
import pytest
from hypothesis import strategies as st

from etl_assets.core import redshift_sql as sql
from etl_assets.core.columns import LOAD_COLUMNS, TYPES, Column, ColumnType
from etl_assets.core.errors import PermanentError
from etl_assets.core.manifest import Stage
from etl_assets_tests.staged import a_stage

ROLE = "arn:aws:iam::123456789012:role/loader"
NULL = "~N3439e436~"
URL = "s3://bucket/stage/sales/SP17/x/manifest.json"
FORBIDDEN = (
    "TRUNCATE", "EMPTYASNULL", "BLANKSASNULL", "TRUNCATECOLUMNS", "ACCEPTINVCHARS", "ACCEPTANYDATE",
    "IGNOREALLERRORS", "FILLRECORD", "TRIMBLANKS", "ROUNDEC", "IGNOREBLANKLINES", "IGNOREHEADER",
    "NOLOAD", "APPEND", "CREDENTIALS", "ACCESS_KEY_ID", "CASCADE", "DROP", "SAVEPOINT", "VACUUM",
)  # fmt: skip


def columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name=name, type=ColumnType.parse(kind)) for name, kind in types.items())


SALES = a_stage(table="sales", columns=columns(sale_id="bigint", amount="decimal(10,2)"))
ODD = a_stage(
    table="order",
    columns=columns(user="text", tag="varchar(20)", open="timestamp"),
    distribution_key="user",
    sort_keys=("open", "tag"),
)
ODD_SCHEMA = 'we"ird; DROP TABLE x --'


def copy(columns: tuple[Column, ...] = SALES.columns, **changed: str | None) -> str:
    given = {"manifest": URL, "null_token": NULL, "iam_role": ROLE, "region": None} | changed
    return sql.copy_staging(columns, **given)  # type: ignore[arg-type]


def all_statements(schema: str, stage: Stage) -> list[str]:
    change = sql.SchemaChange({"a": "DATE"}, {"b": "VARCHAR(80)"}, [])
    return [
        sql.create_table(schema, stage),
        *sql.alter_table(schema, stage.table, change),
        sql.create_staging(stage.columns),
        copy(stage.columns),
        sql.delete_slice(schema, stage.table),
        sql.insert_slice(schema, stage),
        sql.create_mutex(stage.table),
        sql.lock_mutexes([stage.table]),
    ]


def test_the_statements_of_a_plain_table() -> None:
    assert all_statements("public", SALES) == [
        (
            'CREATE TABLE "public"."sales" ("sale_id" BIGINT, "amount" NUMERIC(10,2),'
            ' "campaign_key" VARCHAR(64), "load_id" VARCHAR(64), "loaded_at" TIMESTAMP)'
            " DISTSTYLE AUTO"
        ),
        'ALTER TABLE "public"."sales" ADD COLUMN "a" DATE',
        'ALTER TABLE "public"."sales" ALTER COLUMN "b" TYPE VARCHAR(80)',
        'CREATE TEMP TABLE "etl_staging_0" ("sale_id" BIGINT, "amount" NUMERIC(10,2)) DISTSTYLE EVEN',
        (
            'COPY "etl_staging_0" ("sale_id", "amount")'
            " FROM 's3://bucket/stage/sales/SP17/x/manifest.json'"
            " IAM_ROLE 'arn:aws:iam::123456789012:role/loader'"
            " MANIFEST FORMAT AS CSV NULL AS '~N3439e436~' ZSTD"
            " DATEFORMAT 'auto' TIMEFORMAT 'auto' MAXERROR 0 COMPUPDATE OFF STATUPDATE OFF"
        ),
        'DELETE FROM "public"."sales" WHERE campaign_key = %s',
        (
            'INSERT INTO "public"."sales" ("sale_id", "amount", "campaign_key", "load_id", "loaded_at")'
            ' SELECT "sale_id", "amount", %s, %s, %s FROM "etl_staging_0"'
        ),
        'CREATE TABLE IF NOT EXISTS "etl_assets"."publish_mutex_sales" (held BOOLEAN)',
        'LOCK "etl_assets"."publish_mutex_sales"',
    ]


def test_names_that_are_words_of_sql_or_worse_are_quoted() -> None:
    quoted = '"we""ird; DROP TABLE x --"."order"'
    create, add, widen, staging, copied, delete, insert, mutex, lock = all_statements(
        ODD_SCHEMA, ODD
    )
    assert create == (
        f'CREATE TABLE {quoted} ("user" VARCHAR(65535), "tag" VARCHAR(80), "open" TIMESTAMP,'
        ' "campaign_key" VARCHAR(64), "load_id" VARCHAR(64), "loaded_at" TIMESTAMP)'
        ' DISTSTYLE KEY DISTKEY ("user") SORTKEY ("open", "tag")'
    )
    assert add == f'ALTER TABLE {quoted} ADD COLUMN "a" DATE'
    assert widen == f'ALTER TABLE {quoted} ALTER COLUMN "b" TYPE VARCHAR(80)'
    assert staging == (
        'CREATE TEMP TABLE "etl_staging_0" ("user" VARCHAR(65535), "tag" VARCHAR(80),'
        ' "open" TIMESTAMP) DISTSTYLE EVEN'
    )
    assert copied.startswith('COPY "etl_staging_0" ("user", "tag", "open") FROM ')
    assert delete == f"DELETE FROM {quoted} WHERE campaign_key = %s"
    assert insert == (
        f'INSERT INTO {quoted} ("user", "tag", "open", "campaign_key", "load_id", "loaded_at")'
        ' SELECT "user", "tag", "open", %s, %s, %s FROM "etl_staging_0"'
    )
    assert mutex == 'CREATE TABLE IF NOT EXISTS "etl_assets"."publish_mutex_order" (held BOOLEAN)'
    assert lock == 'LOCK "etl_assets"."publish_mutex_order"'


def test_what_stands_for_bytes_of_length_0_becomes_them() -> None:
    stage = a_stage(table="sales", columns=columns(id="bigint", photo="binary"))
    word = NULL.replace("3439e436", "").encode().hex()
    assert sql.insert_slice("public", stage.model_copy(update={"null_token": "~N~"})).endswith(
        f' SELECT "id", CASE WHEN "photo" = FROM_HEX(\'{word}\') THEN SUBSTRING("photo", 1, 0)'
        ' ELSE "photo" END, %s, %s, %s FROM "etl_staging_0"'
    )


def test_what_loses_data_or_commits_by_itself_stands_in_no_statement() -> None:
    plain = " ".join(all_statements("public", SALES) + all_statements("public", ODD))
    plain += copy(region="eu-west-1") + copy(iam_role="default")
    words = set(re.findall(r"[A-Z_]+", re.sub(r"'[^']*'|\"[^\"]*\"", "", plain)))
    assert {"COPY", "MANIFEST", "INSERT", "DELETE", "LOCK"} <= words
    assert words.isdisjoint(FORBIDDEN)


@pytest.mark.parametrize("region", [None, "eu-west-1"])
@pytest.mark.parametrize("role", [ROLE, "default"])
def test_every_copy_names_its_columns_reads_a_manifest_and_bears_no_error(
    role: str, region: str | None
) -> None:
    text = copy(iam_role=role, region=region)
    assert text.startswith('COPY "etl_staging_0" ("sale_id", "amount") FROM ')
    assert text.count(" MANIFEST ") == 1
    assert text.count(" MAXERROR 0 ") == 1
    assert f" NULL AS '{NULL}' " in text
    assert (f"IAM_ROLE '{ROLE}'" in text) == (role == ROLE)
    assert ("IAM_ROLE default" in text) == (role == "default")
    assert (" REGION 'eu-west-1' " in text) == (region is not None)


def test_a_quote_in_an_address_or_token_ends_no_literal() -> None:
    mark = "~'~"
    text = copy(manifest="s3://b/o'brien/m.json", null_token=mark)
    assert "FROM 's3://b/o''brien/m.json' " in text
    assert "NULL AS '~''~' " in text


@hypothesis.given(st.text(min_size=1).filter(lambda t: "\0" not in t))
def test_no_schema_name_can_leave_its_quotes(schema: str) -> None:
    quoted = '"' + schema.replace('"', '""') + '"."sales"'
    assert sql.create_table(schema, SALES).startswith(f"CREATE TABLE {quoted} (")
    assert sql.delete_slice(schema, "sales") == f"DELETE FROM {quoted} WHERE campaign_key = %s"


def test_a_table_of_more_columns_than_redshift_takes_is_refused() -> None:
    most = sql.MAX_COLUMNS - len(LOAD_COLUMNS)
    wide = a_stage(columns=columns(**{f"c{n}": "bigint" for n in range(most)}))
    assert sql.create_table("public", wide).count("BIGINT") == most
    wider = a_stage(columns=columns(**{f"c{n}": "bigint" for n in range(most + 1)}))
    with pytest.raises(PermanentError, match=r"1,601 columns .* can have 1,600"):
        sql.create_table("public", wider)


CATALOG = {
    "boolean": "boolean", "smallint": "smallint", "integer": "integer", "bigint": "bigint",
    "decimal(12,2)": "numeric(12,2)", "real": "real", "double": "double precision",
    "varchar(40)": "character varying(160)", "text": "character varying(65535)", "date": "date",
    "timestamp": "timestamp without time zone", "binary": "binary varying(65535)",
}  # fmt: skip


@pytest.mark.parametrize(("ours", "catalog"), CATALOG.items())
def test_types_are_compared_as_the_catalog_names_them(ours: str, catalog: str) -> None:
    assert sql.canonical_type(ColumnType.parse(ours).redshift) == catalog


def test_every_type_of_the_type_table_is_compared() -> None:
    assert {kind.partition("(")[0] for kind in CATALOG} == TYPES.keys()


def test_a_table_that_fits_needs_no_change() -> None:
    wanted = sql.table_types(SALES.columns)
    existing = {name: sql.canonical_type(kind) for name, kind in wanted.items()}
    change = sql.schema_change(wanted, existing | {"gone": "date", "also": "boolean"})
    assert not change
    assert sql.alter_table("public", "sales", change) == []
    assert change.frozen() == "`gone` is not in the records; `also` is not in the records"
    assert sql.schema_change(wanted, existing).frozen() == ""


def test_new_columns_are_added_one_statement_each_and_texts_only_widened() -> None:
    existing = {"a": "character varying(40)", "b": "character varying(400)"}
    change = sql.schema_change(
        {"a": "VARCHAR(80)", "b": "VARCHAR(80)", "c": "DATE", "d": "NUMERIC(9,1)"}, existing
    )
    assert change == sql.SchemaChange({"c": "DATE", "d": "NUMERIC(9,1)"}, {"a": "VARCHAR(80)"}, [])
    assert sql.alter_table("public", "t", change) == [
        'ALTER TABLE "public"."t" ADD COLUMN "c" DATE',
        'ALTER TABLE "public"."t" ADD COLUMN "d" NUMERIC(9,1)',
        'ALTER TABLE "public"."t" ALTER COLUMN "a" TYPE VARCHAR(80)',
    ]
    assert str(change) == "`c` DATE is new; `d` NUMERIC(9,1) is new; `a` needs VARCHAR(80)"


@pytest.mark.parametrize(
    ("have", "need"),
    [
        ("bigint", "INTEGER"), ("integer", "BIGINT"), ("numeric(10,2)", "NUMERIC(12,2)"),
        ("character varying(40)", "DATE"), ("date", "VARCHAR(40)"), ("double precision", "REAL"),
        ("timestamp with time zone", "TIMESTAMP"), ("character(4)", "VARCHAR(4)"),
    ],
)  # fmt: skip
def test_every_other_change_of_a_type_is_refused_by_name(have: str, need: str) -> None:
    change = sql.schema_change({"x": need}, {"x": have})
    assert (change.add, change.widen) == ({}, {})
    (sentence,) = change.refused
    assert sentence.startswith(f"the type of `x` would change from {have} to ")
