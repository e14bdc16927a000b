"""What tests of the S3 store put into it."""

from etl_assets.core.manifest import Part
from etl_assets.systems.staging_s3 import S3Staging

CONTENT = bytes(range(256)) * 4096


def put(staging: S3Staging, content: bytes = CONTENT, path: str = "a/part-0") -> Part:
    """Store some bytes."""
    with staging.scratch() as folder:
        (folder / "file").write_bytes(content)
        return staging.put(path, folder / "file")


def fetched(staging: S3Staging, part: Part) -> bytes:
    """Return what is stored."""
    with staging.fetch([part]) as files:
        return files[0].read_bytes()
