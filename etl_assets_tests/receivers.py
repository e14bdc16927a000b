"""Receivers of alerts on this machine: a web server and a mail server that keep what comes."""

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class WebReceiver:
    """What a web server was sent.

    Attributes:
        documents: The JSON of each request that came, answered well or not.
        status: What it answers.
        headers: What it answers besides.
        url: Its address, with a path that is a secret.
    """

    documents: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def titles(self) -> list[str]:
        """The titles of our own documents."""
        return [document["title"] for document in self.documents]


@contextlib.contextmanager
def web_receiver() -> Iterator[WebReceiver]:
    """Give a running web server on a free port."""
    receiver = WebReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.documents.append(json.loads(body))
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.documents.append({"title": "a redirect was followed"})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/services/T000/hunter2"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class MailReceiver:
    """What a mail server was sent.

    Attributes:
        letters: Sender, recipients and text of each letter.
        logins: User and password of each login.
        encrypted: Of each letter, whether it came by TLS.
        answer: What it says to a letter.
        port: Where it listens.
    """

    letters: list[tuple[str, list[str], str]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    answer: str = "250 OK"
    port: int = 0

    async def handle_DATA(  # noqa: N802  (aiosmtpd's name)
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a letter."""
        text = str(envelope.content, "utf-8") if isinstance(envelope.content, bytes) else ""
        self.letters.append((str(envelope.mail_from), [*envelope.rcpt_tos], text))
        self.encrypted.append(session.ssl is not None)
        return self.answer

    def login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: LoginPassword
    ) -> AuthResult:
        """Keep a login; the password is `hunter2`."""
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"hunter2", handled=False)


@contextlib.contextmanager
def mail_receiver(
    certificate: ssl.SSLContext | None = None, *, tls_first: bool = False
) -> Iterator[MailReceiver]:
    """Give a running mail server on a free port.

    Args:
        certificate: Makes it offer STARTTLS, and take logins after it.
        tls_first: Whether TLS begins at once instead.
    """
    receiver = MailReceiver()
    loop = asyncio.new_event_loop()

    def session() -> SMTP:
        return SMTP(
            receiver, authenticator=receiver.login, loop=loop,
            auth_require_tls=certificate is not None and not tls_first,
            tls_context=None if tls_first else certificate,
        )  # fmt: skip

    server = loop.run_until_complete(
        loop.create_server(session, "127.0.0.1", 0, ssl=certificate if tls_first else None)
    )
    receiver.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
