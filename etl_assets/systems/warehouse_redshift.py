"""The production warehouse: Amazon Redshift, over psycopg2.

A load is two transactions. The first fills a staging table of the session by COPY; nobody
else sees it. The second is short and replaces the slice: lock a mutex table (never the
target, which would make readers wait), ledger check, DELETE, INSERT, counts, ledger row,
COMMIT. It is run again as a whole when Redshift reports a serialization failure. Nothing
here runs TRUNCATE or ALTER TABLE APPEND, which commit the transaction they are in.
"""

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg2

from etl_assets.core import redshift_sql as sql
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError, ProofError, TransientError, WarehouseError
from etl_assets.core.ledger import (
    CREATE_LEDGER,
    LEDGER,
    SCHEMA,
    load_row,
    prove_load,
    prove_prune,
    prune_row,
)
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.sql import column_list, quote_identifier, quote_table
from etl_assets.systems import redshift_connect as rs
from etl_assets.systems.protocols import Check, Staging
from etl_assets.systems.redshift_errors import describe_load_error

_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
T = TypeVar("T")


class RedshiftWarehouse:
    """A Redshift database as a warehouse; see `Warehouse`.

    Args:
        url: `redshift://user@host:5439/database?iam_role=…`; see `RedshiftUrl`.
        password: Returns the password when a connection needs it.
    """

    def __init__(self, url: str, password: Callable[[], str]) -> None:
        self.url = rs.RedshiftUrl.parse(url)
        self._password = password

    def load(self, stage: Stage, staging: Staging, *, stage_path: str, run_id: str | None) -> Load:
        """Replace the campaign's slice with the staged records; see `Warehouse.load`."""
        what = f"The load of {stage.dataset} for campaign {stage.campaign_key}"
        manifest = staging.uri(stage.copy_manifest)
        if stage.parts and not manifest.startswith("s3://"):
            raise WarehouseError(
                f"{what} cannot run: Redshift reads staged parts from S3, and they are at {manifest}.",
                "Set ETL_ASSETS_STAGING to s3://BUCKET/PREFIX.",
            )
        with self._connected(what) as connection:
            self._prepare(connection, stage, what)
            if stage.parts:
                self._copy(connection, stage, staging, manifest, what)

            def publish() -> Load:
                return self._publish(connection, stage, stage_path=stage_path, run_id=run_id)

            return self._committed(connection, stage.load_id, publish, what)

    def prune(
        self, dataset: Dataset, key: str, *, load_id: str, run_id: str | None, at: dt.datetime
    ) -> Load:
        """Remove a campaign's slice; see `Warehouse.prune`."""
        what = f"The removal of {key} from {dataset.table}"
        target = self._target(dataset.table)
        with self._connected(what) as connection:
            self._ledger(connection, dataset.table)

            def remove() -> Load:
                with connection.cursor() as cursor:
                    cursor.execute(f"LOCK {sql.mutex_table(dataset.table)}")
                    total = _one(cursor, f"SELECT count(*) FROM {target}")
                    cursor.execute(f"DELETE FROM {target} WHERE campaign_key = %s", [key])
                    gone = cursor.rowcount
                    left = _one(cursor, f"SELECT count(*) FROM {target}")
                    prove_prune(dataset, key, total=total, gone=gone, left=left)
                    row = prune_row(
                        dataset, key, load_id=load_id, run_id=run_id, total=total, gone=gone,
                        started_at=at, committed_at=rs.now(),
                    )  # fmt: skip
                    _write_ledger(cursor, row)
                return row

            return self._committed(connection, load_id, remove, what)

    def loads(
        self, *, dataset: str | None = None, key: str | None = None, limit: int | None = None
    ) -> list[Load]:
        """Return rows of the ledger, newest first; see `Warehouse.loads`."""
        with self._connected("Reading the ledger") as connection, connection.cursor() as cursor:
            if not _exists(cursor, SCHEMA, "loads"):
                return []
            conditions = {"dataset": dataset, "campaign_key": key}
            used = {name: value for name, value in conditions.items() if value is not None}
            where = " AND ".join(f"{quote_identifier(name)} = %s" for name in used)
            tail = f"{f'WHERE {where}' if where else ''} ORDER BY committed_at DESC, load_id DESC"
            return _ledger_rows(
                cursor, f"{tail}{f' LIMIT {int(limit)}' if limit else ''}", list(used.values())
            )

    def current(self, dataset: Dataset, key: str) -> Load | None:
        """Return the newest ledger row of a key; see `Warehouse.current`."""
        return next(iter(self.loads(dataset=dataset.name, key=key, limit=1)), None)

    def slices(self, dataset: Dataset) -> dict[str, int]:
        """Count the table's records by key; see `Warehouse.slices`."""
        with self._connected("Counting slices") as connection, connection.cursor() as cursor:
            if not _exists(cursor, self.url.schema, dataset.table):
                return {}
            target = self._target(dataset.table)
            cursor.execute(f"SELECT campaign_key, count(*) FROM {target} GROUP BY 1")
            return dict(cursor.fetchall())

    def check(self) -> list[Check]:
        """Return whether the login works, and whether the ledger can be written."""
        try:
            with self._connected("The check of the warehouse") as connection:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT version()")
                    version = str(cursor.fetchone()[0])
                self._ledger(connection, None)
                with connection.cursor() as cursor:
                    rows = _one(cursor, f"SELECT count(*) FROM {LEDGER}")
        except EtlError as error:
            return [Check("writable", ok=False, detail=error.message, remedy=error.remedy)]
        return [
            Check("reachable", ok=True, detail=f"{self.url.host}: {version[:80]}"),
            Check("writable", ok=True, detail=f"{rows} loads in {LEDGER}"),
        ]

    def _publish(
        self, connection: Any, stage: Stage, *, stage_path: str, run_id: str | None
    ) -> Load:
        """Replace the slice; the caller commits."""
        target = self._target(stage.table)
        key = [stage.campaign_key]
        with connection.cursor() as cursor:
            # First of all, so that the snapshot begins after the wait (dg:r_LOCK).
            cursor.execute(f"LOCK {sql.mutex_table(stage.table)}")
            started_at = rs.now()
            if done := _ledger_rows(cursor, "WHERE load_id = %s", [stage.load_id]):
                return done[0]
            cursor.execute(f"DELETE FROM {target} WHERE campaign_key = %s", key)
            replaced = cursor.rowcount
            if stage.parts:
                added = [stage.campaign_key, stage.load_id, started_at.replace(tzinfo=None)]
                cursor.execute(sql.insert_slice(self.url.schema, stage), added)
            count = f"SELECT count(*) FROM {target} WHERE campaign_key = %s"
            prove_load(stage, _one(cursor, count, key))
            row = load_row(
                stage,
                stage_path=stage_path,
                run_id=run_id,
                replaced=replaced,
                started_at=started_at,
                committed_at=rs.now(),
            )
            _write_ledger(cursor, row)
        return row

    def _copy(
        self, connection: Any, stage: Stage, staging: Staging, manifest: str, what: str
    ) -> None:
        """Fill the staging table from the parts, all of them or nothing.

        In a transaction of its own: in autocommit Redshift goes on loading when the client
        has gone (dg:copy-usage_notes-multiple-files).
        """
        copy = sql.copy_staging(stage, manifest, iam_role=self.url.iam_role, region=self.url.region)
        with connection.cursor() as cursor:
            cursor.execute(sql.create_staging(stage.columns))
            try:
                cursor.execute(copy)
            except psycopg2.Error as error:
                connection.rollback()
                described = describe_load_error(connection, stage, staging)
                if described is None:
                    raise
                raise WarehouseError(
                    f"{what} failed: {described}; the table is as it was.",
                    "Correct the value at the source, or say in a rule what happens to it.",
                ) from error
            copied = _one(cursor, "SELECT pg_last_copy_count()")
        if copied != stage.records:
            raise ProofError(
                f"{what} copied {copied:,} records, but {stage.records:,} were staged; the table"
                " is as it was.",
                "Refresh the campaign with --force; if it happens again, keep the staged parts.",
            )
        connection.commit()

    def _prepare(self, connection: Any, stage: Stage, what: str) -> None:
        """Create the target and its mutex, or add what the target lacks, as the dataset allows."""
        self._ledger(connection, stage.table)
        wanted = sql.table_types(stage.columns)
        with _autocommit(connection), connection.cursor() as cursor:
            existing = _column_types(cursor, self.url.schema, stage.table)
            if not existing:
                cursor.execute(sql.create_table(self.url.schema, stage))
                return
            change = sql.schema_change(wanted, existing)
            if change.refused or (change and stage.on_schema_change == "freeze"):
                raise WarehouseError(
                    f"{what} does not fit the table {stage.table}: {change}; nothing was loaded.",
                    "Correct the query or the rules, or change the table"
                    " (`on_schema_change: evolve` adds columns and widens texts).",
                )
            target = self._target(stage.table)
            for name, kind in change.add.items():
                cursor.execute(f"ALTER TABLE {target} ADD COLUMN {quote_identifier(name)} {kind}")
            for name, kind in change.widen.items():
                cursor.execute(
                    f"ALTER TABLE {target} ALTER COLUMN {quote_identifier(name)} TYPE {kind}"
                )

    def _ledger(self, connection: Any, table: str | None) -> None:
        """Create the ledger and a table's mutex when they are absent."""
        with _autocommit(connection), connection.cursor() as cursor:
            if not _exists(cursor, SCHEMA, "loads"):
                cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_identifier(SCHEMA)}")
                cursor.execute(CREATE_LEDGER)
            if table and not _exists(cursor, SCHEMA, f"publish_mutex_{table}"):
                cursor.execute(
                    f"CREATE TABLE IF NOT EXISTS {sql.mutex_table(table)} (held BOOLEAN)"
                )

    def _committed(
        self, connection: Any, load_id: str, transaction: Callable[[], Load], what: str
    ) -> Load:
        """Run a transaction and commit it; run it again when it lost against another.

        When the answer to COMMIT is lost, the ledger says whether it happened.
        """
        for attempt in range(_ATTEMPTS):
            try:
                row = transaction()
            except psycopg2.Error as error:
                connection.rollback()
                if not rs.is_serialization_failure(error) or attempt == _ATTEMPTS - 1:
                    raise
            else:
                try:
                    connection.commit()
                except psycopg2.Error as error:
                    if rs.is_serialization_failure(error) and attempt < _ATTEMPTS - 1:
                        connection.rollback()
                    elif rs.is_connection_lost(error):
                        return self._settled(load_id, what)
                    else:
                        raise
                else:
                    return row
            time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError  # the last attempt returns or raises

    def _settled(self, load_id: str, what: str) -> Load:
        """Return the ledger row of a load whose COMMIT was not answered.

        Raises:
            TransientError: When there is none: it was rolled back.
        """
        with self._connected(what) as connection, connection.cursor() as cursor:
            done = _ledger_rows(cursor, "WHERE load_id = %s", [load_id])
        if done:
            return done[0]
        raise TransientError(
            f"{what} was not committed: the connection was lost before it.", "Try again."
        )

    def _target(self, table: str) -> str:
        return quote_table(self.url.schema, table)

    @contextlib.contextmanager
    def _connected(self, what: str) -> Iterator[Any]:
        """Give a connection; closing it rolls back what was not committed."""
        connection = rs.connect(self.url, self._password)
        try:
            yield connection
        except psycopg2.Error as error:
            raise rs.explain(what, error) from error
        finally:
            connection.close()


