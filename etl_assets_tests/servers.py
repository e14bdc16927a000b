"""Servers for tests: private folders, free ports, ended with the test run.

Nothing of the machine's own is touched. A missing server is named, never skipped.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import Self

import pymysql

PACKAGES = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "openssl": "openssl",
    "initdb": "postgresql-15",
    "chromium": "chromium",
    "nginx": "nginx-light",
    "sshd": "openssh-server",
}
"""Program: the Debian package that has it."""

_LOG_LINES = 40


def ends_with_us(command: list[str]) -> list[str]:
    """Return a command whose process gets SIGTERM when the one that starts it is killed.

    As far as the system can do that: Linux can, by `setpriv`.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", *command] if setpriv else command


class MissingServerError(RuntimeError):
    """A program is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"A server that is needed is not installed: run `apt-get install {package}`."
        )


def ensure_packages(*programs: str) -> None:
    """Install the Debian packages of programs that are missing, where that is allowed.

    Raises:
        MissingServerError: When one is missing and cannot be installed here.
    """
    missing = sorted({PACKAGES[name] for name in programs if _find(name) is None})
    if not missing:
        return
    packages = " ".join(missing)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingServerError(packages)
    # Debian would start the server it installs; the tests start their own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive",
                   "RUNLEVEL": "1", "SYSTEMD_OFFLINE": "1"}  # fmt: skip
    for command in (
        ["update", "-qq"],
        ["install", "-qq", "--no-install-recommends", "-y", *missing],
    ):
        done = subprocess.run(
            ["apt-get", *command], env=environment, capture_output=True, check=False
        )
        if done.returncode:
            raise MissingServerError(packages)


class MariaDBServer:
    """A MariaDB of its own on 127.0.0.1, with the accounts the tests use.

    Attributes:
        port: Where it listens.
        folder: All it writes; goes with it.
    """

    reader = "reader"
    """May only read; asks for `password`."""
    password = "red ink, 9 parts"  # noqa: S105  (of a server that lives as long as a test run)
    database = "shop"

    def __init__(self, *options: str, folder: Path | None = None, port: int = 0) -> None:
        """Remember options of `mariadbd`, such as `--ssl-cert=…`; a folder given is kept."""
        self._options = options
        self._kept = folder is not None
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self.folder = folder or Path()
        self.port = port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The reader's URL, without the password."""
        return self.url_of(self.reader)

    def url_of(self, user: str) -> str:
        """Return the URL of a user, without a password."""
        return f"mysql+pymysql://{user}@127.0.0.1:{self.port}/{self.database}"

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Make the data folder if there is none, start, and wait until it answers.

        Raises:
            MissingServerError: When MariaDB is not installed.
        """
        if not self.folder.name:
            self.folder = Path(tempfile.mkdtemp(prefix="etl_assets_mariadb_"))
        fresh = not (self.folder / "data").is_dir()
        if fresh:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._install()
        self.port = self.port or free_port()
        self._process = subprocess.Popen(
            ends_with_us([
                program_path("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data", "--user=" + _user(),
                f"--socket={self.folder}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
                "--skip-log-bin", "--skip-name-resolve", "--innodb-buffer-pool-size=64M",
                "--innodb-flush-log-at-trx-commit=2", "--max-allowed-packet=16M", *self._options,
            ]),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the one who started it
        )  # fmt: skip
        self._await_ready(self._process)
        if fresh:
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
                cursor.execute(
                    f"CREATE USER '{self.reader}'@'%%' IDENTIFIED BY %s", [self.password]
                )
                cursor.execute(
                    f"GRANT SELECT, SHOW VIEW ON {self.database}.* TO '{self.reader}'@'%'"
                )

    def stop(self) -> None:
        """End the server and remove its folder."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._close_log()
        if not self._kept:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = Path()

    def kill(self) -> None:
        """End the server at once, as a crash does; `start` brings it back with its data."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close_log()

    def connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """Return a connection of the administrator, which commits at once."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", autocommit=True, charset="utf8mb4",
            database=self.database if self._has_database() else None,
        )  # fmt: skip

    def run(self, *statements: str) -> None:
        """Run statements as the administrator."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _has_database(self) -> bool:
        return (self.folder / "data" / self.database).is_dir()

    def _install(self) -> None:
        done = subprocess.run(
            [
                program_path("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder}/data",
                "--auth-root-authentication-method=normal", "--skip-test-db", f"--user={_user()}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(
                f"mariadb-install-db failed: {done.stdout[-500:]}{done.stderr[-500:]}"
            )

    def _await_ready(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stderr or ():
            self._log.append(line)
            if "ready for connections" in line:
                break
        else:
            raise RuntimeError("MariaDB did not start:\n" + "".join(self._log))
        self._reader = threading.Thread(
            target=self._log.extend, args=(process.stderr,), daemon=True
        )
        self._reader.start()  # a full pipe would stop the server

    def _close_log(self) -> None:
        self._reader.join()
        if self._process and self._process.stderr:
            self._process.stderr.close()
        self._process = None


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _find(program: str) -> str | None:
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
    folders += ["/usr/lib/postgresql/15/bin"]  # Debian keeps the server's programs off the PATH
    return shutil.which(program, path=os.pathsep.join(folders))


def program_path(name: str) -> str:
    """Return the path of a program of `PACKAGES`.

    Raises:
        MissingServerError: When it is not installed.
    """
    found = _find(name)
    if found is None:
        raise MissingServerError(PACKAGES[name])
    return found


def _user() -> str:
    return "root" if os.geteuid() == 0 else os.environ.get("USER", "mysql")
