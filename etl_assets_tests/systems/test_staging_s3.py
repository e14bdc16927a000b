"""S3 fails in ways a folder does not: busy, cut off, answered too late, or another's bucket."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from etl_assets.core.errors import PermanentError, StagingError, TransientError
from etl_assets.core.manifest import Part
from etl_assets.systems import staging_s3
from etl_assets.systems.aws import Place
from etl_assets.systems.connect import open_staging, system_kind
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.standins.proxy import Answer, CutError, Proxy, Request, first, s3_error
from etl_assets_tests.standins.s3 import S3Standin

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def spoiled(
    s3_place: Place,
    s3_proxy: tuple[Proxy, str],
    no_backoff: None,  # noqa: ARG001  (patches boto3)
) -> tuple[S3Staging, Proxy]:
    """A store reached through a proxy; a request is tried three times."""
    proxy, url = s3_proxy
    return S3Staging(replace(s3_place, endpoint_url=url), attempts=3), proxy


def put(staging: S3Staging, content: bytes = CONTENT, path: str = "a/part-0") -> Part:
    with staging.scratch() as folder:
        (folder / "file").write_bytes(content)
        return staging.put(path, folder / "file")


def fetched(staging: S3Staging, part: Part) -> bytes:
    with staging.fetch([part]) as files:
        return files[0].read_bytes()


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_get(request: Request) -> bool:
    return request.method == "GET"


BUSY = [s3_error(503, "SlowDown"), s3_error(500, "InternalError"), Answer(503), Answer(502)]


@pytest.mark.parametrize("answer", BUSY, ids=["slow down", "internal", "503", "502"])
def test_a_busy_s3_that_recovers_is_not_noticed(
    spoiled: tuple[S3Staging, Proxy], answer: Answer
) -> None:
    staging, proxy = spoiled
    proxy.fault = first(2, is_put, answer)
    part = put(staging)
    proxy.fault = first(2, is_get, answer)
    assert fetched(staging, part) == CONTENT
    assert (proxy.count("PUT"), proxy.count("GET")) == (3, 3)


@pytest.mark.parametrize("answer", BUSY, ids=["slow down", "internal", "503", "502"])
def test_a_busy_s3_that_never_recovers_is_a_transient_error_and_writes_nothing(
    spoiled: tuple[S3Staging, Proxy], s3_staging: S3Staging, answer: Answer
) -> None:
    staging, proxy = spoiled
    proxy.fault = lambda _proxy, _request: answer
    part = put(s3_staging, path="there")
    with pytest.raises(TransientError, match=r"Writing s3://.*/a/part-0 failed") as caught:
        put(staging)
    assert caught.value.remedy
    with pytest.raises(TransientError, match=r"Reading s3://.*/there failed"):
        fetched(staging, part)
    with pytest.raises(TransientError):
        staging.read_text("there")
    with pytest.raises(TransientError):
        staging.objects()
    with pytest.raises(TransientError):
        staging.delete(["there"])
    assert [item.path for item in s3_staging.objects()] == ["there"]


def test_an_s3_that_cannot_be_reached_is_a_transient_error(s3_place: Place) -> None:
    staging = S3Staging(replace(s3_place, endpoint_url="http://127.0.0.1:9"), attempts=1)
    with pytest.raises(TransientError, match="EndpointConnectionError"):
        put(staging)
    (check,) = staging.check()
    assert not check.ok


def test_an_answer_that_got_lost_is_asked_for_again_and_not_taken_for_another_object(
    spoiled: tuple[S3Staging, Proxy],
) -> None:
    """S3 stored the part; the second request finds the key taken, by the same bytes."""
    staging, proxy = spoiled
    lost: list[Request] = []

    def fault(proxy: Proxy, request: Request) -> Answer | None:
        if not is_put(request) or lost:
            return None
        lost.append(request)
        assert proxy.forward(request).status == 200
        return Answer(503)

    proxy.fault = fault
    part = put(staging)
    assert proxy.count("PUT") == 2
    assert fetched(staging, part) == CONTENT


def test_a_key_taken_by_other_bytes_is_refused_after_a_lost_answer_too(
    spoiled: tuple[S3Staging, Proxy],
) -> None:
    staging, proxy = spoiled
    taken: list[Request] = []

    def fault(proxy: Proxy, request: Request) -> Answer | None:
        if not is_put(request) or taken:
            return None
        taken.append(request)
        put(S3Staging(replace(staging.place, endpoint_url=proxy.server_url)), b"another")
        return Answer(503)

    proxy.fault = fault
    with pytest.raises(StagingError, match="exists already with other content"):
        put(staging)


def test_bytes_changed_on_their_way_are_refused_by_s3_and_nothing_is_stored(
    spoiled: tuple[S3Staging, Proxy], s3_staging: S3Staging
) -> None:
    staging, proxy = spoiled

    def flip(proxy: Proxy, request: Request) -> Answer | None:
        spoilt = b"X" + request.body[1:]
        return proxy.forward(request, body=spoilt) if is_put(request) else None

    proxy.fault = flip
    with pytest.raises(TransientError, match="BadDigest"):
        put(staging)
    assert s3_staging.objects() == []


def test_a_wrong_checksum_is_refused_by_s3(
    s3_staging: S3Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was changed between its SHA-256 and its sending."""
    monkeypatch.setattr(staging_s3, "sha256_of", lambda _file: "00" * 32)
    with pytest.raises(TransientError, match="BadDigest"):
        put(s3_staging)
    assert s3_staging.objects() == []


