"""The server that clients connect to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor

from etl_assets_tests.standins.redshift import wire
from etl_assets_tests.standins.redshift.admin import Admin
from etl_assets_tests.standins.redshift.backend import Backend
from etl_assets_tests.standins.redshift.errors import SqlError
from etl_assets_tests.standins.redshift.extended_query import ExtendedQuery
from etl_assets_tests.standins.redshift.postgres import ADMIN, PostgresServer
from etl_assets_tests.standins.redshift.session import Identity, Session, Settings
from etl_assets_tests.standins.redshift.simple_query import SimpleQuery
from etl_assets_tests.standins.redshift.wire import Channel, Frame

_THREADS = 32
_MAJOR = 3
# What PostgreSQL understands at the start of a session. Drivers for Redshift send more, such as
# client_protocol_version, and PostgreSQL would refuse the connection for it.
_PARAMETERS = (
    *("user", "database", "options", "application_name", "client_encoding", "datestyle"),
    *("timezone", "extra_float_digits", "statement_timeout", "search_path"),
)
_ASKS_FOR_ANSWER = (3, 5, 10, 11)


class Proxy:
    """Accepts clients and gives each a connection to PostgreSQL of its own."""

    def __init__(
        self,
        server: PostgresServer,
        admin: Admin,
        settings: Settings,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._admin = admin
        self._settings = settings
        self._tls = tls
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="redshift-standin")
        self._sessions: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Start to listen.

        Args:
            host: The address.
            port: The port, 0 for any free one.

        Returns:
            The port.
        """
        self._listener = await asyncio.start_server(self._accept, host, port)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop to listen and end every session."""
        if self._listener is not None:
            self._listener.close()
        sessions = list(self._sessions)
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._client(Channel(reader, writer)))
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)

    async def _client(self, client: Channel) -> None:
        try:
            await self._handshake(client)
        except (OSError, EOFError, ssl.SSLError):
            # Either end of the connection went away, and closing the other tells it.
            pass
        finally:
            await client.close()

    async def _handshake(self, client: Channel) -> None:
        """Answer startup messages until one of them begins a session."""
        while True:
            code, body = await client.read_startup()
            if code == wire.SSL_REQUEST:
                client.send_raw(b"S" if self._tls else b"N")
                await client.drain()
                if self._tls:
                    await client.start_tls(self._tls)
            elif code == wire.GSS_REQUEST:
                client.send_raw(b"N")
                await client.drain()
            elif code == wire.CANCEL_REQUEST:
                await self._cancel(body)
                return
            elif code >> 16 == _MAJOR:
                await self._session(client, code, body)
                return
            else:
                return

    async def _connect(self) -> Backend:
        return Backend(*await asyncio.open_unix_connection(self._server.socket_path))

    async def _cancel(self, body: bytes) -> None:
        """Pass on a request to cancel, which comes on a connection of its own."""
        backend = await self._connect()
        backend.send_raw(struct.pack("!ii", len(body) + 8, wire.CANCEL_REQUEST) + body)
        with contextlib.suppress(EOFError):
            await backend.read()
        await backend.close()

    async def _session(self, client: Channel, code: int, body: bytes) -> None:
        given = wire.startup_parameters(body)
        identity = Identity(given.get("user", ""))
        if identity.user == ADMIN:
            message = f'password authentication failed for user "{ADMIN}"'
            client.send(wire.error(SqlError("28P01", message)))
            await client.drain()
            return
        if code & 0xFFFF:
            # The client asked for a later minor version and is told that 3.0 is spoken.
            client.send(Frame(b"v", struct.pack("!ii", 0, 0)))
        backend = await self._connect()
        try:
            session = Session(client, backend, self._admin, self._settings, identity, self._threads)
            known = {k: v for k, v in given.items() if k.lower() in _PARAMETERS}
            backend.send_raw(wire.startup(known))
            await backend.drain()
            if await self._authenticate(client, backend, identity):
                await self._serve(session)
        finally:
            await backend.close()

    async def _authenticate(self, client: Channel, backend: Backend, identity: Identity) -> bool:
        """Pass authentication through; return whether a session began."""
        async for frame in backend.until(b"ZE"):
            client.send(frame)
            await client.drain()
            if frame.kind == b"K":
                (identity.pid,) = struct.unpack_from("!i", frame.body)
            if frame.kind == b"E":
                return False
            if frame.kind == b"R":
                (kind,) = struct.unpack_from("!i", frame.body)
                if kind in _ASKS_FOR_ANSWER:
                    backend.send(await client.read())
                    await backend.drain()
        return True

    async def _serve(self, session: Session) -> None:
        """Run a session's messages until the client goes."""
        simple, extended = SimpleQuery(session), ExtendedQuery(session)
        while True:
            frame = await self._next(session)
            if frame.kind == b"X":
                return
            if frame.kind == b"Q":
                await simple.run(frame)
            elif frame.kind == b"F":
                await session.fail(SqlError("0A000", "The function call protocol is not supported"))
                session.client.send(Frame(b"Z", session.backend.status.encode()))
            else:
                await extended.message(frame)
            await session.client.drain()

    @staticmethod
    async def _next(session: Session) -> Frame:
        """Read the client's next message, and pass on what PostgreSQL says meanwhile."""
        reading = asyncio.ensure_future(session.client.read())
        listening = asyncio.ensure_future(session.backend.read())
        try:
            while True:
                await asyncio.wait({reading, listening}, return_when=asyncio.FIRST_COMPLETED)
                if not listening.done():
                    return reading.result()
                session.relay(listening.result())
                await session.client.drain()
                listening = asyncio.ensure_future(session.backend.read())
        finally:
            reading.cancel()
            listening.cancel()
            await asyncio.gather(reading, listening, return_exceptions=True)
