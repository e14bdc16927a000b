"""S3 fails in ways a folder does not: busy, cut off, answered too late, or refusing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from etl_assets.core.errors import StagingError, TransientError
from etl_assets.core.manifest import Part
from etl_assets.systems import staging_s3
from etl_assets.systems.aws import Place
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.standins.proxy import Answer, CutError, Proxy, Request, first, s3_error
from etl_assets_tests.systems.staging_puts import CONTENT, fetched, put


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_get(request: Request) -> bool:
    return request.method == "GET"


def text_of(staging: S3Staging, part: Part) -> bytes:
    return staging.read_text(part.path).encode()


BUSY = [s3_error(503, "SlowDown"), s3_error(500, "InternalError"), Answer(503), Answer(502)]


@pytest.mark.parametrize("answer", BUSY, ids=["slow down", "internal", "503", "502"])
def test_a_busy_s3_that_recovers_is_not_noticed(
    proxied_staging: tuple[S3Staging, Proxy], answer: Answer
) -> None:
    staging, proxy = proxied_staging
    proxy.fault = first(2, is_put, answer)
    part = put(staging)
    proxy.fault = first(2, is_get, answer)
    assert fetched(staging, part) == CONTENT
    assert (proxy.count("PUT"), proxy.count("GET")) == (3, 3)


@pytest.mark.parametrize("answer", BUSY, ids=["slow down", "internal", "503", "502"])
def test_a_busy_s3_that_never_recovers_is_a_transient_error_and_writes_nothing(
    proxied_staging: tuple[S3Staging, Proxy], s3_staging: S3Staging, answer: Answer
) -> None:
    staging, proxy = proxied_staging
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
    proxied_staging: tuple[S3Staging, Proxy],
) -> None:
    """S3 stored the part; the second request finds the key taken, by the same bytes."""
    staging, proxy = proxied_staging
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
    proxied_staging: tuple[S3Staging, Proxy],
) -> None:
    staging, proxy = proxied_staging
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
    proxied_staging: tuple[S3Staging, Proxy], s3_staging: S3Staging
) -> None:
    staging, proxy = proxied_staging

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


@pytest.mark.parametrize("read", [fetched, text_of])
def test_what_is_read_and_cut_off_is_begun_again(
    proxied_staging: tuple[S3Staging, Proxy], read: Callable[[S3Staging, Part], bytes]
) -> None:
    staging, proxy = proxied_staging
    content = b"a text " * 10_000
    part = put(staging, content)
    cuts = [100, len(content) - 1]

    def cut(_proxy: Proxy, request: Request) -> Answer | None:
        if is_get(request) and cuts:
            raise CutError(cuts.pop())
        return None

    proxy.fault = cut
    assert read(staging, part) == content
    assert proxy.count("GET") == 3


def test_a_download_that_is_always_cut_off_is_a_transient_error(
    proxied_staging: tuple[S3Staging, Proxy],
) -> None:
    staging, proxy = proxied_staging
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
    proxied_staging: tuple[S3Staging, Proxy], code: str, status: int, remedy: str
) -> None:
    staging, proxy = proxied_staging
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


def test_a_removal_that_s3_refuses_names_the_object(
    proxied_staging: tuple[S3Staging, Proxy],
) -> None:
    staging, proxy = proxied_staging
    body = (
        b"<DeleteResult><Error><Key>some/prefix/a</Key><Code>AccessDenied</Code>"
        b"<Message>no</Message></Error></DeleteResult>"
    )
    proxy.fault = lambda _proxy, r: Answer(200, body) if r.method == "POST" else None
    with pytest.raises(StagingError, match="some/prefix/a cannot be removed: AccessDenied"):
        staging.delete(["a"])


def test_no_scratch_folder_is_a_clear_error(
    s3_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(StagingError, match="No space left") as caught:
        S3Staging(s3_place).put_text("a", "b")
    assert "TMPDIR" in caught.value.remedy


def test_no_credentials_at_all_is_a_clear_error(
    s3_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StagingError, match="NoCredentialsError") as caught:
        S3Staging(replace(s3_place, prefix="no-client-yet")).put_text("a", "b")
    assert "credentials" in caught.value.remedy


def test_an_endpoint_that_does_not_prove_who_it_is_is_not_tried_again(
    proxied_staging: tuple[S3Staging, Proxy],
) -> None:
    staging, proxy = proxied_staging
    url = str(staging.place.endpoint_url).replace("http:", "https:")
    with pytest.raises(StagingError, match="SSLError") as caught:
        S3Staging(replace(staging.place, endpoint_url=url), attempts=2).put_text("a", "b")
    assert "CA bundle" in caught.value.remedy
    assert proxy.seen == []
