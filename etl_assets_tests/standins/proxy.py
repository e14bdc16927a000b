"""A proxy in front of a stand-in that answers some requests itself, or spoils them."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NOT_FORWARDED = ("transfer-encoding", "connection", "content-length")


@dataclass(frozen=True)
class Request:
    """What a client asked.

    Attributes:
        method: Of HTTP.
        path: With its query.
        action: `X-Amz-Target` without its version, such as `Query`; empty for S3.
        body: As sent.
    """

    method: str
    path: str
    action: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What the client is given."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class CutError(Exception):
    """The client's connection ends after so many bytes of the answer's body."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


Fault = Callable[["Proxy", Request], Answer | None]


class Proxy:
    """Forwards requests, except those a fault answers.

    Attributes:
        seen: Every request, in the order they came.
        fault: Asked first: an answer is sent in place of the server's, None forwards.
    """

    def __init__(self, port: int) -> None:
        self.seen: list[Request] = []
        self.fault: Fault = lambda _proxy, _request: None
        self._port = port
        self._headers: dict[str, str] = {}

    @property
    def server_url(self) -> str:
        """The URL of the server behind it."""
        return f"http://127.0.0.1:{self._port}"

    def forward(self, request: Request, *, body: bytes | None = None) -> Answer:
        """Send a request on, with another body if one is given, and return the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            sent = request.body if body is None else body
            connection.request(request.method, request.path, sent, self._headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def handle(self, request: Request, headers: dict[str, str]) -> Answer:
        """Answer a request; one at a time is enough for a test."""
        self._headers = headers
        self.seen.append(request)
        return self.fault(self, request) or self.forward(request)

    def count(self, method_or_action: str) -> int:
        """Return how many requests had this method or action."""
        return sum(method_or_action in (r.method, r.action) for r in self.seen)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve on a free port and give its URL."""
        proxy = self

        class Handler(_Handler):
            owner = proxy

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        action = self.headers.get("X-Amz-Target", "").partition(".")[2]
        request = Request(self.command, self.path, action, self.rfile.read(length))
        headers, cut = dict(self.headers.items()), None
        try:
            answer = self.owner.handle(request, headers)
        except CutError as error:
            answer, cut = self.owner.forward(request), error.at
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _NOT_FORWARDED:
                self.send_header(name, value)
        head = self.command == "HEAD"
        length = int(answer.headers.get("Content-Length", 0)) if head else len(answer.body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(b"" if head else answer.body[:cut])
        self.close_connection = cut is not None

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815  (http.server's names)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def s3_error(status: int, code: str) -> Answer:
    """Return an error as S3 writes it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>planted</Message></Error>"
    return Answer(status, text.encode(), {"Content-Type": "application/xml"})


def dynamodb_error(code: str, status: int = 400) -> Answer:
    """Return an error as DynamoDB writes it."""
    body = f'{{"__type": "com.amazonaws.dynamodb.v20120810#{code}", "message": "planted"}}'
    return Answer(status, body.encode(), {"Content-Type": "application/x-amz-json-1.0"})


def first(times: int, when: Callable[[Request], bool], answer: Answer) -> Fault:
    """Return a fault that answers the first so many requests that it concerns."""
    left = [times]

    def fault(_proxy: Proxy, request: Request) -> Answer | None:
        if not when(request) or not left[0]:
            return None
        left[0] -= 1
        return answer

    return fault
