"""Experiments on what Redshift's documentation leaves open (`etl-assets doctor --probe`).

Harmless: values go into temporary tables; tiny tables in our own schema are made for the
questions that take two sessions or a view, and dropped. A few objects of some bytes stay in the
staging store below `probe/`.
"""

import contextlib
import csv
import datetime as dt
import io
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg2
import psycopg2.extensions as pg
import zstandard

from etl_assets.core import redshift_sql as sql
from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.csv_record import empty_bytes
from etl_assets.core.errors import EtlError
from etl_assets.core.fingerprint import double_parts, double_square, double_total, hash64, weight
from etl_assets.core.fingerprint_groups import singly
from etl_assets.core.ledger import SCHEMA
from etl_assets.core.manifest import copy_manifest
from etl_assets.core.sql import quote_table
from etl_assets.systems.fingerprint_redshift import fingerprint_of
from etl_assets.systems.protocols import Check, Staging
from etl_assets.systems.redshift_connect import RedshiftUrl
from etl_assets.systems.redshift_errors import first_line
from etl_assets.systems.redshift_load_error import find_load_error
from etl_assets.systems.redshift_tables import count, make_ledger
from etl_assets.systems.redshift_views import other_columns, views_over_days

Connect = Callable[[], AbstractContextManager[pg.connection]]

_TOKEN = "~Nprobe~"  # noqa: S105  (it stands for NULL)
_COLUMNS = (
    Column(name="number", type=ColumnType.parse("integer")),
    Column(name="value", type=ColumnType.parse("varchar(10)")),
    Column(name="octets", type=ColumnType.parse("binary")),
)
_MOMENTS = (
    Column(name="number", type=ColumnType.parse("integer")),
    Column(name="value", type=ColumnType.parse("date")),
    Column(name="moment", type=ColumnType.parse("timestamp")),
)
_BOUNDS = (
    ("0001-01-01", "0001-01-01 00:00:00"),
    ("1582-10-10", "1582-10-10 12:00:00.000001"),  # a day that the Gregorian calendar skipped
    ("9999-12-31", "9999-12-31 23:59:59.999999"),
)
"""Dates and timestamps that our types hold, and Redshift's documentation gives no bounds for."""

_DOUBLES = ("'0.1'", "'-1e-300'", "'1.7976931348623157e308'", "'5e-324'", "'-0.0'")
_SUMMED = (
    "CAST('grün' AS VARCHAR(10)) AS value, FROM_HEX('00ff') AS octets, DATE '1969-12-31' AS day,"
    " TIMESTAMP '2017-03-26 02:30:00.000001' AS moment"
)
_PRINTED = tuple(
    Column(name=name, type=ColumnType.parse(kind))
    for name, kind in (
        ("number", "double"), ("value", "text"), ("octets", "binary"), ("day", "date"),
        ("moment", "timestamp"),
    )
)  # fmt: skip

_TEXTS = ("", r"\N", "NULL", " a ", "a  ", 'a,"b"', "a\nb", "a\\", "grün", "😀")
_NULL_NUMBER, _QUOTED_NUMBER = 100, 101
_WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.05


def probe_warehouse(connected: Connect, url: RedshiftUrl, staging: Staging) -> list[Check]:
    """Return what each experiment found; one that fails does not stop the next."""
    if not staging.uri("probe").startswith("s3://"):
        place = f"Redshift reads staged parts from S3, and they are at {staging.uri('')}."
        remedy = "Set ETL_ASSETS_STAGING to s3://BUCKET/PREFIX."
        return [Check("probe", ok=False, detail=place, remedy=remedy)]
    probe = _Probe(connected, url, staging, secrets.token_hex(4))
    experiments = {
        "probe: COPY": probe.copied_values,
        "probe: moments": probe.copied_moments,
        "probe: load errors": probe.load_error,
        "probe: fingerprints": probe.fingerprints,
        "probe: LOCK": probe.lock_and_snapshot,
        "probe: views": probe.replaced_view,
    }
    found = []
    for name, experiment in experiments.items():
        try:
            found += [Check(name, ok=ok, detail=detail) for ok, detail in experiment()]
        except EtlError as error:
            found.append(Check(name, ok=False, detail=error.message, remedy=error.remedy))
    return found


