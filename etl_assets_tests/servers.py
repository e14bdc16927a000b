"""Server programs that tests need: found, installed where this user may, or named."""

import os
import shutil
import subprocess
from collections.abc import Callable


class MissingServerError(Exception):
    """A server program is not there; the message says what to install."""


def ensure_packages(*packages: str, present: Callable[[], bool]) -> None:
    """Install Debian packages unless what they bring is there.

    Args:
        packages: Their names.
        present: Whether it is there.

    Raises:
        MissingServerError: When it is not and this user may not install, or that failed.
    """
    if present():
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    problem = "only root may do that"
    if os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if present():
            return
        problem = (done.stderr.strip().splitlines() or ["it did not help"])[-1]
    raise MissingServerError(
        f"These tests need {' and '.join(packages)}: run `{' '.join(command)}` ({problem})."
    )
