"""What Redshift recorded of a failed COPY: file, line, column, value, and the record's key."""

import csv
import datetime as dt
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions as pg
import zstandard

from etl_assets.core.errors import EtlError
from etl_assets.core.manifest import Stage
from etl_assets.systems.protocols import Staging
from etl_assets.systems.staged_csv import staged_records

# SYS views are there on provisioned clusters and serverless, STL tables on clusters only. A
# process id is used again, so errors of before the COPY are somebody else's.
_QUERIES = (
    (
        "SELECT file_name, line_number, column_name, error_message FROM sys_load_error_detail"
        " WHERE session_id = pg_backend_pid() AND start_time >= %s"
        " ORDER BY start_time DESC, line_number LIMIT 1"
    ),
    (
        "SELECT filename, line_number, colname, err_reason FROM stl_load_errors"
        " WHERE session = pg_backend_pid() AND starttime >= %s"
        " ORDER BY starttime DESC, line_number LIMIT 1"
    ),
)
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class LoadError:
    """What Redshift recorded of a field that did not load."""

    file: str
    line: int
    column: str
    reason: str


def find_load_error(connection: pg.connection, since: dt.datetime) -> LoadError | None:
    """Return what this session's failed COPY failed on; None when nothing is recorded.

    Some failures (a missing object, no memory) leave no record; the caller has their error.

    Args:
        connection: In no transaction.
        since: The server's time before the COPY, without a zone.
    """
    for query in _QUERIES:
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, [since])
                found = cursor.fetchone()
        except psycopg2.Error:
            connection.rollback()
            continue
        connection.rollback()
        if found is not None:
            file, line, column, reason = (str(value).strip() for value in found)
            return LoadError(file, int(line), column, reason)
    return None


def describe_load_error(error: LoadError, stage: Stage, staging: Staging) -> str:
    """Return a load error for people, with the value and the record's key where they are known."""
    record = _record(error, stage, staging)
    return f"{error.reason} in column `{error.column}`{record}, line {error.line} of {error.file}"


def _record(error: LoadError, stage: Stage, staging: Staging) -> str:
    """Return the value and the key of the record that did not load."""
    part = next((p for p in stage.parts if error.file.endswith(p.path)), None)
    if part is None:
        return ""
    try:
        with staging.fetch([part]) as (local,):
            reaching = (r.fields for r in staged_records(local) if r.last_line >= error.line)
            fields = next(reaching, None)
    except (EtlError, OSError, UnicodeDecodeError, csv.Error, zstandard.ZstdError):
        return ""
    names = [c.name for c in stage.columns]
    if fields is None or len(fields) != len(names):
        return ""
    shown = [_shown(field, stage.null_token) for field in fields]
    values = dict(zip(names, shown, strict=True))
    keys = [name for name in stage.primary_key if name in values] or names[:2]
    named = ", ".join(f"{name}={values[name]}" for name in keys)
    value = f" = {values[error.column]}" if error.column in values else ""
    return f"{value} of the record {named}"


def _shown(field: str, null_token: str) -> str:
    """Return a field for people: NULL, or the beginning of the text in quotes."""
    if field == null_token:
        return "NULL"
    if len(field) <= _SHOWN_CHARACTERS:
        return repr(field)
    return f"{field[:_SHOWN_CHARACTERS]!r}… ({len(field.encode()):,} bytes)"
