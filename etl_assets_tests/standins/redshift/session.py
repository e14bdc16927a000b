"""One client's session: what simple and extended queries share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TypeVar

from etl_assets_tests.standins.redshift import wire
from etl_assets_tests.standins.redshift.admin import Admin
from etl_assets_tests.standins.redshift.backend import Backend, BackendError
from etl_assets_tests.standins.redshift.column_types import describe_limit
from etl_assets_tests.standins.redshift.copying import Copier
from etl_assets_tests.standins.redshift.errors import SqlError, serializable_violation
from etl_assets_tests.standins.redshift.plan import Plan
from etl_assets_tests.standins.redshift.sources import S3Settings
from etl_assets_tests.standins.redshift.unloading import Unloader
from etl_assets_tests.standins.redshift.wire import Channel, Frame

_T = TypeVar("_T")
# Puts the client's transaction in the failed state when the proxy itself refuses a statement.
_FAIL = "DO 'BEGIN RAISE EXCEPTION ''refused by the stand-in''; END'"
_SERVER_VERSION = "8.0.2"


@dataclass
class Settings:
    """What the stand-in was started with.

    Attributes:
        s3: Where COPY finds its objects.
        checks: Whether COPY checks every field.
        isolation: `serializable` or `snapshot`.
    """

    s3: S3Settings
    checks: bool = True
    isolation: str = "serializable"

    @property
    def level(self) -> str:
        """PostgreSQL's name of the isolation level."""
        return "REPEATABLE READ" if self.isolation == "snapshot" else "SERIALIZABLE"


@dataclass
class Identity:
    """Who a session belongs to."""

    user: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    pid: int = 0


class Session:
    """The state of one client's session and the steps both protocols take."""

    def __init__(
        self,
        client: Channel,
        backend: Backend,
        admin: Admin,
        settings: Settings,
        identity: Identity,
        threads: Executor,
    ) -> None:
        self.client = client
        self.backend = backend
        self.settings = settings
        self._admin = admin
        self._identity = identity
        self._threads = threads
        self._locked = ("", 0)
        self._copier = Copier(backend, admin, settings.s3, settings.checks, threads)
        self._unloader = Unloader(backend, settings.s3, threads)
        backend.relay = self.relay

    def relay(self, frame: Frame) -> None:
        """Pass on a frame that can come at any time."""
        if frame.kind == b"S" and frame.body.startswith(b"server_version\0"):
            frame = Frame(b"S", f"server_version\0{_SERVER_VERSION}\0".encode())
        self.client.send(frame)

    async def prepare(self, plan: Plan) -> None:
        """Do what comes before a statement, in its transaction.

        Args:
            plan: The statement.

        Raises:
            SqlError: If the statement cannot run in a transaction block.
            BackendError: If the table cannot be locked.
        """
        if self.backend.status == "E":
            return
        if plan.outside_block and self.backend.status == "T":
            raise SqlError("25001", plan.outside_block)
        if plan.lock:
            await self.lock(plan)
        if plan.reads_copy_state:
            state = self._copier.state
            await self.backend.hidden(
                f"SELECT set_config('redshift.last_copy_count', '{state.rows}', false), "
                f"set_config('redshift.last_copy_id', '{state.query_id}', false), "
                f"set_config('redshift.last_unload_count', '{self._unloader.records}', false)"
            )

    async def lock(self, plan: Plan) -> None:
        """Take the write lock of a statement's table: writers queue and readers go on."""
        await self.backend.hidden(f"LOCK TABLE {plan.lock} IN SHARE ROW EXCLUSIVE MODE")
        if plan.lock != self._locked[0]:
            # Error 1023 names the table, and a failed transaction answers no questions.
            self._locked = (plan.lock, await self._table_id(plan.lock))

    async def _table_id(self, table: str) -> int:
        literal = table.replace("'", "''")
        rows = await self.backend.hidden(f"SELECT '{literal}'::regclass::oid::bigint")
        return int(rows[0][0] or 0)

    async def transfer(self, plan: Plan) -> None:
        """Run a COPY or UNLOAD and tell the client what it did."""
        if self.backend.status == "E":
            # PostgreSQL knows best what to say to a statement in a failed transaction.
            await self.backend.hidden(_FAIL)
        if plan.copy is not None:
            identity = self._identity
            message = await self._copier.run(plan.copy, identity.user, identity.pid)
            self.client.send(wire.notice(message))
        elif plan.unload is not None:
            self.client.send(wire.notice(await self._unloader.run(plan.unload, plan.select)))

    async def finish(self, plan: Plan) -> None:
        """Do what comes after a statement that succeeded.

        Args:
            plan: The statement.
        """
        if plan.truncates and self.backend.status == "T":
            await self.backend.hidden("COMMIT")
        if plan.attributes is not None:
            table = await self._table_id(plan.table)
            await self._call(self._admin.record_table, table, plan.attributes)

    async def fail(self, cause: SqlError | BackendError) -> None:
        """Report an error to the client, and fail its transaction if PostgreSQL does not know.

        Args:
            cause: The error.
        """
        if isinstance(cause, BackendError):
            self.client.send(await self.translate(cause))
            return
        backend = self.backend
        unaware = backend.status == "T" or (backend.extended and backend.status == "I")
        if unaware and not backend.skipping:
            with contextlib.suppress(BackendError):
                await backend.hidden(_FAIL)
        self.client.send(wire.error(cause))

    async def translate(self, cause: BackendError) -> Frame:
        """Return PostgreSQL's error as a cluster words it.

        Args:
            cause: The error.
        """
        fields = wire.fields(cause.frame)
        if cause.sqlstate == "40001":
            return wire.error(await self._violation())
        limited = describe_limit(fields.get("n", "")) if cause.sqlstate == "23514" else ""
        if limited:
            return wire.error(SqlError("22001", f"value too long for type {limited}"))
        return cause.frame

    async def _violation(self) -> SqlError:
        transaction = await self._call(self._admin.transaction_id)
        return serializable_violation(
            self._locked[1], transaction - 1, transaction, self._identity.pid
        )

    async def _call(self, function: Callable[..., _T], *arguments: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
