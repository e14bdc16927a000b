"""No secret may be in anything that is printed, stored or shown, above all when things fail.

Secrets are planted in the environment. Refreshes succeed with them and fail in every way that
touches them; then they are looked for in what was printed, in everything below the home (events,
tags and metadata of runs, logs, staged objects, the ledger) and in what the UI answers.
"""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.settings import VARIABLES
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.secrets_search import Search
from etl_assets_tests.command_line import PATIENCE_SECONDS, CommandLine
from etl_assets_tests.live_ui import ask, processes_of, until
from etl_assets_tests.servers import MariaDBServer, free_port
from etl_assets_tests.small import DATASET, Small
from etl_assets_tests.standins.s3 import S3Standin
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+planted-key",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjE-planted/token==",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.example/services/T0PLANTED/B0/x5JqPlanted",
    **{
        variable: f"planted:{variable.lower()}/&%'\"+9"
        for variable in VARIABLES.values()
        if variable.endswith("_PASSWORD")
    },
    **{
        variable: f"https://hooks.slack.example/services/T1/B1/{variable.lower()}"
        for variable in VARIABLES.values()
        if "WEBHOOK" in variable or "SLACK" in variable
    },
}
EVENTS = """{ runsOrError { ... on Runs { results { runId runConfigYaml tags { key value }
  eventConnection { events { ... on MessageEvent { message } ... on ExecutionStepFailureEvent {
    error { message stack causes { message stack } } } } } } } }
  assetNodes { assetKey { path } metadataEntries { label description }
    assetMaterializations(limit: 5) { metadataEntries { label description
      ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr } } } }
  workspaceOrError { ... on Workspace { locationEntries { name displayMetadata { key value } } } }
  instance { info } }"""


@pytest.fixture
def command(small: Small) -> CommandLine:
    """The command line over a small platform, with every secret in its environment."""
    plain = CommandLine.of(small)
    others = {"AWS_ACCESS_KEY_ID": "AKIDPLANTED", "AWS_EC2_METADATA_DISABLED": "true"}
    return replace(plain, variables={**plain.variables, **SECRETS, **others})


SHORT = 2
"""Commands that are run in the short form."""


def try_all(
    search: Search, command: CommandLine, *, fails: bool, most: int | None, **variables: str
) -> None:
    """Run what a person would run, or the first of it, and look in what it prints."""
    refresh = ["refresh", "--key", "SP17", "--force"]
    commands = (["--debug", *refresh], ["doctor"], refresh, ["doctor", "--json"],
                ["--debug", "loads"], ["rules", "history", "sales"])  # fmt: skip
    for arguments in commands[:most]:
        done = command.run(*arguments, **variables)
        search.text(f"stdout of {arguments} with {variables}", done.stdout)
        search.text(f"stderr of {arguments} with {variables}", done.stderr)
        assert done.returncode in (0, 1), done.stderr
        if "--debug" not in arguments:
            assert "Traceback" not in done.stderr
        if "refresh" in arguments:
            assert done.returncode == fails, f"{variables}: {done.stdout}{done.stderr}"


def planted_in_mariadb(server: MariaDBServer) -> str:
    """Make a user whose password is the planted one; return the source's URL."""
    server.run(
        "DROP TABLE IF EXISTS sales",
        "CREATE TABLE sales (sale_id BIGINT PRIMARY KEY, sold_at DATETIME, quantity INT,"
        " amount DECIMAL(10,2), note TEXT)",
        "INSERT INTO sales VALUES (1, '2017-03-05', 1, 1.5, 'x')",
    )
    with server.connect() as connection, connection.cursor() as cursor:
        password = SECRETS["ETL_ASSETS_SOURCE_PASSWORD"]
        cursor.execute("CREATE OR REPLACE USER 'planted'@'%%' IDENTIFIED BY %s", [password])
        cursor.execute(f"GRANT SELECT ON {server.database}.* TO 'planted'@'%'")
    return f"mysql+pymysql://planted@127.0.0.1:{server.port}/{server.database}"


def test_a_planted_secret_is_nowhere_after_a_source_succeeded_and_failed(
    small: Small, command: CommandLine, mariadb: MariaDBServer, figures: Figures,
    *, long_form: bool,
) -> None:  # fmt: skip
    search, most = Search(SECRETS), None if long_form else SHORT
    right = planted_in_mariadb(mariadb)
    wrong = right.replace("planted@", f"{mariadb.reader}@")  # whose password is another
    nobody = f"mysql+pymysql://planted@127.0.0.1:{free_port()}/shop"
    try_all(search, command, fails=True, most=most, ETL_ASSETS_SOURCE=wrong)
    if long_form:
        try_all(search, command, fails=False, most=most, ETL_ASSETS_SOURCE=right)
        try_all(search, command, fails=True, most=most, ETL_ASSETS_SOURCE=nobody)
        small.write_dataset(DATASET.replace("quantity, amount", "quantity, nowhere.amount"))
        try_all(search, command, fails=True, most=most, ETL_ASSETS_SOURCE=right)
        carried = right.replace("planted@", "planted:hunter2-planted@")
        in_url = Search({"in the URL": "hunter2-planted"})
        for arguments in (["--debug", "doctor"], ["refresh"], ["campaigns"]):
            done = command.run(*arguments, ETL_ASSETS_SOURCE=carried)
            in_url.text("printed", done.stdout + done.stderr)
            assert done.returncode == 1
        assert in_url.found == []
    finish(search, small, figures)


