"""What every stand-in is: one process on a free port with a private data folder."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from etl_assets_tests.servers import ends_with_us

CACHE = Path(sys.prefix) / "standins"
"""Where stand-ins are installed: below the virtual environment the tests run in."""

_START_SECONDS = 60
_STOP_SECONDS = 20


class StandinError(Exception):
    """A stand-in cannot be installed or started; the message says what to do."""


class Server:
    """A server process that keeps its data between `stop` and `start`.

    Attributes:
        port: The port it listens on; chosen at the first start, unless given.
        data: Its private folder.
    """

    name = "server"

    def __init__(self, data: Path, port: int = 0) -> None:
        self.data = data
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """The URL clients use."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Install what is needed and return the command that runs the server."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the variables the server needs besides PATH and HOME."""
        return {}

    def start(self) -> None:
        """Start it and return when it answers.

        Raises:
            StandinError: When it cannot be installed or ends at once, with what it wrote.
        """
        command = self.command()
        self.data.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        log = self.data / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ends_with_us([part.replace("{port}", str(self.port)) for part in command]),
                env={**inherited, **self.environment()},
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the one who started it
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise StandinError(f"{self.name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, *, kill: bool = False) -> None:
        """End the process, and only this one; `kill` gives it no time to write anything."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process = None

    @contextlib.contextmanager
    def running(self) -> Iterator["Server"]:
        """Run it within a context."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint_url, timeout=5):  # noqa: S310  (http)
                return True
        except urllib.error.HTTPError:
            return True
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def install(name: str, command: list[str], *, proof: Path) -> None:
    """Run an installation below the cache folder, unless what it makes is there.

    Args:
        name: What is installed, for errors.
        command: Installs into `proof`'s folder.
        proof: The file that is there when it is installed.

    Raises:
        StandinError: When it fails, with the end of what it wrote.
    """
    if proof.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CACHE)
    except OSError as error:
        raise StandinError(f"{name} cannot be installed: {command[0]} is missing.") from error
    if done.returncode or not proof.exists():
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise StandinError(f"{name} cannot be installed:\n{said}")


def need(program: str, why: str, package: str) -> str:
    """Return the path of a program of the system.

    Raises:
        StandinError: When it is missing, with the Debian package that has it.
    """
    found = shutil.which(program)
    if found is None:
        raise StandinError(
            f"{why} needs `{program}`, which is missing (Debian: apt-get install {package})."
        )
    return found