@dataclass(frozen=True)
class _Probe:
    """The experiments; each yields whether a load can live with what it found, and what that is."""

    connected: Connect
    url: RedshiftUrl
    staging: Staging
    name: str

    def copied_values(self) -> Iterator[tuple[bool, str]]:
        """Load NULL, its token in quotes, and texts that other loaders have changed."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(
            (n, t, t.encode().hex() or empty_bytes(_TOKEN)) for n, t in enumerate(_TEXTS)
        )
        text = (
            f"{buffer.getvalue()}{_NULL_NUMBER},{_TOKEN},{_TOKEN}\n"
            f'{_QUOTED_NUMBER},"{_TOKEN}",{_TOKEN}\n'
        )
        octets = f"TO_HEX({sql.staged_value(_COLUMNS[-1], _TOKEN)})"
        with self.connected() as connection, connection.cursor() as cursor:
            self._copy(cursor, text, "values")
            cursor.execute(f'SELECT "number", "value", {octets} FROM {sql.staging_table()}')
            rows = cursor.fetchall()
            values = {number: value for number, value, _ in rows}
            hexadecimal = {number: shown for number, _, shown in rows}
        yield True, f"reads the staging store as {self.url.iam_role}"
        null = values.get(_NULL_NUMBER, "")
        yield null is None, f"the unquoted NULL token is {_shown(null)}"
        yield True, f"the quoted NULL token is {_shown(values.get(_QUOTED_NUMBER, ''))}"
        changed = [
            f"{t!r} is {_shown(values.get(n))}" for n, t in enumerate(_TEXTS) if values.get(n) != t
        ]
        yield not changed, "; ".join(changed) or f"{len(_TEXTS)} difficult texts are kept exactly"
        wanted = {n: t.encode().hex() for n, t in enumerate(_TEXTS)}
        kept = all((hexadecimal.get(n) or "").lower() == t for n, t in wanted.items())
        kept = kept and hexadecimal.get(0) is not None and hexadecimal.get(_NULL_NUMBER, "") is None
        yield kept, f"bytes of length 0 are {_shown(hexadecimal.get(0))}, beside NULL"

    def copied_moments(self) -> Iterator[tuple[bool, str]]:
        """Load the earliest and latest moments, and read them back as text."""
        text = "".join(f"{n},{date},{moment}\n" for n, (date, moment) in enumerate(_BOUNDS))
        with self.connected() as connection, connection.cursor() as cursor:
            try:
                self._copy(cursor, text, "moments", _MOMENTS)
            except psycopg2.Error as error:
                yield (
                    False,
                    f"moments from {_BOUNDS[0][1]} to {_BOUNDS[-1][1]}: {first_line(error)}",
                )
                return
            cursor.execute(
                'SELECT "number", CAST("value" AS VARCHAR(40)), CAST("moment" AS VARCHAR(40))'
                f" FROM {sql.staging_table()}"
            )
            read = {number: (date, moment) for number, date, moment in cursor.fetchall()}
        changed = [
            f"{bound} is {read.get(n)}" for n, bound in enumerate(_BOUNDS) if read.get(n) != bound
        ]
        kept = f"moments from {_BOUNDS[0][1]} to {_BOUNDS[-1][1]} are kept exactly"
        yield not changed, "; ".join(changed) or kept

    def load_error(self) -> Iterator[tuple[bool, str]]:
        """Load a text that is too long, and look for the record of it."""
        with self.connected() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT getdate()")
            (since,) = cursor.fetchone() or (None,)
            try:
                self._copy(cursor, f"1,{'x' * 41},{_TOKEN}\n", "error")
            except psycopg2.Error as error:
                message = first_line(error)
            else:
                yield False, "a text of 41 bytes was loaded into VARCHAR(40)"
                return
            connection.rollback()
            found = find_load_error(connection, since)
        if found is None:
            yield False, f"a failed load left no record that this user can read ({message})"
        else:
            yield True, f"recorded as: {found.reason}, column {found.column}, line {found.line}"

    def fingerprints(self) -> Iterator[tuple[bool, str]]:
        """Sum what a fingerprint sums, and compare it with the definition."""
        source = " UNION ALL ".join(f"SELECT {value} AS value" for value in _DOUBLES)
        doubles = (
            f"(SELECT CAST(value AS DOUBLE PRECISION) AS number, {_SUMMED} FROM ({source}) q) p"
        )
        with self.connected() as connection, connection.cursor() as cursor:
            found = fingerprint_of(cursor, _PRINTED, singly(_PRINTED), doubles)
        totals = {c.column: c.total for c in found.columns}
        totals |= {group.columns[0]: group.total for group in found.groups}
        wrong = [
            f"the total of {c.type} is {totals[c.name]} instead of {wanted}"
            for c, wanted in zip(_PRINTED, _expected_totals(), strict=True)
            if totals[c.name] != wanted
        ]
        yield not wrong, "; ".join(wrong) or "hashes, doubles and moments are summed exactly"

    def lock_and_snapshot(self) -> Iterator[tuple[bool, str]]:
        """Let a session wait for LOCK while another commits, and see what it then reads."""
        mutex = quote_table(SCHEMA, f"probe_{self.name}_mutex")
        values = quote_table(SCHEMA, f"probe_{self.name}")
        with self.connected() as first, self.connected() as second:
            make_ledger(first, (), time.sleep)
            with self._tables(first, mutex, values), ThreadPoolExecutor(1) as pool:
                try:
                    with first.cursor() as cursor:
                        cursor.execute(f"LOCK {mutex}")
                        waiting = pool.submit(_lock_and_count, second, mutex, values)
                        seen = _waits(cursor, second.info.backend_pid)
                        cursor.execute(f"INSERT INTO {values} SELECT 1")
                    first.commit()
                finally:
                    first.rollback()  # or the other would wait for ever
                rows = waiting.result()
                second.rollback()
        if not seen:
            yield True, "nobody was seen waiting for LOCK in SVV_TRANSACTIONS: not known"
        elif rows:
            yield True, "a snapshot begins after the wait for LOCK"
        else:
            yield True, "a snapshot begins before the wait for LOCK: loads at once are run again"

    def replaced_view(self) -> Iterator[tuple[bool, str]]:
        """Give a late-binding view other columns, and make those over days."""
        table, view = (quote_table(SCHEMA, f"probe_{self.name}_{what}") for what in "tv")
        with self.connected() as connection, self._tables(connection, table):
            yield other_columns(connection, table, view)
            make_ledger(connection, (), time.sleep)
            yield views_over_days(connection, f"probe_{self.name}_t")

    @contextlib.contextmanager
    def _tables(self, connection: pg.connection, *tables: str) -> Iterator[None]:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"CREATE TABLE {table} (n INTEGER)")
        connection.commit()
        try:
            yield
        finally:
            connection.rollback()
            with connection.cursor() as cursor:
                for table in tables:
                    cursor.execute(f"DROP TABLE {table}")
            connection.commit()

    def _copy(
        self, cursor: pg.cursor, text: str, name: str, columns: tuple[Column, ...] = _COLUMNS
    ) -> None:
        """Stage records and COPY them into the session's staging table."""
        folder = f"probe/{self.name}/{name}"
        with self.staging.scratch() as scratch:
            file = scratch / "part"
            file.write_bytes(zstandard.compress(text.encode()))
            part = self.staging.put(f"{folder}/part-00000.csv.zst", file)
        manifest = f"{folder}/manifest.json"
        self.staging.put_text(manifest, copy_manifest([part], self.staging.uri))
        cursor.execute(sql.create_staging(columns))
        cursor.execute(
            sql.copy_staging(
                columns,
                _TOKEN,
                self.staging.uri(manifest),
                iam_role=self.url.iam_role,
                region=self.url.region,
            )
        )


