"""PostgreSQL, its setup and the proxy as one server."""

from __future__ import annotations

import asyncio
import ssl
import threading
from types import TracebackType
from typing import Self

from etl_assets_tests.standins.redshift.admin import Admin
from etl_assets_tests.standins.redshift.postgres import PostgresServer
from etl_assets_tests.standins.redshift.proxy import Proxy
from etl_assets_tests.standins.redshift.session import Settings
from etl_assets_tests.standins.redshift.sources import S3Settings

_START_SECONDS = 120
_STOP_SECONDS = 60


class RedshiftServer:
    """PostgreSQL and the proxy, in this process.

    The proxy runs in a thread of its own, so a driver must not be used in the same process: several
    of psycopg2's calls hold the interpreter while they wait. RedshiftStandin is for tests.

    Attributes:
        host: The address it listens on.
        port: The port it listens on.
        user: The master user.
        password: The master user's password.
        database: The database.
    """

    def __init__(
        self,
        s3_endpoint: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "awsuser",
        password: str = "Standin1",
        database: str = "dev",
        isolation: str = "serializable",
        checks: bool = True,
        data_folder: str | None = None,
        binaries: str | None = None,
        s3_access_key: str = "standin",
        s3_secret_key: str = "standin",
        s3_region: str = "us-east-1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a stand-in.

        Args:
            s3_endpoint: The URL of the S3 endpoint that COPY reads from.
            host: The address to listen on.
            port: The port to listen on, 0 for any free one.
            user: The master user's name.
            password: The master user's password.
            database: The database's name.
            isolation: The database's isolation level, `serializable` or `snapshot`.
            checks: Whether COPY checks every field; False streams parts straight to PostgreSQL.
            data_folder: Where to keep the data; None for a private folder removed at the end.
            binaries: The folder with PostgreSQL's programs, None to search for them.
            s3_access_key: The access key for commands that name an IAM role.
            s3_secret_key: Its secret.
            s3_region: The region to sign requests for.
            tls: The context to offer TLS with.
        """
        if isolation not in ("serializable", "snapshot"):
            raise ValueError(f"isolation must be serializable or snapshot, not {isolation!r}")
        self.host, self.port = host, port
        self.user, self.password, self.database = user, password, database
        s3 = S3Settings(s3_endpoint, s3_access_key, s3_secret_key, s3_region)
        self._settings = Settings(s3, checks, isolation)
        self._tls = tls
        self._server = PostgresServer(isolation, data_folder, binaries)
        self._admin = Admin(self._server, database)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._proxy: Proxy | None = None

    @property
    def dsn(self) -> str:
        """The address for libpq, psycopg2 and SQLAlchemy."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    def start(self) -> Self:
        """Start PostgreSQL and listen."""
        try:
            self._server.start()
            self._admin.open(self.user, self.password)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="redshift-standin", daemon=True
            )
            self._thread.start()
            self._proxy = Proxy(self._server, self._admin, self._settings, self._tls)
            listening = asyncio.run_coroutine_threadsafe(
                self._proxy.start(self.host, self.port), self._loop
            )
            self.port = listening.result(_START_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every session and PostgreSQL."""
        if self._loop is not None and self._thread is not None:
            if self._proxy is not None:
                stopping = asyncio.run_coroutine_threadsafe(self._proxy.stop(), self._loop)
                stopping.result(_STOP_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_SECONDS)
            self._loop.close()
            self._loop = self._thread = None
        self._admin.close()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
