"""The staging store in S3, or in a server compatible with it.

An object is sent whole by one PutObject, with its SHA-256 (S3 refuses other bytes) and
only if the key is free (`If-None-Match: *`): nothing is ever overwritten, and a request
that was answered too late may simply be sent again. Bytes are streamed in both
directions; memory does not grow with the size of a part. Nothing is listed but to clean.

On a versioned bucket, what is removed stays as an older version until the bucket's
lifecycle rule for noncurrent versions ends it.
"""

import base64
import contextlib
import datetime as dt
import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Part
from etl_assets.core.retention import StoredObject
from etl_assets.core.retries import BODY
from etl_assets.systems.aws import ATTEMPTS, Place, aws_explained, error_code, make_client
from etl_assets.systems.protocols import Check
from etl_assets.systems.scratch import scratch_folder
from etl_assets.systems.staging import sha256_of

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

LARGEST_PUT = 5 << 30
"""What one PutObject takes, in bytes."""

_BLOCK = 1 << 20
_DELETED_AT_ONCE = 1000
_PARALLEL = 4
_CHANCE = random.SystemRandom()
_AGAIN = "Refresh the campaign with --force; it makes new objects."
_REMEDIES = {
    "NoSuchBucket": "Create the bucket, or correct ETL_ASSETS_STAGING.",
    "404": "Create the bucket, or correct ETL_ASSETS_STAGING.",
    "NoSuchKey": _AGAIN,
    "InvalidObjectState": "The object is archived; refresh the campaign with --force.",
    "EntityTooLarge": "Make the parts smaller than 5 GiB.",
}


