"""Small platforms on each backend, each time a fresh one."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from etl_assets.systems.aws import Place
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.chaos.backends import Backend
from etl_assets_tests.servers import ensure_packages
from etl_assets_tests.small import Small
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.standins.s3 import S3Standin

_AWS = {
    "AWS_ACCESS_KEY_ID": "standin",
    "AWS_SECRET_ACCESS_KEY": "standin",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
_BUCKET, _REGION = "chaos", "us-east-1"
_ROLE = "arn:aws:iam::123456789012:role/loader"

Fresh = Callable[[], Backend]
"""Makes a small platform that nothing was loaded on; the one before is given up."""


@pytest.fixture(scope="session")
def redshift_on_s3(s3_server: S3Standin) -> Iterator[RedshiftStandin]:
    """A Redshift stand-in whose COPY reads from the S3 stand-in, both processes of their own."""
    ensure_packages("initdb")
    with RedshiftStandin(s3_server.endpoint_url) as standin:
        yield standin


@pytest.fixture(params=["duckdb", "redshift"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fresh:
    """A maker of platforms on each backend."""
    numbers = itertools.count()
    if request.param == "duckdb":
        return lambda: Backend(Small(tmp_path / f"{next(numbers)}").build().home)
    server: S3Standin = request.getfixturevalue("s3_server")
    standin: RedshiftStandin = request.getfixturevalue("redshift_on_s3")
    for name, value in _AWS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)  # restored with the test, whatever it enters

    def make() -> Backend:
        home = Small(tmp_path / f"{next(numbers)}").build().home
        prefix = f"{tmp_path.name}/{home.name}"
        place = Place(_BUCKET, prefix, _REGION, server.endpoint_url)
        with contextlib.suppress(S3Staging(place).client.exceptions.BucketAlreadyOwnedByYou):
            S3Staging(place).client.create_bucket(Bucket=_BUCKET)
        _drop_tables(standin.dsn)
        backend = Backend(
            home,
            staging_url=f"s3://{_BUCKET}/{prefix}?region={_REGION}&endpoint_url={server.endpoint_url}",
            warehouse_url=f"redshift://{standin.user}@127.0.0.1:{standin.port}/{standin.database}"
            f"?iam_role={_ROLE}",
            password=standin.password,
            dsn=standin.dsn,
            environment=_AWS,
        )
        backend.enter()
        return backend

    return make


@pytest.fixture
def embedded(tmp_path: Path) -> Backend:
    """A platform on DuckDB and files."""
    return Backend(Small(tmp_path / "embedded").build().home)


def _drop_tables(dsn: str) -> None:
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP VIEW public."{name}" CASCADE')
        cursor.execute(
            "SELECT table_name FROM svv_columns WHERE table_schema = 'public' GROUP BY 1"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'DROP TABLE public."{name}"')
        cursor.execute("DROP SCHEMA IF EXISTS etl_assets CASCADE")