@contextlib.contextmanager
def _autocommit(connection: Any) -> Iterator[None]:
    """Run statements each in its own transaction, as ALTER COLUMN TYPE demands."""
    connection.rollback()
    connection.autocommit = True
    try:
        yield
    finally:
        connection.autocommit = False


def _one(cursor: Any, statement: str, parameters: Sequence[object] = ()) -> int:
    cursor.execute(statement, list(parameters) or None)
    return int(cursor.fetchone()[0])


def _exists(cursor: Any, schema: str, table: str) -> bool:
    cursor.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        [schema, table],
    )
    return cursor.fetchone() is not None


def _column_types(cursor: Any, schema: str, table: str) -> dict[str, str]:
    """Return a table's columns with types as `canonical_type` writes them."""
    cursor.execute(
        "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale"
        " FROM svv_columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [schema, table],
    )
    found: dict[str, str] = {}
    for name, kind, length, precision, scale in cursor.fetchall():
        if kind == "numeric":
            found[name] = f"numeric({precision},{scale})"
        else:
            found[name] = f"{kind}({length})" if length else str(kind)
    return found


def _ledger_rows(cursor: Any, tail: str, parameters: Sequence[object]) -> list[Load]:
    names = list(Load.model_fields)
    cursor.execute(f"SELECT {column_list(names)} FROM {LEDGER} {tail}", list(parameters))
    return [Load(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _write_ledger(cursor: Any, row: Load) -> None:
    values = row.model_dump()
    marks = ", ".join("%s" for _ in values)
    cursor.execute(
        f"INSERT INTO {LEDGER} ({column_list(values)}) VALUES ({marks})", list(values.values())
    )
