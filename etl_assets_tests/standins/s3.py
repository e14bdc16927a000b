"""S3 on this machine: MiniStack, which checks SHA-256 and If-None-Match as S3 does.

It knows no permissions: any credentials may do anything.
"""

import sys

from etl_assets_tests.standins.server import CACHE, Server, install

VERSION = "1.5.33"


class S3Standin(Server):
    """An S3 server; objects are on disk when a request is answered, also after a kill."""

    name = "MiniStack"

    def command(self) -> list[str]:
        """Install MiniStack on demand and return its command."""
        folder = CACHE / f"ministack-{VERSION}"
        python = folder / "bin" / "python"
        install("A virtual environment", [sys.executable, "-m", "venv", str(folder)], proof=python)
        program = folder / "bin" / "ministack"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install("MiniStack", [*pip, f"ministack=={VERSION}"], proof=program)
        return [str(program)]

    def environment(self) -> dict[str, str]:
        """Return what MiniStack reads: its port, address and folders."""
        return {
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "SERVICES": "s3",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.data / "s3"),
            "STATE_DIR": str(self.data / "state"),
        }