def _lock_and_count(connection: pg.connection, mutex: str, values: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK {mutex}")
        return count(cursor, f"SELECT count(*) FROM {values}")


def _waits(cursor: pg.cursor, pid: int) -> bool:
    """Return whether a session was seen waiting for a lock."""
    query = "SELECT count(*) FROM svv_transactions WHERE pid = %s AND NOT granted"
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        if count(cursor, query, [pid]):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _expected_totals() -> Iterator[str]:
    """Yield what the columns of `_PRINTED` add up to, by the definition."""
    parts = [double_parts(float(value.strip("'"))) for value in _DOUBLES]
    yield str(
        double_total(
            sum(high for high, _, _ in parts),
            sum(low for _, low, _ in parts),
            sum(double_square(*part) for part in parts),
        )
    )
    yield str(len(_DOUBLES) * hash64("grün".encode()))
    yield str(len(_DOUBLES) * hash64(b"00ff"))
    yield str(len(_DOUBLES) * weight(-1))
    moment = dt.datetime.fromisoformat("2017-03-26T02:30:00.000001")
    since = moment - dt.datetime.fromisoformat("1970-01-01")
    yield str(len(_DOUBLES) * weight(since // dt.timedelta(microseconds=1)))


def _shown(value: str | None) -> str:
    return "NULL" if value is None else repr(value)
