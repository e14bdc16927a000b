"""The stand-in as tests use it: a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_STOP_SECONDS = 60
_PACKAGE = __package__ or ""


class RedshiftStandinError(RuntimeError):
    """The stand-in did not start."""


@dataclass
class RedshiftStandin:
    """A Redshift cluster for development and tests.

    Use it as a context manager. It runs in a process of its own, because some calls of psycopg2
    hold the interpreter while they wait for the server, and it ends when this process ends.

    Attributes:
        s3_endpoint: The URL of the S3 endpoint that COPY reads from.
        host: The address to listen on.
        port: The port to listen on, 0 for any free one; after the start, the port it listens on.
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
        tls_certificate: The PEM file to offer TLS with.
        tls_key: The PEM file with the certificate's key.
        dsn: The address for libpq, psycopg2 and SQLAlchemy, set by the start.
    """

    s3_endpoint: str
    _: KW_ONLY
    host: str = "127.0.0.1"
    port: int = 0
    user: str = "awsuser"
    password: str = field(default="Standin1", repr=False)
    database: str = "dev"
    isolation: str = "serializable"
    checks: bool = True
    data_folder: str | None = None
    binaries: str | None = None
    s3_access_key: str = "standin"
    s3_secret_key: str = field(default="standin", repr=False)
    s3_region: str = "us-east-1"
    tls_certificate: str | None = None
    tls_key: str | None = None
    dsn: str = field(default="", init=False, repr=False)
    _process: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)
    _folder: str = field(default="", init=False, repr=False)

    @property
    def pid(self) -> int:
        """The process, 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> Self:
        """Start the process and wait until it accepts connections.

        Raises:
            RedshiftStandinError: If it does not start.
        """
        self._folder = tempfile.mkdtemp(prefix="redshift-")
        # The account PostgreSQL runs as must reach its own folder inside.
        Path(self._folder).chmod(0o711)
        root = str(Path(__file__).parents[_PACKAGE.count(".") + 1])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
        self._process = subprocess.Popen(
            [sys.executable, "-m", _PACKAGE, *self._arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "REDSHIFT_STANDIN_PASSWORD": self.password,
                "AWS_ACCESS_KEY_ID": self.s3_access_key,
                "AWS_SECRET_ACCESS_KEY": self.s3_secret_key,
                "PYTHONPATH": path,
                "TMPDIR": self._folder,
            },
            # Ctrl-C is the caller's to handle; closing the pipe ends the stand-in.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.dsn = self._process.stdout.readline().strip()
        if not self.dsn:
            self.stop()
            raise RedshiftStandinError("the stand-in did not start; its error is above")
        self.port = int(self.dsn.rpartition(":")[2].partition("/")[0])
        return self

    def _arguments(self) -> list[str]:
        options = {
            "--s3-endpoint": self.s3_endpoint,
            "--s3-region": self.s3_region,
            "--host": self.host,
            "--port": str(self.port),
            "--user": self.user,
            "--database": self.database,
            "--isolation": self.isolation,
            "--data-folder": self.data_folder,
            "--postgres-binaries": self.binaries,
            "--tls-certificate": self.tls_certificate,
            "--tls-key": self.tls_key,
        }
        flags = ["--stop-with-stdin", *([] if self.checks else ["--no-checks"])]
        return [text for name, value in options.items() if value for text in (name, value)] + flags

    def stop(self) -> None:
        """End the process, which ends its sessions and PostgreSQL."""
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
