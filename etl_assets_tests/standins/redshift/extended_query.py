"""Extended queries: Parse, Bind, Describe, Execute, Close and Sync."""

from __future__ import annotations

from etl_assets_tests.standins.redshift import wire
from etl_assets_tests.standins.redshift.backend import BackendError
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import split_statements
from etl_assets_tests.standins.redshift.plan import Plan, plan_statement
from etl_assets_tests.standins.redshift.session import Session
from etl_assets_tests.standins.redshift.wire import Frame

_FLUSH = Frame(b"H")
_ROWS_BEFORE_DRAIN = 256


class ExtendedQuery:
    """Runs the extended queries of a session.

    Every message is answered before the next is read, so that the proxy can put statements of its
    own between them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = session.client
        self._backend = session.backend
        self._statements: dict[str, Plan] = {}
        self._portals: dict[str, Plan] = {}
        # A statement was bound since the last Sync, so PostgreSQL's transaction has work in it.
        self._dirty = False
        # The proxy began a block for a write outside of one, and ends it at Sync.
        self._own_block = False
        self._skipping = False
        self._handlers = {
            b"P": self._parse,
            b"B": self._bind,
            b"D": self._describe,
            b"E": self._execute,
            b"C": self._close,
        }

    async def message(self, frame: Frame) -> None:
        """Run one message.

        Args:
            frame: The message.
        """
        self._backend.extended = True
        if frame.kind == b"S":
            await self._sync()
            return
        if self._skipping or frame.kind not in self._handlers:
            return
        try:
            await self._handlers[frame.kind](frame)
        except (SqlError, BackendError) as error:
            await self._session.fail(error)
            self._skipping = True

    async def _forward(self, frame: Frame, kinds: bytes) -> Frame:
        """Send a message and pass its answer on but for the last frame, which is returned."""
        self._backend.send(frame, _FLUSH)
        await self._backend.drain()
        count, last = 0, frame
        async for last in self._backend.until(kinds + b"E"):
            if last.kind not in kinds + b"E":
                self._client.send(last)
                count += 1
            if count % _ROWS_BEFORE_DRAIN == _ROWS_BEFORE_DRAIN - 1:
                await self._client.drain()
        if last.kind == b"E":
            raise BackendError(last)
        return last

    async def _parse(self, frame: Frame) -> None:
        name, position = wire.text_at(frame.body)
        sql, position = wire.text_at(frame.body, position)
        statements = split_statements(sql)
        if len(statements) > 1:
            message = "cannot insert multiple commands into a prepared statement"
            raise SqlError("42601", message)
        level = self._session.settings.level
        plan = plan_statement(statements[0], level) if statements else Plan(sql)
        self._statements[name] = plan
        if plan.lock and self._backend.status == "T":
            # Parsing already takes the transaction's snapshot, so the lock comes before it.
            await self._session.lock(plan)
        self._client.send(
            await self._forward(wire.parse(name, plan.sql, frame.body[position:]), b"1")
        )
        await self._release_snapshot()

    async def _release_snapshot(self) -> None:
        """End the transaction that PostgreSQL began for a Parse alone."""
        if self._backend.status == "I" and not self._dirty:
            await self._backend.sync()

    async def _bind(self, frame: Frame) -> None:
        portal, position = wire.text_at(frame.body)
        name, _ = wire.text_at(frame.body, position)
        plan = self._statements.get(name)
        if plan is not None:
            self._portals[portal] = plan
            if plan.needs_block and self._backend.status == "I":
                await self._release_snapshot()
                await self._backend.hidden("BEGIN")
                self._own_block = True
            await self._session.prepare(plan)
        self._dirty = True
        self._client.send(await self._forward(frame, b"2"))

    async def _describe(self, frame: Frame) -> None:
        self._client.send(await self._forward(frame, b"Tn"))

    async def _execute(self, frame: Frame) -> None:
        plan = self._portals.get(wire.text_at(frame.body)[0]) or Plan("")
        if plan.copy or plan.unload:
            await self._session.transfer(plan)
            self._client.send(wire.complete(plan.tag))
            return
        last = await self._forward(frame, b"CIs")
        await self._session.finish(plan)
        if plan.controls:
            self._own_block = False
        renamed = plan.tag and last.kind == b"C"
        self._client.send(wire.complete(plan.tag) if renamed else last)

    async def _close(self, frame: Frame) -> None:
        name, _ = wire.text_at(frame.body, 1)
        (self._statements if frame.body[:1] == b"S" else self._portals).pop(name, None)
        self._client.send(await self._forward(frame, b"3"))

    async def _sync(self) -> None:
        if self._own_block and not self._skipping and self._backend.status == "T":
            try:
                await self._backend.hidden("COMMIT")
            except BackendError as error:
                await self._session.fail(error)
        await self._backend.sync()
        if self._own_block and self._backend.status != "I":
            await self._backend.hidden("ROLLBACK")
            await self._backend.sync()
        self._own_block = self._skipping = self._dirty = False
        self._portals.clear()
        self._client.send(Frame(b"Z", self._backend.status.encode()))
