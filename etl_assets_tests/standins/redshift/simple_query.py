"""Simple queries: one message with one or more statements."""

from __future__ import annotations

from etl_assets_tests.standins.redshift import wire
from etl_assets_tests.standins.redshift.backend import BackendError
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.lexer import split_statements
from etl_assets_tests.standins.redshift.plan import Plan, plan_statement
from etl_assets_tests.standins.redshift.session import Session
from etl_assets_tests.standins.redshift.wire import Frame

_ROWS_BEFORE_DRAIN = 256


class SimpleQuery:
    """Runs the simple queries of a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = session.client
        self._backend = session.backend

    async def run(self, frame: Frame) -> None:
        """Run a query and answer it up to ReadyForQuery.

        Args:
            frame: The client's message.
        """
        self._backend.extended = False
        try:
            sql, _ = wire.text_at(frame.body)
            level = self._session.settings.level
            plans = [plan_statement(s, level) for s in split_statements(sql)]
            await self._run_all(plans)
        except (SqlError, BackendError) as error:
            await self._session.fail(error)
        self._client.send(Frame(b"Z", self._backend.status.encode()))

    async def _run_all(self, plans: list[Plan]) -> None:
        if not plans:
            self._client.send(Frame(b"I"))
        # The statements of one message are one transaction unless they say otherwise.
        implicit = len(plans) > 1 and not any(p.controls for p in plans)
        implicit = implicit and self._backend.status == "I"
        if not implicit:
            for plan in plans:
                if not await self._run_one(plan):
                    return
            return
        await self._backend.hidden("BEGIN")
        try:
            for plan in plans:
                await self._run_one(plan)
        except (SqlError, BackendError) as error:
            await self._abandon(error)
            return
        if self._backend.status == "T":
            await self._backend.hidden("COMMIT")

    async def _run_one(self, plan: Plan) -> bool:
        """Run a statement; return whether the next one may follow."""
        # A write locks its table first, and a lock lives only inside a block.
        wrap = plan.needs_block and self._backend.status == "I"
        if not wrap:
            self._client.send(await self._steps(plan))
            return True
        await self._backend.hidden("BEGIN")
        try:
            tag = await self._steps(plan)
            await self._backend.hidden("COMMIT")
        except (SqlError, BackendError) as error:
            await self._abandon(error)
            return False
        self._client.send(tag)
        return True

    async def _steps(self, plan: Plan) -> Frame:
        await self._session.prepare(plan)
        tag = await self._execute(plan)
        await self._session.finish(plan)
        return tag

    async def _abandon(self, error: SqlError | BackendError) -> None:
        """Report an error and end the block that only the proxy knows of."""
        await self._session.fail(error)
        if self._backend.status != "I":
            await self._backend.hidden("ROLLBACK")

    async def _execute(self, plan: Plan) -> Frame:
        """Run a statement and pass on its rows; return its CommandComplete."""
        if plan.copy or plan.unload:
            await self._session.transfer(plan)
            return wire.complete(plan.tag)
        self._backend.send(wire.query(plan.sql))
        await self._backend.drain()
        tag, failure, count = Frame(b"I"), None, 0
        async for frame in self._backend.until(b"Z"):
            if frame.kind == b"C":
                tag = frame
            elif frame.kind == b"E":
                failure = frame
            elif frame.kind != b"Z":
                self._client.send(frame)
                count += 1
                if count % _ROWS_BEFORE_DRAIN == 0:
                    await self._client.drain()
        if failure is not None:
            raise BackendError(failure)
        return wire.complete(plan.tag) if plan.tag else tag
