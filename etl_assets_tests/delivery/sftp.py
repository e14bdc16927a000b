"""An SFTP server of OpenSSH's, of this test run alone."""

import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from etl_assets_tests.servers import ends_with_us, ensure_packages, free_port, program_path

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""


class SftpServer:
    """A server on 127.0.0.1 that lets in who has its key.

    Attributes:
        port: Where it listens.
        folder: Its keys; and `files`, a folder to be delivered to.
    """

    port: int
    folder: Path

    def __enter__(self) -> Self:
        ensure_packages("sshd")
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="etl_assets_sftp_")), free_port()
        for name in ("host_key", "user_key", "other_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)],
                check=True,
            )
        config = self.folder / "config"
        config.write_text(_CONFIG.format(port=self.port, folder=self.folder))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd separates privileges
        self._process = subprocess.Popen(
            ends_with_us([program_path("sshd"), "-D", "-e", "-f", str(config)]),
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        for line in self._process.stderr or ():
            if "Server listening" in line:
                return self
        raise RuntimeError("sshd did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its key."""
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(self.folder / "host_key.pub")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return shown.stdout.split()[1]

    @property
    def files(self) -> Path:
        """The folder that is delivered to."""
        return self.folder / "files"

    def url(self, folder: Path | None = None, *, host_key: str = "") -> str:
        """Return the URL of a destination."""
        key = (host_key or self.fingerprint).replace("+", "%2B")
        return (
            f"sftp://{getpass.getuser()}@127.0.0.1:{self.port}{folder or self.files}?host_key={key}"
        )
