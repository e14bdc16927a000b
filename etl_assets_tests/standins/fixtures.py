"""The stand-ins as pytest fixtures: each server is started once, a test has a place of its own."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from etl_assets.registry_sync import push
from etl_assets.systems.aws import Place
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.small import Small
from etl_assets_tests.standins.dynamodb import DynamoDBStandin
from etl_assets_tests.standins.proxy import Proxy
from etl_assets_tests.standins.s3 import S3Standin


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Standin]:
    """A running S3 server without buckets."""
    server = S3Standin(tmp_path_factory.mktemp("s3"))
    with server.running():
        yield server


@pytest.fixture(scope="session")
def dynamodb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDBStandin]:
    """A running DynamoDB server without tables."""
    server = DynamoDBStandin(tmp_path_factory.mktemp("dynamodb"))
    with server.running():
        yield server


@pytest.fixture
def aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that only stand-ins take, and no settings of this machine's user."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 tries again at once: how long it waits is its own affair."""
    name = "botocore.retries.standard.ExponentialBackoff.delay_amount"
    monkeypatch.setattr(name, lambda _self, _context: 0)


@pytest.fixture
def s3_place(s3_server: S3Standin, aws_credentials: None) -> Place:
    """A prefix of a bucket that no other test uses."""
    bucket = f"staging-{uuid.uuid4().hex}"
    place = Place(bucket, "some/prefix", "eu-west-1", s3_server.endpoint_url)
    S3Staging(place).client.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return place


@pytest.fixture
def s3_staging(s3_place: Place) -> S3Staging:
    """A staging store in S3, empty."""
    return S3Staging(s3_place)


@pytest.fixture
def s3_proxy(s3_server: S3Standin) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of the S3 server, and its URL."""
    proxy = Proxy(s3_server.port)
    with proxy.running() as url:
        yield proxy, url


@pytest.fixture
def dynamodb_place(
    dynamodb_server: DynamoDBStandin,
    aws_credentials: None,
) -> Place:
    """The name of a table that no other test uses; it is not made yet."""
    return Place(f"registry-{uuid.uuid4().hex}", "", "eu-west-1", dynamodb_server.endpoint_url)


@pytest.fixture
def dynamodb_registry(dynamodb_place: Place) -> Iterator[DynamoDBRegistry]:
    """A registry in DynamoDB, made and empty, that may refer to the dataset `sales`."""
    registry = DynamoDBRegistry(dynamodb_place, ["sales"], pause=lambda _seconds: None)
    registry.create()
    yield registry
    registry.client.delete_table(TableName=dynamodb_place.name)


@pytest.fixture
def dynamodb_proxy(dynamodb_server: DynamoDBStandin) -> Iterator[tuple[Proxy, str]]:
    """A proxy in front of the DynamoDB server, and its URL."""
    proxy = Proxy(dynamodb_server.port)
    with proxy.running() as url:
        yield proxy, url


@pytest.fixture
def filled_registry(dynamodb_registry: DynamoDBRegistry, small: Small) -> DynamoDBRegistry:
    """A registry with the small platform's three campaigns."""
    push(dynamodb_registry, small.home / "registry", by="anna", at=dt.datetime.now(dt.UTC))
    return dynamodb_registry


@pytest.fixture
def proxied_registry(
    filled_registry: DynamoDBRegistry,
    dynamodb_proxy: tuple[Proxy, str],
    no_backoff: None,
) -> tuple[DynamoDBRegistry, Proxy]:
    """The filled registry, reached through a proxy; a request is tried three times."""
    proxy, url = dynamodb_proxy
    place = replace(filled_registry.place, endpoint_url=url)
    return DynamoDBRegistry(place, ["sales"], attempts=3, pause=lambda _seconds: None), proxy


@pytest.fixture
def proxied_staging(
    s3_place: Place,
    s3_proxy: tuple[Proxy, str],
    no_backoff: None,
) -> tuple[S3Staging, Proxy]:
    """A store reached through a proxy; a request is tried three times."""
    proxy, url = s3_proxy
    place = replace(s3_place, endpoint_url=url)
    return S3Staging(place, attempts=3, pause=lambda _seconds: None), proxy
