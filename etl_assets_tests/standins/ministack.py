"""MiniStack: AWS services on this machine, in a virtual environment of its own.

It pins botocore, so it cannot share ours. It knows no permissions: any credentials may do
anything.
"""

import sys

from etl_assets_tests.standins.server import CACHE, Server, install

VERSION = "1.5.33"


def install_ministack() -> str:
    """Install MiniStack if it is not there; return its program.

    Raises:
        StandinError: When that fails, with the end of what it wrote.
    """
    folder = CACHE / f"ministack-{VERSION}"
    python = folder / "bin" / "python"
    install("A virtual environment", [sys.executable, "-m", "venv", str(folder)], proof=python)
    program = folder / "bin" / "ministack"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install("MiniStack", [*pip, f"ministack=={VERSION}"], proof=program)
    return str(program)


class MiniStack(Server):
    """One MiniStack process on 127.0.0.1; a subclass names its services."""

    services = ""

    def command(self) -> list[str]:
        """Install MiniStack on demand and return its command."""
        return [install_ministack()]

    def environment(self) -> dict[str, str]:
        """Return what MiniStack reads: its port, address and folders."""
        return {
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "SERVICES": self.services,
            "PERSIST_STATE": "1",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.data / "s3"),
            "STATE_DIR": str(self.data / "state"),
        }
