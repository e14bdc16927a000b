"""The production systems on this machine: MariaDB, DynamoDB, S3 and the Redshift stand-in.

    python -m etl_assets_tests.standins.stack [COMMAND …]

Starts them on 127.0.0.1 with their data below var/stack, loads the sample into MariaDB and the
registry into DynamoDB (once), writes var/stack/env, and then runs the command in that
environment, or waits for Ctrl-C.
"""

import contextlib
import fcntl
import hashlib
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3

from etl_assets.core.errors import EtlError, PermanentError
from etl_assets.demo import sample
from etl_assets.demo.inputs import FILES
from etl_assets.demo.sample_mysql import build_mysql
from etl_assets.registry_sync import SEEN
from etl_assets_tests.servers import MariaDBServer, ensure_packages
from etl_assets_tests.standins.dynamodb import DynamoDBStandin
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.standins.s3 import S3Standin
from etl_assets_tests.standins.server import StandinError

BUCKET = "etl-assets"
REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "standin", "AWS_SECRET_ACCESS_KEY": "standin"}
ROLE = "arn:aws:iam::123456789012:role/etl-assets-copy"
_WRITER = "loader"


@contextlib.contextmanager
def running_stack(folder: Path) -> Iterator[dict[str, str]]:
    """Run the four systems with their data below a folder; give the environment that uses them.

    Raises:
        MissingServerError: When a server is not installed and cannot be.
    """
    ensure_packages("mariadbd", "mariadb-install-db", "initdb")
    with contextlib.ExitStack() as stack:
        say("Starting S3, DynamoDB, MariaDB and the Redshift stand-in …")
        s3 = S3Standin(folder / "s3")
        dynamodb = DynamoDBStandin(folder / "dynamodb")
        stack.enter_context(s3.running())
        stack.enter_context(dynamodb.running())
        mariadb = stack.enter_context(MariaDBServer(folder=folder / "mariadb"))
        redshift = stack.enter_context(
            RedshiftStandin(s3.endpoint_url, data_folder=str(redshift_folder(folder)))
        )
        environment = {
            **KEYS,
            "AWS_DEFAULT_REGION": REGION,
            "ETL_ASSETS_HOME": str(folder / "home"),
            "ETL_ASSETS_REGISTRY": f"dynamodb://etl_assets?region={REGION}"
            f"&endpoint_url={dynamodb.endpoint_url}",
            "ETL_ASSETS_SOURCE": mariadb.url,
            "ETL_ASSETS_SOURCE_PASSWORD": mariadb.password,
            "ETL_ASSETS_INPUTS": mariadb.url_of(_WRITER),
            "ETL_ASSETS_STAGING": f"s3://{BUCKET}/staging?region={REGION}"
            f"&endpoint_url={s3.endpoint_url}",
            "ETL_ASSETS_WAREHOUSE": f"redshift://{redshift.user}@{redshift.host}:{redshift.port}"
            f"/{redshift.database}?iam_role={ROLE}",
            "ETL_ASSETS_WAREHOUSE_PASSWORD": redshift.password,
        }
        _fill(folder, mariadb, s3, environment)
        yield environment


def redshift_folder(folder: Path) -> Path:
    """Return where the Redshift stand-in keeps its data: below the folder, if it can.

    PostgreSQL does not run as root but as an account that may not enter, say, /root. Then it is
    a folder of its own in /var/tmp, which the folder's path names.
    """
    closed = [p for p in folder.parents if not p.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() != 0 or not closed:
        return folder / "redshift"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    elsewhere = Path("/var/tmp") / f"etl_assets-redshift-{digest}"  # noqa: S108  (a name of ours)
    say(f"The account `postgres` may not enter {closed[-1]}: its data is in {elsewhere}.")
    return elsewhere


def _fill(folder: Path, mariadb: MariaDBServer, s3: S3Standin, environment: dict[str, str]) -> None:
    """Make the bucket, the sample's tables and the registry, where they are not there yet."""
    say("Filling S3, MariaDB and DynamoDB, where that is still to do (once, about a minute) …")
    client = boto3.client(
        "s3", endpoint_url=s3.endpoint_url, region_name=REGION,
        aws_access_key_id="standin", aws_secret_access_key="standin",
    )  # fmt: skip
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
    _load_sample(mariadb, environment)
    if sample.build_registry(folder / "registry") or not _registry_there(environment):
        (folder / "registry" / SEEN).unlink(missing_ok=True)  # of a table that is gone
        for command in (["init"], ["push", str(folder / "registry")]):
            _python("etl_assets.cli", ["registry", *command], environment)


def _load_sample(mariadb: MariaDBServer, environment: dict[str, str]) -> None:
    """Build the tables of the operational system, and load the files that bring the others."""
    mariadb.run(
        f"CREATE USER IF NOT EXISTS '{_WRITER}'@'%'",
        f"GRANT ALL ON {mariadb.database}.* TO '{_WRITER}'@'%'",
    )
    url = mariadb.url_of(_WRITER)
    try:
        build_mysql(url, tables=sample.OPERATIONAL)
    except PermanentError:  # a build was broken off; nothing else is in this database
        database = mariadb.database
        mariadb.run(
            f"DROP DATABASE {database}", f"CREATE DATABASE {database} CHARACTER SET utf8mb4"
        )
        build_mysql(url, tables=sample.OPERATIONAL)
    if _loaded(mariadb) < len(FILES):
        _python("etl_assets.demo.inputs", [], environment)
        _python("etl_assets.cli", ["inputs", "load"], environment)


def _loaded(mariadb: MariaDBServer) -> int:
    """Return how many files the ledger of inputs has."""
    with mariadb.connect() as connection, connection.cursor() as cursor:
        connection.select_db(mariadb.database)
        if not cursor.execute("SHOW TABLES LIKE 'etl_assets_inputs'"):
            return 0
        cursor.execute("SELECT count(*) FROM etl_assets_inputs WHERE status = 'loaded'")
        ((count,),) = cursor.fetchall()
        return int(count)


def _registry_there(environment: dict[str, str]) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", "campaigns", "--json"],
        env={**os.environ, **environment}, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def _python(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **environment}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder: two servers on one data folder would ruin it, or wait for each other."""
    with (folder / "lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise PermanentError(
                f"The stack in {folder} is running already (process {handle.read()}).",
                f"Use it in another terminal (`. {folder / 'env'}`), or stop it with Ctrl-C.",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def say(text: str) -> None:
    """Tell the person in front of the terminal."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    """Run the stack around a command, or until Ctrl-C; return the exit code."""
    try:
        return _run(Path("var/stack").absolute(), sys.argv[1:])
    except (EtlError, StandinError, RuntimeError, OSError) as error:
        say(f"Error: {error}")
    except subprocess.CalledProcessError:
        say("Error: The systems could not be filled; what was said of it stands above.")
    except KeyboardInterrupt:
        say("Stopped.")
        return 130
    return 1


def _run(folder: Path, command: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder), running_stack(folder) as environment:
        lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        (folder / "env").write_text("\n".join([*lines, ""]), encoding="utf-8")
        if command:
            child = subprocess.Popen(command, env={**os.environ, **environment})
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's own affair
            return child.wait()
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        say(f"Ready. `. {folder / 'env'}` in another terminal; Ctrl-C here stops everything.")
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
