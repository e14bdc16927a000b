"""nginx as docs/deploy.md sets it up, with its files and ports moved to where a test may have them."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from etl_assets_tests.servers import ends_with_us, ensure_packages, free_port, program_path
from etl_assets_tests.standins.certificate import make_certificate

CONFIG = Path(__file__).parents[1] / "deploy" / "nginx" / "etl_assets.conf"
HOST = "etl.example.com"

_FRAME = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  {temporary}
  include {folder}/etl_assets.conf;
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """The documented nginx on free ports of 127.0.0.1.

    Attributes:
        port: Where it speaks TLS.
        plain_port: Where it sends people to TLS.
        certificate: What it shows; of `HOST`.
    """

    def __init__(
        self,
        upstreams: Mapping[str, int],
        users: Mapping[str, str],
        operators: list[str],
        *,
        config: str | None = None,
    ) -> None:
        """Remember what it stands before.

        Args:
            upstreams: Ports, by those the configuration names.
            users: Passwords by name.
            operators: Who may change something.
            config: In place of the documented configuration.
        """
        self._upstreams, self._users, self._operators = upstreams, users, operators
        self._config = config or CONFIG.read_text(encoding="utf-8")
        self.port, self.plain_port = free_port(), free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="etl_assets_nginx_")
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)  # its workers are another account when root starts it
        self.certificate, self._key = self.folder / "cert.pem", self.folder / "key.pem"

    def __enter__(self) -> Self:
        ensure_packages("nginx", "openssl")
        make_certificate(self.folder, f"DNS:{HOST}")
        entries = [f"{name}:{_hashed(password)}" for name, password in self._users.items()]
        self._write("etl_assets.users", "\n".join([*entries, ""]))
        self._write(
            "etl_assets.operators", "".join(f"{n} etl_operator;\n" for n in self._operators)
        )
        self._write("etl_assets.conf", self._placed())
        kinds = [f"{kind}_temp_path {self.folder}/{kind};" for kind in _TEMPORARY]
        self._write("nginx.conf", _FRAME.format(folder=self.folder, temporary="\n  ".join(kinds)))
        command = [
            program_path("nginx"),
            "-p",
            str(self.folder),
            "-c",
            "nginx.conf",
            "-e",
            "stderr",
        ]
        tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert tried.returncode == 0, tried.stderr
        self._process = subprocess.Popen(ends_with_us(command))
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def _placed(self) -> str:
        """Return the configuration with ports and paths of the test's, and nothing else changed."""
        text = self._config
        for documented, port in self._upstreams.items():
            text = text.replace(f"server 127.0.0.1:{documented};", f"server 127.0.0.1:{port};")
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.plain_port};")
        text = text.replace("/etc/nginx/etl_assets.pem", str(self.certificate))
        text = text.replace("/etc/nginx/etl_assets.key", str(self._key))
        text = text.replace("/etc/nginx/", f"{self.folder}/")
        left = re.findall(r"listen (?:443|80)|127\.0\.0\.1:300\d|/etc/nginx", _uncommented(text))
        assert not left, left
        return text

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


def _uncommented(text: str) -> str:
    return "\n".join(line.partition("#")[0] for line in text.splitlines())


def _hashed(password: str) -> str:
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=password, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()
