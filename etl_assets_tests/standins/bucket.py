"""A bucket of an S3 stand-in in this process, as COPY reads it."""

import contextlib
import gzip
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Bucket:
    """A bucket, and manifests in it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self._keys = itertools.count()
        self.client: S3Client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="standin",
            aws_secret_access_key="standin",
        )
        self.make()

    def make(self) -> None:
        """Make the bucket, unless it is there.

        moto keeps it in this process, where a test that enters `mock_aws` forgets it.
        """
        self.client.create_bucket(Bucket=self.name)

    def put(self, body: bytes, key: str = "") -> str:
        """Store an object and return its address."""
        key = key or f"object-{next(self._keys)}"
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"s3://{self.name}/{key}"

    def manifest(self, *entries: dict[str, Any]) -> str:
        """Store a manifest and return its address."""
        return self.put(json.dumps({"entries": list(entries)}).encode())

    def load(self, *parts: bytes) -> str:
        """Store gzip parts with their manifest; return the manifest's address."""
        urls = [self.put(gzip.compress(part)) for part in parts]
        return self.manifest(*({"url": url, "mandatory": True} for url in urls))


@contextlib.contextmanager
def serve_bucket(name: str) -> Iterator[Bucket]:
    """Run an S3 stand-in on a free port, with one bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Bucket(f"http://{host}:{port}", name)
    finally:
        server.stop()
