"""What Redshift recorded of a failed COPY: file, line, column, value, and the record's key."""

import csv
import io
import itertools
from typing import Any

import psycopg2
import zstandard

from etl_assets.core.errors import EtlError
from etl_assets.core.manifest import Stage
from etl_assets.systems.protocols import Staging

# SYS views are there on provisioned clusters and serverless, STL tables on clusters only.
_QUERIES = (
    (
        "SELECT file_name, line_number, column_name, error_message FROM sys_load_error_detail"
        " WHERE session_id = pg_backend_pid() ORDER BY start_time DESC, line_number LIMIT 1"
    ),
    (
        "SELECT filename, line_number, colname, err_reason FROM stl_load_errors"
        " WHERE session = pg_backend_pid() ORDER BY starttime DESC, line_number LIMIT 1"
    ),
)


def describe_load_error(connection: Any, stage: Stage, staging: Staging) -> str | None:
    """Return what the last failed COPY of this session failed on; None when nothing is recorded.

    Some failures (a missing object, no memory) leave no record; the caller has their error.
    """
    for query in _QUERIES:
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                found = cursor.fetchone()
            connection.rollback()
        except psycopg2.Error:
            connection.rollback()
            continue
        if found is None:
            continue
        file, line, column, reason = (str(value).strip() for value in found)
        record = _record(stage, staging, file, int(line), column)
        return f"{reason} in column `{column}`{record}, line {line} of {file}"
    return None


def _record(stage: Stage, staging: Staging, file: str, line: int, column: str) -> str:
    """Return the value and the first columns of the record at a line of a staged part."""
    part = next((p for p in stage.parts if file.endswith(p.path)), None)
    if part is None:
        return ""
    try:
        with staging.fetch([part]) as (local,), local.open("rb") as handle:
            text = io.TextIOWrapper(
                zstandard.ZstdDecompressor().stream_reader(handle), encoding="utf-8", newline=""
            )
            reader = csv.reader(text)
            row = next(itertools.dropwhile(lambda _: reader.line_num < line, reader), None)
    except (EtlError, OSError, csv.Error, zstandard.ZstdError):
        return ""
    if row is None or len(row) != len(stage.columns):
        return ""
    values = dict(zip((c.name for c in stage.columns), row, strict=True))
    keys = [name for name in stage.primary_key if name in values] or list(values)[:2]
    named = ", ".join(f"{name}={values[name]}" for name in keys)
    return f" = {values.get(column, '')!r} in the record {named}"
