"""What S3 adds to a store: prefixes, pages, limits, and what guards a bucket."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.core.errors import StagingError
from etl_assets.systems import staging_s3
from etl_assets.systems.aws import Place
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.standins.proxy import Answer, Proxy, Request, s3_error
from etl_assets_tests.standins.s3 import S3Standin
from etl_assets_tests.systems.staging_puts import CONTENT, fetched, put


def test_more_objects_than_one_answer_lists_are_all_listed_and_removed(
    s3_staging: S3Staging,
) -> None:
    paths = [f"a/{n:04}" for n in range(1005)]
    for path in paths:
        key = f"{s3_staging.place.prefix}/{path}"
        s3_staging.client.put_object(Bucket=s3_staging.place.name, Key=key, Body=b"")
    assert [item.path for item in s3_staging.objects()] == paths
    s3_staging.delete(paths)
    assert s3_staging.objects() == []


def test_nothing_outside_the_prefix_is_listed(s3_staging: S3Staging) -> None:
    for key in ("some/prefix-b/x", "some/x", "x"):
        s3_staging.client.put_object(Bucket=s3_staging.place.name, Key=key, Body=b"")
    part = put(s3_staging, path="in")
    assert [item.path for item in s3_staging.objects()] == [part.path]
    assert s3_staging.uri("in") == f"s3://{s3_staging.place.name}/some/prefix/in"


def test_a_part_larger_than_one_request_takes_is_refused_before_it_is_sent(
    proxied_staging: tuple[S3Staging, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, proxy = proxied_staging
    monkeypatch.setattr(staging_s3, "LARGEST_PUT", 10)
    with pytest.raises(StagingError, match="more than one object takes"):
        put(staging)
    assert proxy.seen == []


def test_doctor_notes_what_guards_the_bucket(s3_staging: S3Staging) -> None:
    client, bucket = s3_staging.client, s3_staging.place.name
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    found = {check.name: check.detail for check in s3_staging.check()}
    assert found["versioning"] == "enabled"
    assert found["public access"] == "not blocked"
    client.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True, "IgnorePublicAcls": True,
            "BlockPublicPolicy": True, "RestrictPublicBuckets": True,
        },
    )  # fmt: skip
    assert {c.name: c.detail for c in s3_staging.check()}["public access"] == "blocked"


def test_what_doctor_may_not_read_is_no_fault(proxied_staging: tuple[S3Staging, Proxy]) -> None:
    staging, proxy = proxied_staging

    def denied(_proxy: Proxy, request: Request) -> Answer | None:
        special = any(word in request.path for word in ("versioning", "encryption", "public"))
        return s3_error(403, "AccessDenied") if special else None

    proxy.fault = denied
    checks = staging.check()
    assert all(check.ok for check in checks)
    assert sum("not readable (AccessDenied)" in check.detail for check in checks) == 3


def test_a_public_bucket_on_aws_is_a_fault(proxied_staging: tuple[S3Staging, Proxy]) -> None:
    staging, _ = proxied_staging
    _ = staging.client
    staging.place = replace(staging.place, endpoint_url=None)  # as if it were AWS itself
    assert [check.name for check in staging.check() if not check.ok] == ["public access"]


_MEMORY = """
import re, sys
from pathlib import Path
from etl_assets.systems.connect import open_staging
staging = open_staging(sys.argv[1])
part = staging.put("small", Path(sys.argv[2]))
with staging.fetch([part]):
    pass
def peak():  # ru_maxrss begins at the size of the process that began this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
part = staging.put("large", Path(sys.argv[3]))
with staging.fetch([part]) as files:
    assert files[0].stat().st_size == part.bytes
print(peak() - before)
"""


@pytest.mark.usefixtures("aws_credentials")
def test_memory_does_not_grow_with_a_part(s3_place: Place, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(4 << 20))
    large.write_bytes(bytes(96 << 20))
    url = f"s3://{s3_place.name}/memory?endpoint_url={s3_place.endpoint_url}"
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, url, str(small), str(large)],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    assert int(done.stdout) < 16 << 10, "kilobytes"


@pytest.mark.usefixtures("aws_credentials")
def test_what_was_stored_is_there_after_a_kill(tmp_path: Path) -> None:
    """The stand-in itself: the local stack must not lose what it was given."""
    with S3Standin(tmp_path).running() as server:
        staging = S3Staging(Place("kept", "", "us-east-1", server.endpoint_url))
        staging.client.create_bucket(Bucket="kept")
        part = put(staging)
        server.stop(kill=True)
        server.start()
        assert fetched(staging, part) == CONTENT
        with pytest.raises(StagingError, match="exists already"):
            put(staging, b"other")
