"""Files of feeds in S3: one PutObject each, with its SHA-256, in the place of what is there."""

import base64
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from etl_assets.core.errors import PermanentError
from etl_assets.systems.aws import ATTEMPTS, Place, aws_explained, make_client
from etl_assets.systems.staging import sha256_of
from etl_assets.systems.staging_s3 import LARGEST_PUT

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3Destination:
    """A prefix of a bucket; see `FileDestination`."""

    def __init__(self, place: Place, *, attempts: int = ATTEMPTS) -> None:
        """Remember where it is; nothing is connected before it is needed."""
        self.place = place
        self._attempts = attempts

    @cached_property
    def client(self) -> "S3Client":
        """The boto3 client."""
        return make_client("s3", self.place, attempts=self._attempts)

    def put(self, name: str, file: Path) -> None:
        """Send a file whole; see `FileDestination.put`."""
        size = file.stat().st_size
        if size > LARGEST_PUT:
            raise PermanentError(
                f"{name} has {size:,} bytes, more than S3 takes at once.",
                "Choose a smaller format, or a file per campaign.",
            )
        digest = base64.b64encode(bytes.fromhex(sha256_of(file))).decode()
        remedies = {"NoSuchBucket": "Create the bucket, or correct the feed's destination."}
        what = f"Writing {self.uri(name)}"
        with aws_explained(what, PermanentError, remedies), file.open("rb") as body:
            self.client.put_object(
                Bucket=self.place.name, Key=self._key(name), Body=body, ChecksumSHA256=digest
            )

    def uri(self, name: str) -> str:
        """Return the `s3:` URI of a name."""
        return f"s3://{self.place.name}/{self._key(name)}"

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self.place.prefix, name)))
