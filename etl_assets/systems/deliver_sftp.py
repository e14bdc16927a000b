"""Files of feeds on an SFTP server: sent beside their place, measured, then renamed.

The server must be known: by the fingerprint in the URL, or by the file of known hosts. The
rename is OpenSSH's, which replaces in one step; a server without it is refused, since there
would be a moment without the file.
"""

import base64
import contextlib
import hashlib
import socket
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.systems.delivering import Login, partial_name

if TYPE_CHECKING:
    import paramiko

FORM = "sftp://USER@HOST[:PORT]/FOLDER[?host_key=SHA256:…]"
_OPTIONS = ("host_key", "known_hosts")
_PORT = 22
_SECONDS = 30
_ABANDONED_SECONDS = 86_400


@dataclass(frozen=True)
class SftpUrl:
    """What `sftp://user@host:22/folder?host_key=SHA256:…` says.

    Attributes:
        host_key: The fingerprint of the server's key, as `ssh-keygen -lf` shows it.
        known_hosts: The file of known hosts, where there is no fingerprint.
    """

    host: str
    port: int
    user: str
    folder: str
    host_key: str = ""
    known_hosts: str = "~/.ssh/known_hosts"

    @classmethod
    def parse(cls, url: str) -> "SftpUrl":
        """Read a URL.

        Raises:
            PermanentError: When it lacks something, or carries a password.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        problem = ""
        if parts.password:
            problem = "carries a password, and documents are shown"
        elif not parts.hostname or not parts.username or not parts.path.strip("/"):
            problem = "lacks user, host or folder"
        elif unknown := sorted(options.keys() - set(_OPTIONS)):
            problem = f"has the unknown option `{unknown[0]}`"
        elif "host_key" in options and not options["host_key"].startswith("SHA256:"):
            problem = "has a host_key that is no fingerprint"
        if problem:
            raise PermanentError(f"The SFTP destination {problem}.", f"Write {FORM}.")
        return cls(
            host=str(parts.hostname), port=parts.port or _PORT, user=unquote(str(parts.username)),
            folder=unquote(parts.path), **options,
        )  # fmt: skip


class SftpDestination:
    """A folder of an SFTP server; see `FileDestination`."""

    def __init__(self, url: SftpUrl, login: Login) -> None:
        """Remember where it is; nothing is connected before it is needed."""
        self.url = url
        self._login = login

    def put(self, name: str, file: Path) -> None:
        """Send a file and rename it; see `FileDestination.put`."""
        folder = PurePosixPath(self.url.folder)
        partial = str(folder / partial_name(name, uuid.uuid4().hex[:8]))
        with self._explained(name), self._connected() as sftp:
            self._make_folders(sftp, folder)
            self._sweep(sftp, folder, name)
            try:
                sftp.put(str(file), partial)  # proven by its size there
                sftp.posix_rename(partial, str(folder / name))
            except BaseException:
                with contextlib.suppress(Exception):
                    sftp.remove(partial)
                raise

    def uri(self, name: str) -> str:
        """Return the `sftp:` URI of a name."""
        port = "" if self.url.port == _PORT else f":{self.url.port}"
        return f"sftp://{self.url.user}@{self.url.host}{port}{self.url.folder.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _connected(self) -> "Iterator[paramiko.SFTPClient]":
        import paramiko

        client = paramiko.SSHClient()
        if self.url.host_key:
            client.set_missing_host_key_policy(_pinned(self.url.host_key))
        else:
            known = Path(self.url.known_hosts).expanduser()
            if known.exists():
                client.load_host_keys(str(known))
            client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.connect(
                self.url.host, self.url.port, self.url.user,
                password=self._login.password or None,
                key_filename=self._login.key_file or None,
                passphrase=self._login.password or None if self._login.key_file else None,
                allow_agent=False, look_for_keys=False,
                timeout=_SECONDS, banner_timeout=_SECONDS, auth_timeout=_SECONDS,
            )  # fmt: skip
            with client.open_sftp() as sftp:
                channel = sftp.get_channel()
                if channel is not None:
                    channel.settimeout(_SECONDS)
                yield sftp
        finally:
            client.close()

    def _make_folders(self, sftp: "paramiko.SFTPClient", folder: PurePosixPath) -> None:
        for place in [*reversed(folder.parents), folder]:
            try:
                found = sftp.stat(str(place))
            except FileNotFoundError:
                sftp.mkdir(str(place))
            else:
                if found.st_mode is not None and not stat.S_ISDIR(found.st_mode):
                    raise PermanentError(
                        f"{self.uri('')} is no folder.", "Correct the destination."
                    )

    def _sweep(self, sftp: "paramiko.SFTPClient", folder: PurePosixPath, name: str) -> None:
        """Remove what deliveries left that were killed more than a day ago."""
        begins, ends = partial_name(name, "\0").split("\0")
        for found in sftp.listdir_attr(str(folder)):
            mine = found.filename.startswith(begins) and found.filename.endswith(ends)
            if mine and time.time() - (found.st_mtime or 0) > _ABANDONED_SECONDS:
                sftp.remove(str(folder / found.filename))

    @contextlib.contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn what paramiko raises into our errors."""
        import paramiko

        what = f"Writing {self.uri(name)} failed"
        try:
            yield
        except paramiko.BadHostKeyException as error:
            raise PermanentError(
                f"{what}: the server's key is another than the known one.",
                "Find out why; then correct host_key or the file of known hosts.",
            ) from error
        except paramiko.AuthenticationException as error:
            raise PermanentError(
                f"{what}: the server refused the login of {self.url.user}.",
                "Check the feed's password or key.",
            ) from error
        except paramiko.SSHException as error:
            if "not found in known_hosts" in str(error):
                raise PermanentError(
                    f"{what}: the server's key is not known.",
                    "Add host_key=SHA256:… to the destination (`ssh-keyscan HOST | ssh-keygen -lf -`).",
                ) from error
            raise TransientError(f"{what}: {error}.", "Try again.") from error
        except (EOFError, TimeoutError, ConnectionError, socket.gaierror) as error:
            reason = str(error) or "the connection was lost"
            raise TransientError(f"{what}: {reason}.", "Check host, port and network.") from error
        except OSError as error:
            if "rename" in str(error).lower() or "Operation unsupported" in str(error):
                reason = "the server cannot replace a file in one step"
            else:
                reason = (error.strerror or str(error)).rstrip(".")
            lost = getattr(error, "errors", None) or reason in ("Socket is closed", "Server connection dropped: ")  # fmt: skip
            kind = TransientError if lost else PermanentError
            raise kind(
                f"{what}: {reason}.", "Check the folder, its rights and its space."
            ) from error


def _pinned(fingerprint: str) -> "paramiko.MissingHostKeyPolicy":
    import paramiko

    class Pinned(paramiko.MissingHostKeyPolicy):
        def missing_host_key(
            self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
        ) -> None:
            del client
            digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
            if f"SHA256:{digest}" != fingerprint.rstrip("="):
                raise paramiko.BadHostKeyException(hostname, key, key)

    return Pinned()
