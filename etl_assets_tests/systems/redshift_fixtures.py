"""Fixtures of the Redshift warehouse's tests: a stand-in for the session, clean for each test."""

from collections.abc import Iterator

import pytest

from etl_assets_tests.servers import ensure_packages
from etl_assets_tests.standins.bucket import serve_bucket
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.systems.redshift_server import Redshift


@pytest.fixture(scope="session")
def redshift_server() -> Iterator[Redshift]:
    """The stand-in and a bucket, once for all tests."""
    ensure_packages("initdb")
    with serve_bucket("staging") as bucket, RedshiftStandin(bucket.endpoint) as standin:
        yield Redshift(standin, bucket)


@pytest.fixture
def redshift(redshift_server: Redshift) -> Redshift:
    """The stand-in without tables of ours."""
    redshift_server.clean()
    return redshift_server
