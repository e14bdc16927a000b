"""The objects a COPY reads from Amazon S3: the manifest, a prefix, and compressed parts."""

from __future__ import annotations

import bz2
import functools
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import zstandard

from etl_assets_tests.standins.redshift.copy_command import CopyCommand
from etl_assets_tests.standins.redshift.errors import SqlError

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

_BLOCK = 256 * 1024


@dataclass(frozen=True)
class S3Settings:
    """Where the objects are.

    Attributes:
        endpoint: The endpoint's URL; buckets are addressed in the path.
        access_key: The access key for commands that name an IAM role.
        secret_key: Its secret.
        region: The region to sign for.
    """

    endpoint: str
    access_key: str = "standin"
    secret_key: str = "standin"
    region: str = "us-east-1"


class Decompressor(Protocol):
    """What gzip, bzip2 and zstandard decompressors share."""

    def decompress(self, data: bytes) -> bytes:
        """Return what some more data decompresses to."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)

    def decompress(self, data: bytes) -> bytes:
        return self._inner.decompress(data)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _new_decompressor(compression: str) -> Decompressor:
    if compression == "GZIP":
        return _Gzip()
    if compression == "BZIP2":
        return bz2.BZ2Decompressor()
    return zstandard.ZstdDecompressor().decompressobj()


def decompress(blocks: Iterator[bytes], compression: str, url: str) -> Iterator[bytes]:
    """Yield the content of a compressed object, which may hold several streams in a row.

    Args:
        blocks: The object's bytes.
        compression: The COPY option's word, empty for none.
        url: The object's address, for the error.

    Raises:
        SqlError: If the object is not what the option says, or is cut short.
    """
    if not compression:
        yield from blocks
        return
    stream, pending = _new_decompressor(compression), False
    try:
        for block in blocks:
            data = block
            while data:
                pending = True
                yield stream.decompress(data)
                data = b""
                if stream.eof:
                    data, pending = stream.unused_data, False
                    stream = _new_decompressor(compression)
    except (zlib.error, OSError, EOFError, zstandard.ZstdError):
        raise _broken(compression, url) from None
    if pending:
        raise _broken(compression, url)


def _broken(compression: str, url: str) -> SqlError:
    return SqlError("XX000", f"Failed to decompress {compression} file {url}", "file is corrupt")


def split_url(url: str) -> tuple[str, str]:
    """Return the bucket and key of an `s3://` address.

    Args:
        url: The address.

    Raises:
        SqlError: If it names no bucket and key.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise SqlError("22023", f"The S3 path '{url}' is not valid")
    return bucket, key


@functools.lru_cache(maxsize=8)
def _client(settings: S3Settings, key: str, secret: str, token: str | None) -> S3Client:
    """Return a client, made once: making one costs more than a small load."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
    )


def make_client(settings: S3Settings) -> S3Client:
    """Return a client with the keys of commands that name an IAM role."""
    return _client(settings, settings.access_key, settings.secret_key, None)


class S3Source:
    """The objects of one COPY."""

    def __init__(self, settings: S3Settings, command: CopyCommand) -> None:
        keys = command.access_key
        self._command = command
        self._client = _client(
            settings,
            keys.get("id", settings.access_key),
            keys.get("secret", settings.secret_key),
            keys.get("token"),
        )

    def urls(self) -> list[str]:
        """Return the addresses of the objects to load, in order.

        Raises:
            SqlError: If there is nothing to load or the manifest is wrong.
        """
        url = self._command.url
        bucket, key = split_url(url)
        if "MANIFEST" in self._command.flags:
            return self._manifest(url)
        found: list[str] = []
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=key
            )
            for page in pages:
                found += [f"s3://{bucket}/{o['Key']}" for o in page.get("Contents", [])]
        except Exception as error:
            raise _service_error(error, url) from error
        if not found:
            raise SqlError("XX000", f"The specified S3 prefix '{key}' does not exist")
        return found

    def _manifest(self, url: str) -> list[str]:
        body = self._object(url)
        if body is None:
            raise SqlError(
                "XX000",
                "Problem reading manifest file - S3ServiceException:The specified key does not "
                "exist.,Status 404,Error NoSuchKey",
                f"error:  code: 8001, context: COPY with MANIFEST parameter requires full path of "
                f"an Amazon S3 object, location: {url}",
            )
        try:
            with body:
                entries = json.loads(body.read().decode("utf-8"))["entries"]
            checked = [self._entry(entry) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SqlError("XX000", f"The manifest file {url} is not valid JSON") from None
        found = [c for c in checked if c]
        if not checked:
            raise SqlError("XX000", f"The manifest file {url} has no entries")
        return found

    def _entry(self, entry: dict[str, Any]) -> str:
        """Check an entry of the manifest; return its address, empty for one to skip."""
        url, mandatory = entry["url"], entry.get("mandatory", False)
        if not isinstance(mandatory, bool):
            raise TypeError("mandatory is not a boolean")
        bucket, key = split_url(url)
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            if not _is_missing(error):
                raise _service_error(error, url) from error
            if mandatory:
                raise SqlError(
                    "XX000",
                    "Mandatory url is not present in manifest file or S3",
                    f"error:  code: 1212, context: Load file not found, location: {url}",
                ) from None
            return ""
        length = entry.get("meta", {}).get("content_length")
        if length is not None and length != head["ContentLength"]:
            message = (
                f"The file {url} has {head['ContentLength']} bytes, the manifest says {length}"
            )
            raise SqlError("XX000", message)
        return str(url)

    def _object(self, url: str) -> StreamingBody | None:
        """Return an object's body, or None if there is no such object."""
        bucket, key = split_url(url)
        try:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"]
        except Exception as error:
            if _is_missing(error):
                return None
            raise _service_error(error, url) from error

    def read(self, url: str) -> Iterator[bytes]:
        """Yield the decompressed content of an object.

        Args:
            url: The object's address.

        Raises:
            SqlError: If it cannot be read.
        """
        body = self._object(url)
        if body is None:
            raise SqlError("XX000", "S3ServiceException:The specified key does not exist.", url)
        with body:
            yield from decompress(_blocks(body, url), self._command.compression, url)


def _blocks(body: StreamingBody, url: str) -> Iterator[bytes]:
    try:
        yield from body.iter_chunks(_BLOCK)
    except Exception as error:
        raise _service_error(error, url) from error


def _is_missing(error: Exception) -> bool:
    response: dict[str, Any] = getattr(error, "response", {})
    return response.get("Error", {}).get("Code") in ("404", "NoSuchKey", "NotFound")


def _service_error(error: Exception, url: str) -> SqlError:
    """Return the error of a request to S3 that failed for another reason than a missing key."""
    response: dict[str, Any] = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", type(error).__name__)
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return SqlError("XX000", f"S3ServiceException:{code},Status {status},Error {code}", url)
