"""A private PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ADMIN = "standin_admin"
_PORT = 5432
_CONFIGURATION = """
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 200
password_encryption = 'md5'
default_transaction_isolation = '{isolation}'
timezone = 'UTC'
datestyle = 'ISO, MDY'
fsync = off
full_page_writes = off
jit = off
# Vacuum would wait for the write locks, and loaders for it.
autovacuum = off
deadlock_timeout = 200ms
max_pred_locks_per_transaction = 256
log_min_messages = 'fatal'
redshift.isolation = '{redshift_isolation}'
redshift.query_group = 'default'
redshift.enable_case_sensitive_identifier = 'off'
"""
_ACCESS = f"""
local all {ADMIN} trust
local all all md5
"""


class PostgresError(RuntimeError):
    """PostgreSQL cannot be started."""


def find_binaries(folder: str | None = None) -> Path:
    """Return the folder with PostgreSQL's programs.

    Args:
        folder: A folder to use instead of searching.

    Raises:
        PostgresError: If there is none, with what to install.
    """
    places = [Path(folder)] if folder else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb")
    if found and not folder:
        places.append(Path(found).resolve().parent)
    for place in reversed(places):
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise PostgresError("PostgreSQL is not installed: install the Debian package postgresql-15")


def has_binaries() -> bool:
    """Return whether PostgreSQL is installed."""
    try:
        find_binaries()
    except PostgresError:
        return False
    return True


def _account() -> pwd.struct_passwd | None:
    """Return the account to run PostgreSQL as, or None to keep the caller's.

    PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresError("PostgreSQL cannot run as root and there is no account postgres or nobody")


class PostgresServer:
    """A PostgreSQL server that only this process can reach.

    It listens on a unix socket in a private folder and on no network port, so two of them never
    meet and nothing needs a free port.

    Attributes:
        socket_path: The socket it listens on.
        socket_folder: The folder of that socket, which clients take for a host.
        port: The number in the socket's name.
        is_new: Whether the data folder was made by this start.
    """

    def __init__(
        self, isolation: str, data_folder: str | None = None, binaries: str | None = None
    ) -> None:
        self.port = _PORT
        self.is_new = False
        self._binaries = find_binaries(binaries)
        self._account = _account()
        self._isolation = isolation
        # A socket's path is limited to about 100 bytes, so its folder is not inside the data's.
        self.socket_folder = tempfile.mkdtemp(prefix="redshift-standin-")
        self._data = Path(data_folder or Path(self.socket_folder, "data")).absolute()
        self.socket_path = str(Path(self.socket_folder, f".s.PGSQL.{self.port}"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            PostgresError: If it does not start.
        """
        self._give(Path(self.socket_folder))
        if not (self._data / "PG_VERSION").exists():
            self._create()
        levels = {"serializable": "serializable", "snapshot": "repeatable read"}
        configuration = _CONFIGURATION.format(
            port=self.port,
            sockets=self.socket_folder,
            isolation=levels[self._isolation],
            redshift_isolation=self._isolation,
        )
        (self._data / "standin.conf").write_text(configuration)
        self._give(self._data / "standin.conf")
        with Path(self.socket_folder, "log").open("ab") as log:
            command = ["postgres", "-D", str(self._data)]
            self._process = self._spawn(command, log.fileno(), tied=True)
        self._wait()

    def _create(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._give(self._data)
        command = ["initdb", "-D", str(self._data), "-U", ADMIN, "-A", "trust", "-E", "UTF8"]
        options = ["--no-locale", "--no-sync", "--no-instructions"]
        process = self._spawn([*command, *options], subprocess.PIPE)
        output = process.communicate()[0]
        if process.returncode:
            raise PostgresError(f"initdb failed: {output.decode(errors='replace')}")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("include 'standin.conf'\n")
        (self._data / "pg_hba.conf").write_text(_ACCESS)
        self.is_new = True

    def _give(self, path: Path) -> None:
        if self._account:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _spawn(
        self, command: list[str], output: int, *, tied: bool = False
    ) -> subprocess.Popen[bytes]:
        account = self._account
        # The kernel then ends the server when this process is killed without a chance to do it.
        setpriv = shutil.which("setpriv") if tied else None
        tie = [setpriv, "--pdeathsig", "INT"] if setpriv else []
        return subprocess.Popen(
            [*tie, str(self._binaries / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            # Ctrl-C in a terminal reaches the whole process group, and the server is ended below.
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )

    def _wait(self) -> None:
        """Wait until the server says in its own file that it is ready."""
        deadline = time.monotonic() + 60
        status = self._data / "postmaster.pid"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with contextlib.suppress(OSError, IndexError):
                if status.read_text().splitlines()[7].strip() == "ready":
                    return
            time.sleep(0.02)
        log = Path(self.socket_folder, "log").read_text(errors="replace")
        self.stop()
        raise PostgresError(f"PostgreSQL did not start: {log}")

    def stop(self) -> None:
        """End the server by its own process, and remove the socket's folder."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(30)
        shutil.rmtree(self.socket_folder, ignore_errors=True)
