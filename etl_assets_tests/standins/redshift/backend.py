"""The proxy's connection to PostgreSQL on behalf of one client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from etl_assets_tests.standins.redshift import wire
from etl_assets_tests.standins.redshift.wire import Channel, Frame

_HIDDEN = "redshift_standin"
_STARTS = ("BEGIN", "START TRANSACTION")
_ENDS = ("COMMIT", "ROLLBACK")
_FLUSH = Frame(b"H")
_SYNC = Frame(b"S")


class BackendError(Exception):
    """PostgreSQL answered with an ErrorResponse.

    Attributes:
        frame: The answer.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__(wire.fields(frame).get("M", ""))
        self.frame = frame
        self.sqlstate = wire.fields(frame).get("C", "")


class Backend(Channel):
    """A connection to PostgreSQL that also runs statements of the proxy's own.

    The proxy keeps in step with PostgreSQL: it sends one message and reads its answer before the
    next. Its own statements go out in the protocol the client is using, because a simple query in
    the middle of an extended one would end the client's transaction and drop its portals.

    Attributes:
        status: The transaction status: `I` (idle), `T` (in a block) or `E` (in a failed block).
        extended: Whether the client is in the middle of an extended query.
        skipping: Whether an error makes PostgreSQL skip what comes before the next Sync.
        relay: What to do with a frame that can come at any time and is the client's.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.status = "I"
        self.extended = False
        self.skipping = False
        self.relay: Callable[[Frame], None] = lambda _: None

    async def read(self) -> Frame:
        """Read a frame and follow the transaction status it tells of."""
        frame = await super().read()
        if frame.kind == b"Z":
            self.status = frame.body.decode()
            self.skipping = False
        elif frame.kind == b"E":
            self.skipping = self.extended
            self.status = "E" if self.status in "TE" else "I"
        elif frame.kind == b"C":
            tag = frame.body[:-1].decode()
            if tag.startswith(_STARTS):
                self.status = "T"
            elif tag.startswith(_ENDS):
                self.status = "I"
        return frame

    async def until(self, kinds: bytes, *, quiet: bool = False) -> AsyncIterator[Frame]:
        """Yield frames up to and including the first whose kind is in `kinds`.

        Args:
            kinds: The type bytes that end the answer.
            quiet: Whether to swallow notices, which the client did not cause.
        """
        while True:
            frame = await self.read()
            if frame.kind == b"E" and wire.fields(frame).get("S") == "FATAL":
                # The connection ends next, and with it the answer the caller waits for.
                self.relay(frame)
            if frame.kind in b"SA" or (frame.kind == b"N" and not quiet):
                self.relay(frame)
                continue
            if frame.kind == b"N":
                continue
            yield frame
            if frame.kind in kinds:
                return

    async def hidden(self, sql: str) -> list[list[str | None]]:
        """Run a statement the client does not see and return its rows.

        Args:
            sql: The statement.

        Raises:
            BackendError: If PostgreSQL refuses it.
        """
        if self.extended:
            self._send_extended(sql)
        else:
            self.send(wire.query(sql))
        return await self._collect(b"CE" if self.extended else b"Z")

    def _send_extended(self, sql: str) -> None:
        # The last one is closed before and not after, for an error makes PostgreSQL skip the rest.
        self.send(
            *wire.close(_HIDDEN),
            wire.parse(_HIDDEN, sql),
            wire.bind(_HIDDEN),
            wire.execute(_HIDDEN),
            _FLUSH,
        )

    async def _collect(self, kinds: bytes) -> list[list[str | None]]:
        await self.drain()
        rows: list[list[str | None]] = []
        failure: Frame | None = None
        async for frame in self.until(kinds, quiet=True):
            if frame.kind == b"D":
                rows.append(wire.columns(frame))
            elif frame.kind == b"E":
                failure = frame
        if failure is not None:
            raise BackendError(failure)
        return rows

    async def sync(self) -> None:
        """End an extended query without the client seeing it."""
        self.send(_SYNC)
        await self._collect(b"Z")

    async def copy_in(self, sql: str, chunks: AsyncIterator[bytes]) -> int:
        """Run a COPY FROM STDIN with data of the proxy's own.

        Args:
            sql: The COPY.
            chunks: The data; an exception from it makes PostgreSQL abandon the COPY and is raised
                again.

        Returns:
            The rows loaded.

        Raises:
            BackendError: If PostgreSQL refuses the command or the data.
        """
        if self.extended:
            self._send_extended(sql)
        else:
            self.send(wire.query(sql))
        await self.drain()
        last = await self._last(b"GE")
        if last.kind == b"E":
            return await self._finish_copy(last)
        answer = asyncio.ensure_future(self._last(b"CE"))
        try:
            async for chunk in chunks:
                if answer.done():
                    break
                if chunk:
                    self.send(Frame(b"d", chunk))
                    await self.drain()
        except BaseException:
            self.send(Frame(b"f", b"abandoned\0"), *([_FLUSH] if self.extended else []))
            await answer
            if not self.extended:
                await self._collect(b"Z")
            raise
        if not answer.done():
            self.send(Frame(b"c"), *([_FLUSH] if self.extended else []))
        return await self._finish_copy(await answer)

    async def _last(self, kinds: bytes) -> Frame:
        """Read an answer and return only its last frame."""
        return [frame async for frame in self.until(kinds, quiet=True)][-1]

    async def _finish_copy(self, last: Frame) -> int:
        """Read what follows the end of a COPY; return its rows or raise its error."""
        if not self.extended:
            await self._collect(b"Z")
        if last.kind == b"E":
            raise BackendError(last)
        return int(last.body[:-1].split()[-1])
