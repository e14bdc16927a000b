"""A TCP proxy before the stand-in that loses a connection at its COMMIT, on command."""

import contextlib
import socket
import threading
from collections.abc import Iterator

_COMMIT = b"COMMIT\0"
_BLOCK = 65_536


class CommitProxy:
    """Passes bytes between clients and a server until a COMMIT is to be lost.

    Attributes:
        port: Where it listens.
        lose: What happens to the next COMMIT, once: None nothing; "unsent" it never reaches
            the server, whose side is closed; "held" it never reaches the server, whose side
            stays open; "unanswered" it is carried out and the answer dropped.
        accepting: Whether a new client is let in.
        lost: Set when a COMMIT was lost.
    """

    def __init__(self, server_port: int) -> None:
        self.lose: str | None = None
        self.accepting = True
        self.lost = threading.Event()
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._held: list[socket.socket] = []
        self._open: list[socket.socket] = []

    def release(self) -> None:
        """Close the server's side of held connections."""
        for held in self._held:
            _close(held)

    @contextlib.contextmanager
    def running(self) -> Iterator["CommitProxy"]:
        """Accept clients until the end of the context."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            _close(self._listener)
            for connection in self._open:
                _close(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self.accepting:
                    _close(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._open += [client, server]
                for pump in (self._to_server, self._to_client):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := client.recv(_BLOCK):
                if self.lose in ("unsent", "held") and _COMMIT in block:
                    if self.lose == "held":
                        self._held.append(server)
                    else:
                        _close(server)
                    self._lost(client)
                    return
                server.sendall(block)
        if server not in self._held:
            _close(server)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := server.recv(_BLOCK):
                if self.lose == "unanswered" and _COMMIT in block:
                    self._lost(client)
                    _close(server)
                    return
                client.sendall(block)
        _close(client)

    def _lost(self, client: socket.socket) -> None:
        self.lose = None
        self.lost.set()
        _close(client)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