class S3Staging:
    """A staging store below a prefix of a bucket."""

    def __init__(
        self,
        place: Place,
        *,
        attempts: int = ATTEMPTS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Remember where the store is; nothing is connected before it is needed.

        Args:
            place: Bucket and prefix.
            attempts: How often a request is tried.
            pause: Waits so many seconds before an object is read again that was cut off.
        """
        self.place = place
        self._pause = pause
        self._attempts = attempts

    @cached_property
    def client(self) -> "S3Client":
        """The boto3 client; safe to share between threads."""
        return make_client("s3", self.place, attempts=self._attempts)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a private folder in the system's temporary folder; see `Staging.scratch`."""
        with contextlib.ExitStack() as stack:
            try:
                parent = Path(tempfile.gettempdir())
                folder = stack.enter_context(scratch_folder(parent, "etl_assets-scratch-"))
            except OSError as error:
                raise StagingError(
                    f"No scratch folder can be made: {error.strerror or error}.",
                    "Set TMPDIR to a folder with space for an extract and its parts.",
                ) from error
            yield folder

    def put(self, path: str, file: Path) -> Part:
        """Send a finished file; see `Staging.put`."""
        part = Part(path=path, bytes=file.stat().st_size, sha256=sha256_of(file))
        key = self._key(path)
        if part.bytes > LARGEST_PUT:
            raise StagingError(
                f"{file.name} has {part.bytes:,} bytes, more than one object takes at once.",
                _REMEDIES["EntityTooLarge"],
            )
        from botocore.exceptions import ClientError

        with self.explained("Writing", path), file.open("rb") as body:
            try:
                self.client.put_object(
                    Bucket=self.place.name,
                    Key=key,
                    Body=body,
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(part.sha256)).decode(),
                    IfNoneMatch="*",
                )
            except ClientError as error:
                if error_code(error) not in ("PreconditionFailed", "412"):
                    raise
                self._prove_same(part)
        return part

    def _prove_same(self, part: Part) -> None:
        """Raise unless the object that is there already is the part, as after a lost answer."""
        try:
            with self.scratch() as folder:
                self._fetch_one(part, folder / "there")
        except StagingError as error:
            raise StagingError(
                f"{self.uri(part.path)} exists already with other content.",
                "Run the refresh again; it writes under a new path.",
            ) from error

    def put_text(self, path: str, text: str) -> Part:
        """Store a small text; see `Staging.put_text`."""
        with self.scratch() as folder:
            file = folder / "text"
            file.write_text(text, encoding="utf-8")
            return self.put(path, file)

    def read_text(self, path: str) -> str:
        """Return a small text; see `Staging.read_text`."""
        key = self._key(path)

        def read() -> bytes:
            return self.client.get_object(Bucket=self.place.name, Key=key)["Body"].read()

        with self.explained("Reading", path):
            text = self._read_again(read)
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise StagingError(
                f"The staged object {self.uri(path)} was changed: it is not text.", _AGAIN
            ) from error

    @contextlib.contextmanager
    def fetch(self, parts: Sequence[Part]) -> Iterator[list[Path]]:
        """Give copies in a scratch folder, proven as they arrive; see `Staging.fetch`."""
        with self.scratch() as folder:
            files = [folder / f"{number:05}" for number in range(len(parts))]
            _ = self.client  # made once, before the threads
            with ThreadPoolExecutor(_PARALLEL) as pool:
                list(pool.map(self._fetch_one, parts, files))
            yield files

    def _fetch_one(self, part: Part, target: Path) -> None:
        key = self._key(part.path)

        def save() -> tuple[int, str]:
            answer = self.client.get_object(Bucket=self.place.name, Key=key)
            size = answer["ContentLength"]
            return size, _save(answer["Body"], target) if size == part.bytes else ""

        with self.explained("Reading", part.path):
            size, sha256 = self._read_again(save)
        self._compare(part, size, sha256)

    def _read_again(self, read: Callable[[], T]) -> T:
        """Return what a reading of a body returns; boto3 tries a request again, but no body."""
        from botocore.exceptions import (
            IncompleteReadError,
            ReadTimeoutError,
            ResponseStreamingError,
        )

        for pause in BODY.pauses(_CHANCE.uniform):
            try:
                return read()
            except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                self._pause(pause)
        return read()

    def verify(self, parts: Sequence[Part]) -> None:
        """Prove objects by the size and SHA-256 that S3 keeps of them; see `Staging.verify`."""
        _ = self.client  # made once, before the threads
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(self._verify_one, parts))

    def _verify_one(self, part: Part) -> None:
        with self.explained("Reading", part.path):
            answer = self.client.head_object(
                Bucket=self.place.name, Key=self._key(part.path), ChecksumMode="ENABLED"
            )
        kept = answer.get("ChecksumSHA256")
        if kept:
            self._compare(part, answer["ContentLength"], base64.b64decode(kept).hex())
        else:  # stored by something that sent no checksum: only the bytes can tell
            with self.fetch([part]):
                pass

    def _compare(self, part: Part, size: int, sha256: str) -> None:
        if (size, sha256) != (part.bytes, part.sha256):
            raise StagingError(
                f"The staged object {self.uri(part.path)} was changed or cut short"
                f" ({size} bytes, written with {part.bytes}).",
                _AGAIN,
            )

    def uri(self, path: str) -> str:
        """Return the `s3:` URI of a path."""
        return f"s3://{self.place.name}/{self._key(path)}"

    def download(self, path: str, target: Path) -> str:
        """Copy an object and return its SHA-256; see `Staging.download`."""

        def save() -> str:
            return _save(self.client.get_object(Bucket=self.place.name, Key=key)["Body"], target)

        key = self._key(path)
        with self.explained("Reading", path):
            return self._read_again(save)

    def objects(self, below: str = "") -> list[StoredObject]:
        """Return everything below the prefix, or in a folder there; see `Staging.objects`."""
        prefix = f"{self.place.prefix}/" if self.place.prefix else ""
        with self.explained("Listing", below):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.place.name, Prefix=f"{prefix}{below}/" if below else prefix
            )
            found = [
                StoredObject(
                    item["Key"].removeprefix(prefix),
                    item["Size"],
                    item["LastModified"].astimezone(dt.UTC),
                )
                for page in pages
                for item in page.get("Contents", [])
            ]
        return sorted(found, key=lambda stored: stored.path)

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects, many with one request; see `Staging.delete`."""
        for start in range(0, len(paths), _DELETED_AT_ONCE):
            some = paths[start : start + _DELETED_AT_ONCE]
            with self.explained("Removing", some[0]):
                answer = self.client.delete_objects(
                    Bucket=self.place.name,
                    Delete={"Objects": [{"Key": self._key(p)} for p in some], "Quiet": True},
                )
            for failed in answer.get("Errors", []):
                raise StagingError(
                    f"{failed.get('Key')} cannot be removed:"
                    f" {failed.get('Code')}, {failed.get('Message')}.",
                    "Allow s3:DeleteObject below the prefix and run it again; it goes on.",
                )

    def check(self) -> list[Check]:
        """Return whether an object can be written, read back and removed; and what guards it."""
        from etl_assets.systems.staging_s3_check import check_store

        return check_store(self)

    def explained(self, doing: str, path: str) -> contextlib.AbstractContextManager[None]:
        """Give the context in which what boto3 raises becomes an error of ours."""
        return aws_explained(f"{doing} {self.uri(path)}", StagingError, _REMEDIES)

    def _key(self, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise StagingError(f"{path!r} is not a path below the staging store.", "")
        return "/".join(filter(None, (self.place.prefix, path)))


def _save(body: "StreamingBody", target: Path) -> str:
    """Write an object's bytes to a file and return their SHA-256; memory is one block."""
    digest = hashlib.sha256()
    with contextlib.closing(body), target.open("wb") as handle:
        for block in body.iter_chunks(_BLOCK):
            handle.write(block)
            digest.update(block)
    return digest.hexdigest()
