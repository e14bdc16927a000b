"""Frames of the PostgreSQL frontend/backend protocol, version 3."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from dataclasses import dataclass

from etl_assets_tests.standins.redshift.errors import SqlError

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102
PROTOCOL = 196608
_MAX_STARTUP = 100_000


@dataclass(frozen=True)
class Frame:
    """A message with a type byte."""

    kind: bytes
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the frame as it goes over the wire."""
        return self.kind + struct.pack("!i", len(self.body) + 4) + self.body


class Channel:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._head = b""

    async def read(self) -> Frame:
        """Read a frame; raises IncompleteReadError at the end of the connection.

        A cancelled call loses nothing: the next one goes on where it stopped.
        """
        head = self._head = self._head or await self._reader.readexactly(5)
        (length,) = struct.unpack("!i", head[1:])
        if length < 4:
            raise ConnectionError("not a message of PostgreSQL's protocol")
        body = await self._reader.readexactly(length - 4)
        self._head = b""
        return Frame(head[:1], body)

    async def read_startup(self) -> tuple[int, bytes]:
        """Read a startup message, which has no type byte: its code and the rest."""
        length, code = struct.unpack("!ii", await self._reader.readexactly(8))
        if not 8 <= length <= _MAX_STARTUP:
            raise ConnectionError("not a PostgreSQL client")
        return code, await self._reader.readexactly(length - 8)

    def send(self, *frames: Frame) -> None:
        """Put frames in the send buffer."""
        self._writer.write(b"".join(f.encode() for f in frames))

    def send_raw(self, data: bytes) -> None:
        """Put bytes in the send buffer."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the send buffer has room."""
        await self._writer.drain()

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Continue in TLS."""
        await self._writer.start_tls(context)

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()


def _text(*parts: str) -> bytes:
    return b"".join(p.encode() + b"\0" for p in parts)


def startup(parameters: dict[str, str]) -> bytes:
    """Return a startup message."""
    flat = [part for pair in parameters.items() for part in pair]
    body = struct.pack("!i", PROTOCOL) + _text(*flat) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def startup_parameters(body: bytes) -> dict[str, str]:
    """Return the parameters of a startup message."""
    parts = body.decode("utf-8", "replace").split("\0")
    return {k: v for k, v in zip(parts[::2], parts[1::2], strict=False) if k}


def query(sql: str) -> Frame:
    """Return a simple query."""
    return Frame(b"Q", _text(sql))


def parse(name: str, sql: str, types: bytes = b"\0\0") -> Frame:
    """Return a Parse message, with the parameter types as they go over the wire."""
    return Frame(b"P", _text(name, sql) + types)


def bind(name: str) -> Frame:
    """Return a Bind message for a statement without parameters, portal and statement alike."""
    return Frame(b"B", _text(name, name) + b"\0\0\0\0\0\0")


def execute(portal: str) -> Frame:
    """Return an Execute message for all rows."""
    return Frame(b"E", _text(portal) + b"\0\0\0\0")


def close(name: str) -> tuple[Frame, Frame]:
    """Return Close messages for the portal and the statement of a name."""
    return Frame(b"C", b"P" + _text(name)), Frame(b"C", b"S" + _text(name))


def text_at(body: bytes, start: int = 0) -> tuple[str, int]:
    """Return a zero-terminated text in a message and where the next part starts."""
    end = body.find(b"\0", start)
    if end < 0:
        raise ConnectionError("not a message of PostgreSQL's protocol")
    try:
        return body[start:end].decode("utf-8"), end + 1
    except UnicodeDecodeError:
        raise SqlError("22021", 'invalid byte sequence for encoding "UTF8"') from None


def complete(tag: str) -> Frame:
    """Return a CommandComplete message."""
    return Frame(b"C", _text(tag))


def _fields(kind: bytes, parts: dict[str, str]) -> Frame:
    body = b"".join(_text(code + text) for code, text in parts.items() if text)
    return Frame(kind, body + b"\0")


def error(cause: SqlError) -> Frame:
    """Return an ErrorResponse."""
    return _fields(
        b"E",
        {
            "S": "ERROR",
            "C": cause.sqlstate,
            "M": cause.message,
            "D": cause.detail,
            "H": cause.hint,
        },
    )


def notice(message: str, severity: str = "INFO") -> Frame:
    """Return a NoticeResponse."""
    return _fields(b"N", {"S": severity, "C": "00000", "M": message})


def fields(frame: Frame) -> dict[str, str]:
    """Return the fields of an ErrorResponse or NoticeResponse by their codes."""
    parts = frame.body.decode("utf-8", "replace").split("\0")
    return {p[0]: p[1:] for p in parts if p}


def columns(frame: Frame) -> list[str | None]:
    """Return the values of a DataRow in text format."""
    (count,) = struct.unpack_from("!h", frame.body)
    values: list[str | None] = []
    position = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", frame.body, position)
        position += 4
        if length < 0:
            values.append(None)
            continue
        values.append(frame.body[position : position + length].decode())
        position += length
    return values
