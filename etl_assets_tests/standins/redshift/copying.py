"""The run of a COPY for one client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etl_assets_tests.standins.redshift import wire
from etl_assets_tests.standins.redshift.admin import Admin, now
from etl_assets_tests.standins.redshift.backend import Backend, BackendError
from etl_assets_tests.standins.redshift.copy_command import CopyCommand
from etl_assets_tests.standins.redshift.cursor import quote_name
from etl_assets_tests.standins.redshift.errors import SqlError, load_failed
from etl_assets_tests.standins.redshift.fields import Column
from etl_assets_tests.standins.redshift.load import DirectLoad, Load, LoadError, choose_columns
from etl_assets_tests.standins.redshift.sources import S3Settings, S3Source

_COLUMNS = """SELECT a.attname, t.typname, a.atttypmod, a.attnotnull, a.attidentity, a.attrelid
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = {}::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""


@dataclass
class CopyState:
    """What a session remembers of its last COPY."""

    query_id: int = -1
    rows: int = 0


class Copier:
    """Runs the COPY commands of one session."""

    def __init__(
        self, backend: Backend, admin: Admin, s3: S3Settings, checks: bool, threads: Executor
    ) -> None:
        self.state = CopyState()
        self._backend = backend
        self._admin = admin
        self._s3 = s3
        self._checks = checks
        self._threads = threads
        self._table_id = 0

    async def run(self, command: CopyCommand, user: str, session: int) -> str:
        """Run a COPY whose table is locked already.

        Args:
            command: The command.
            user: The user to record load errors for.
            session: The process identifier to record.

        Returns:
            The message of success.

        Raises:
            SqlError: If the data does not load.
            BackendError: If PostgreSQL refuses the command.
        """
        start = now()
        self.state = CopyState(await self._call(self._admin.next_query_id))
        columns = choose_columns(await self._columns(command), command)
        source = await self._call(S3Source, self._s3, command)
        load: Load | DirectLoad = (Load if self._checks else DirectLoad)(command, columns, source)
        failure: Exception | None = None
        try:
            self.state.rows = await self._stream(load, command, columns)
        except (SqlError, BackendError) as error:
            failure = self._data_error(error, load, command)
        await self._call(self._record, load, command, user, session, start, failure)
        if failure is not None:
            raise failure
        return self._success(load, command)

    async def _call(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _columns(self, command: CopyCommand) -> list[Column]:
        literal = "'" + command.table.replace("'", "''") + "'"
        rows = await self._backend.hidden(_COLUMNS.format(literal))
        self._table_id = int(rows[0][5] or 0) if rows else 0
        return [
            Column(r[0] or "", r[1] or "", int(r[2] or -1), r[3] == "t", r[4] or "") for r in rows
        ]

    async def _stream(
        self, load: Load | DirectLoad, command: CopyCommand, columns: list[Column]
    ) -> int:
        if "NOLOAD" in command.flags:
            async for _ in self._pump(load):
                pass
            return 0
        names = ", ".join(quote_name(c.name) for c in columns)
        options = f" WITH ({load.options()})" if isinstance(load, DirectLoad) else ""
        sql = f"COPY {command.table} ({names}) FROM STDIN{options}"
        return await self._backend.copy_in(sql, self._pump(load))

    async def _pump(self, load: Load | DirectLoad) -> AsyncIterator[bytes]:
        """Yield the load's chunks, made in a thread so that other sessions go on."""
        chunks: Iterator[bytes] = load.chunks()
        try:
            while (chunk := await self._call(next, chunks, None)) is not None:
                yield chunk
        except (SqlError, GeneratorExit):
            raise
        except Exception as error:
            message = f"COPY failed while reading its source: {type(error).__name__}"
            raise SqlError("XX000", message, str(error)) from error
        finally:
            # A thread may still be inside the generator when the client has gone.
            with contextlib.suppress(ValueError):
                chunks.close()  # type: ignore[attr-defined]

    def _data_error(
        self, error: SqlError | BackendError, load: Load | DirectLoad, command: CopyCommand
    ) -> Exception:
        """Turn PostgreSQL's refusal of the data into a failed load with a load error."""
        if isinstance(error, SqlError) or error.sqlstate[:2] not in ("22", "23"):
            return error
        fields = wire.fields(error.frame)
        place = fields.get("W", "")
        line, _, rest = place.partition(", line ")[2].partition(",")
        column = rest.partition("column ")[2].partition(":")[0]
        number = int(line.rstrip(":")) if line.rstrip(":").isdigit() else 0
        reason = fields.get("M", "")
        load.errors.append(
            LoadError(command.url, number, column, "", "", 0, place[:1024], "", 1200, reason)
        )
        return load_failed(command.table_name)

    def _record(
        self,
        load: Load | DirectLoad,
        command: CopyCommand,
        user: str,
        session: int,
        start: datetime,
        failure: Exception | None,
    ) -> None:
        common = {"query": self.state.query_id, "session": session, "start": start, "user": user}
        if load.errors:
            self._admin.record_errors({**common, "table": self._table_id}, load.errors)
        self._admin.record_load(
            {
                **common,
                "table": command.table_name,
                "status": "failed" if failure else "completed",
                "source": command.url,
                "rows": self.state.rows,
                "count": len(load.errors),
                "message": str(failure or ""),
            }
        )

    def _success(self, load: Load | DirectLoad, command: CopyCommand) -> str:
        if "NOLOAD" in command.flags:
            return f"Load into table '{command.table_name}' completed, NOLOAD was specified."
        if load.errors:
            return (
                f"Load into table '{command.table_name}' completed, {len(load.errors)} record(s) "
                "could not be loaded.  Check 'sys_load_error_detail' system table for details."
            )
        return (
            f"Load into table '{command.table_name}' completed, {self.state.rows} record(s) "
            "loaded successfully."
        )
