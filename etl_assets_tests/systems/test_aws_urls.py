"""The URLs of the AWS systems: what they name, and what is wrong with those that name nothing."""

import pytest

from etl_assets.core.errors import PermanentError
from etl_assets.systems.aws import Place
from etl_assets.systems.connect import open_dynamodb, open_registry, open_staging, system_kind
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets.systems.staging_s3 import S3Staging


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("dynamodb://", "has no name"),
        ("dynamodb://t?table=x", "unknown option `table`"),
        ("dynamodb://u:secret@t", "carries credentials"),
        ("dynamo://t", "names no system"),
    ],
)
def test_a_url_that_is_not_one_is_refused_with_how_it_is_written(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match="ETL_ASSETS_REGISTRY") as caught:
        open_registry(url, [])
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_names_table_region_and_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_registry("dynamodb://T?region=eu-west-1&endpoint_url=http://127.0.0.1:9", ["a"])
    assert isinstance(store, DynamoDBRegistry)
    assert store.place == Place("T", "", "eu-west-1", "http://127.0.0.1:9")
    assert system_kind("dynamodb://T") == "dynamodb"
    with pytest.raises(PermanentError, match="edited where it is"):
        open_dynamodb("file:var", [])
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(PermanentError, match="region of T is not known"):
        open_registry("dynamodb://T", []).read()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("s3://", "has no name"),
        ("s3:///prefix", "has no name"),
        ("s3://bucket/a//b", "empty, `.` or `..`"),
        ("s3://bucket/a/../b", "empty, `.` or `..`"),
        ("s3://bucket/..", "empty, `.` or `..`"),
        ("s3://bucket/a#b", "has a `#`"),
        ("s3://bucket?regio=x", "did you mean `region`"),
        ("s3://bucket?region=", "empty or twice"),
        ("s3://bucket?region=a&region=b", "empty or twice"),
        ("s3://bucket?endpoint_url=localhost:1", "neither `http://`"),
        ("s3://key:secret@bucket/a", "carries credentials"),
        ("s3n://bucket", "names no system"),
    ],
)
def test_a_staging_url_that_is_not_one_is_refused_with_how_it_is_written(
    url: str, problem: str
) -> None:
    with pytest.raises(PermanentError, match="ETL_ASSETS_STAGING") as caught:
        open_staging(url)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "s3://BUCKET/PREFIX" in str(caught.value) or "boto3 finds" in str(caught.value)


@pytest.mark.usefixtures("aws_credentials")
def test_a_staging_url_names_bucket_prefix_region_and_endpoint() -> None:
    staging = open_staging("s3://b/x/y/?region=eu-west-1&endpoint_url=http%3A%2F%2F127.0.0.1%3A9")
    assert isinstance(staging, S3Staging)
    assert staging.place == Place("b", "x/y", "eu-west-1", "http://127.0.0.1:9")
    assert staging.client.meta.region_name == "eu-west-1"
    assert system_kind("s3://b") == "s3"
    with pytest.raises(PermanentError, match="region of b is not known"):
        open_staging("s3://b").put_text("a", "b")
