"""A TCP proxy that spoils a connection at one place of what is said over it.

A place is a link (the n-th connection), a turn of it (what one side says until the other
answers), and a number of bytes of that turn. `Wire.turns` of a clean run lists the places.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

_BLOCK = 65_536
_LATE_SECONDS = 0.02
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time; closing sends RST


@dataclass(frozen=True)
class Turn:
    """What one side said until the other answered.

    Attributes:
        link: Number of the connection.
        number: Of the turn on it.
        to_server: Who spoke.
        size: Bytes.
    """

    link: int
    number: int
    to_server: bool
    size: int


@dataclass(frozen=True)
class Fault:
    """What happens where, once.

    Attributes:
        kind: `refuse` resets the link before anything is said; `cut` resets both sides; `end`
            closes both in good order, as if all were said; `down` is a cut after which nobody
            is let in; `late` holds back what follows for a moment; `stall` for ever.
        link: Number of the connection.
        turn: Number of the turn on it.
        at: Bytes of the turn that still pass.
    """

    kind: str
    link: int
    turn: int = 0
    at: int = 0


class Wire:
    """Passes bytes between clients and a server, but for one fault.

    Attributes:
        port: Where it listens.
        fired: Whether the fault happened.
    """

    def __init__(self, server_port: int, fault: Fault | None = None) -> None:
        self.fault = fault
        self.fired = False
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._links: list[_Link] = []
        self._end = threading.Event()

    @property
    def turns(self) -> list[Turn]:
        """What was said so far, by link."""
        return [
            Turn(link.number, number, to_server, size)
            for link in self._links
            for number, (to_server, size) in enumerate(link.said)
        ]

    @property
    def links(self) -> int:
        """How many connections there were."""
        return len(self._links)

    @contextlib.contextmanager
    def running(self) -> Iterator["Wire"]:
        """Let clients in until the end of the context."""
        accepting = threading.Thread(target=self._accept, daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            self._end.set()
            _close(self._listener)
            for link in self._links:
                link.close()
            accepting.join()
            for link in self._links:
                link.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                fault, number = self.fault, len(self._links)
                down = fault is not None and fault.kind == "down" and self.fired
                refused = fault == Fault("refuse", number)
                if down or refused:
                    self.fired = True
                    self._links.append(_Link(self, number, client, client))
                    _reset(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._server_port))
                link = _Link(self, number, client, server)
                self._links.append(link)
                link.start()


@dataclass(eq=False)
class _Link:
    wire: Wire
    number: int
    client: socket.socket
    server: socket.socket
    said: list[tuple[bool, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._pump, args=(to_server,), daemon=True)
            for to_server in (True, False)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def close(self) -> None:
        _close(self.client)
        _close(self.server)

    def _pump(self, to_server: bool) -> None:  # noqa: FBT001  (a thread's argument)
        source, target = (self.client, self.server) if to_server else (self.server, self.client)
        with contextlib.suppress(OSError):
            while block := source.recv(_BLOCK):
                kind, passing = self._spoilt(to_server, block)
                target.sendall(block[:passing])
                if kind in ("cut", "down"):
                    _reset(source)
                    _reset(target)
                    return
                if kind == "end":
                    self.close()
                    return
                if kind:
                    self.wire._end.wait(_LATE_SECONDS if kind == "late" else None)
                target.sendall(block[passing:])
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _spoilt(self, to_server: bool, block: bytes) -> tuple[str, int]:  # noqa: FBT001
        """Note what is said; return what happens to it, and how many bytes pass before."""
        fault = self.wire.fault
        with self._lock:
            if not self.said or self.said[-1][0] != to_server:
                self.said.append((to_server, 0))
            turn, before = len(self.said) - 1, self.said[-1][1]
            self.said[-1] = (to_server, before + len(block))
            if fault is None or self.wire.fired or fault.link != self.number:
                return "", len(block)
            # A turn may be shorter than it was in the clean run: then its end is the place.
            here = fault.turn == turn and before + len(block) >= fault.at
            if not here and fault.turn >= turn:
                return "", len(block)
            self.wire.fired = True
        return fault.kind, max(0, fault.at - before) if here else 0


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it
    connection.close()


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