def test_a_download_that_is_cut_off_is_begun_again(spoiled: tuple[S3Staging, Proxy]) -> None:
    staging, proxy = spoiled
    part = put(staging)
    cuts = [100, len(CONTENT) - 1]

    def cut(_proxy: Proxy, request: Request) -> Answer | None:
        if is_get(request) and cuts:
            raise CutError(cuts.pop())
        return None

    proxy.fault = cut
    assert fetched(staging, part) == CONTENT
    assert proxy.count("GET") == 3


def test_a_download_that_is_always_cut_off_is_a_transient_error(
    spoiled: tuple[S3Staging, Proxy],
) -> None:
    staging, proxy = spoiled
    part = put(staging)

    def cut(_proxy: Proxy, request: Request) -> Answer | None:
        if is_get(request):
            raise CutError(1000)
        return None

    proxy.fault = cut
    with pytest.raises(TransientError, match="Reading s3://"):
        fetched(staging, part)


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        ("AccessDenied", 403, "policy"),
        ("InvalidAccessKeyId", 403, "credentials"),
        ("ExpiredToken", 400, "credentials"),
        ("NoSuchBucket", 404, "Create the bucket"),
        ("PermanentRedirect", 301, "region="),
        ("RequestTimeTooSkewed", 403, "clock"),
    ],
)
def test_what_s3_refuses_is_a_permanent_error_with_its_remedy(
    spoiled: tuple[S3Staging, Proxy], code: str, status: int, remedy: str
) -> None:
    staging, proxy = spoiled
    proxy.fault = first(99, is_put, s3_error(status, code))
    with pytest.raises(StagingError, match=code) as caught:
        put(staging)
    assert remedy in caught.value.remedy


def test_a_bucket_that_is_not_there_is_named(s3_place: Place) -> None:
    staging = S3Staging(replace(s3_place, name="no-such-bucket"))
    with pytest.raises(StagingError, match="NoSuchBucket"):
        put(staging)
    (check,) = staging.check()
    assert not check.ok
    assert "no-such-bucket" in check.detail
    assert "Create the bucket" in check.remedy


def test_an_object_that_is_not_there_says_what_to_do(s3_staging: S3Staging) -> None:
    with pytest.raises(StagingError, match="NoSuchKey") as caught:
        s3_staging.read_text("a/manifest.json")
    assert "--force" in caught.value.remedy


def test_a_removal_that_s3_refuses_names_the_object(spoiled: tuple[S3Staging, Proxy]) -> None:
    staging, proxy = spoiled
    body = (
        b"<DeleteResult><Error><Key>some/prefix/a</Key><Code>AccessDenied</Code>"
        b"<Message>no</Message></Error></DeleteResult>"
    )
    proxy.fault = lambda _proxy, r: Answer(200, body) if r.method == "POST" else None
    with pytest.raises(StagingError, match="some/prefix/a cannot be removed: AccessDenied"):
        staging.delete(["a"])


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
    spoiled: tuple[S3Staging, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    staging, proxy = spoiled
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


def test_what_doctor_may_not_read_is_no_fault(spoiled: tuple[S3Staging, Proxy]) -> None:
    staging, proxy = spoiled

    def denied(_proxy: Proxy, request: Request) -> Answer | None:
        special = any(word in request.path for word in ("versioning", "encryption", "public"))
        return s3_error(403, "AccessDenied") if special else None

    proxy.fault = denied
    checks = staging.check()
    assert all(check.ok for check in checks)
    assert sum("not readable (AccessDenied)" in check.detail for check in checks) == 3


def test_a_public_bucket_on_aws_is_a_fault(spoiled: tuple[S3Staging, Proxy]) -> None:
    staging, _ = spoiled
    _ = staging.client
    staging.place = replace(staging.place, endpoint_url=None)  # as if it were AWS itself
    assert [check.name for check in staging.check() if not check.ok] == ["public access"]


def test_no_scratch_folder_is_a_clear_error(
    s3_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with pytest.raises(StagingError, match="No space left") as caught:
        S3Staging(s3_place).put_text("a", "b")
    assert "TMPDIR" in caught.value.remedy


_MEMORY = """
import resource, sys
from pathlib import Path
from etl_assets.systems.connect import open_staging
staging = open_staging(sys.argv[1])
part = staging.put("small", Path(sys.argv[2]))
with staging.fetch([part]):
    pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
part = staging.put("large", Path(sys.argv[3]))
with staging.fetch([part]) as files:
    assert files[0].stat().st_size == part.bytes
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
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
def test_a_url_that_is_not_one_is_refused_with_how_it_is_written(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match="ETL_ASSETS_STAGING") as caught:
        open_staging(url)
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "s3://BUCKET/PREFIX" in str(caught.value) or "boto3 finds" in str(caught.value)


@pytest.mark.usefixtures("aws_credentials")
def test_a_url_names_bucket_prefix_region_and_endpoint() -> None:
    staging = open_staging("s3://b/x/y/?region=eu-west-1&endpoint_url=http%3A%2F%2F127.0.0.1%3A9")
    assert isinstance(staging, S3Staging)
    assert staging.place == Place("b", "x/y", "eu-west-1", "http://127.0.0.1:9")
    assert staging.client.meta.region_name == "eu-west-1"
    assert system_kind("s3://b") == "s3"
    with pytest.raises(PermanentError, match="region of b is not known"):
        open_staging("s3://b").put_text("a", "b")


def test_no_credentials_at_all_is_a_clear_error(
    s3_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StagingError, match="NoCredentialsError") as caught:
        S3Staging(s3_place).put_text("a", "b")
    assert "credentials" in caught.value.remedy