def test_a_planted_secret_is_nowhere_after_store_and_warehouse_succeeded_and_failed(
    small: Small, command: CommandLine, redshift: Redshift, s3_server: S3Standin, figures: Figures,
    *, long_form: bool,
) -> None:  # fmt: skip
    search, most = Search(SECRETS), None if long_form else SHORT
    staging = f"s3://{redshift.bucket.name}/planted?region=us-east-1&endpoint_url="
    there, nobody = redshift.bucket.endpoint, f"http://127.0.0.1:{free_port()}"
    fallen = {"ETL_ASSETS_STAGING": staging + there, "ETL_ASSETS_WAREHOUSE": redshift.url}
    try_all(search, command, fails=True, most=most, **fallen)  # the password is another
    if long_form:
        try_all(search, command, fails=True, most=most, ETL_ASSETS_STAGING=staging + nobody)
        unreached = redshift.url_at(free_port())
        try_all(
            search, command, fails=True, most=most, **{**fallen, "ETL_ASSETS_WAREHOUSE": unreached}
        )
        missing = f"s3://no-such-bucket/x?region=us-east-1&endpoint_url={s3_server.endpoint_url}"
        try_all(search, command, fails=True, most=most, ETL_ASSETS_STAGING=missing)
        right = replace(
            command,
            variables={
                **command.variables,
                "ETL_ASSETS_WAREHOUSE_PASSWORD": redshift.password(),
            },
        )
        try_all(search, right, fails=False, most=most, **fallen)
        bucket = redshift.bucket
        for stored in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]:
            body = bucket.client.get_object(Bucket=bucket.name, Key=stored["Key"])["Body"]
            search.content(f"s3 {stored['Key']}", body.read())
        for row in redshift.query("SELECT * FROM etl_assets.loads"):
            search.text("the ledger", repr(row))
    finish(search, small, figures)


def finish(search: Search, small: Small, figures: Figures) -> None:
    """Look below the home, and judge."""
    search.folder(small.home)
    assert search.found == []
    assert search.places > 50
    figures.add("planted secrets", len(SECRETS))
    figures.add("places searched for secrets", search.places)


@contextlib.contextmanager
def serving(command: CommandLine, log: Path) -> Iterator[int]:
    """Run the UI and give its port; its output goes to a file."""
    port = free_port()
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [sys.executable, "-m", "etl_assets.cli", "ui", "--port", str(port)],
            env=command.environment(), stdout=opened, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
            for left in processes_of(command.home):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def test_a_planted_secret_is_in_no_answer_of_the_ui(
    small: Small, command: CommandLine, tmp_path: Path, figures: Figures, *, long_form: bool
) -> None:
    """In the short form the UI is left out: it shows what the instance holds, searched above."""
    if long_form:
        search = Search(SECRETS)
        nobody = f"mysql+pymysql://planted@127.0.0.1:{free_port()}/shop"
        assert command.run("refresh", "--key", "SP17").returncode == 0
        assert command.run("refresh", "--key", "SP17", ETL_ASSETS_SOURCE=nobody).returncode == 1
        with serving(command, tmp_path / "ui.log") as port:
            until(lambda: (ask(port, "{ assetNodes { id } }") or {}).get("assetNodes"))
            answer = ask(port, EVENTS)
            assert answer
            assert "SP17 extracted" in str(answer)
            search.text("the UI", str(answer))
        search.content("log of the UI", (tmp_path / "ui.log").read_bytes())
        finish(search, small, figures)


def test_a_secret_that_is_somewhere_is_found(tmp_path: Path) -> None:
    secret = SECRETS["ETL_ASSETS_SOURCE_PASSWORD"]
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("CREATE TABLE snapshots (body BLOB)")
        packed = zlib.compress(f"source: {secret}".encode())
        connection.execute("INSERT INTO snapshots VALUES (?)", [packed])
    connection.close()
    (tmp_path / "a.log").write_text(f"opened with {secret}")
    (tmp_path / "nothing.log").write_text("opened")
    search = Search(SECRETS)
    search.folder(tmp_path)
    search.text("a URL", "https://x/?p=planted%3Aetl_assets_source_password%2F%26%25%27%22%2B9")
    places = {place.partition(": ")[0].rpartition("/")[2] for place in search.found}
    assert places - {"runs.db"} == {"runs.db, snapshots", "a.log", "a URL"}
