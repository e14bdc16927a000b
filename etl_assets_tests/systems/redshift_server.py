"""The Redshift stand-in and S3 as a small platform's warehouse and staging store."""

import base64
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions as pg
from botocore.exceptions import ClientError

from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Part
from etl_assets.settings import Settings
from etl_assets.systems.staging import FileStaging, sha256_of
from etl_assets.systems.warehouse_redshift import RedshiftWarehouse
from etl_assets_tests.small import Small
from etl_assets_tests.standins.bucket import Bucket
from etl_assets_tests.standins.redshift import RedshiftStandin

ROLE = "arn:aws:iam::123456789012:role/loader"


class BucketStaging(FileStaging):
    """A store in a bucket; what is put is also kept as a file, to be fetched."""

    def __init__(self, folder: Path, bucket: Bucket, prefix: str) -> None:
        super().__init__(folder)
        self.bucket = bucket
        self.prefix = prefix

    def put(self, path: str, file: Path) -> Part:
        """Store a finished file in both places."""
        part = super().put(path, file)
        checksum = base64.b64encode(bytes.fromhex(part.sha256)).decode()
        self.bucket.client.put_object(
            Bucket=self.bucket.name, Key=self.key(path), Body=file.read_bytes(), ChecksumSHA256=checksum,
            ChecksumAlgorithm="SHA256",
        )  # fmt: skip
        return part

    def verify(self, parts: Sequence[Part]) -> None:
        """Prove the objects by size and SHA-256, as S3 knows them."""
        for part in parts:
            try:
                head = self.bucket.client.head_object(
                    Bucket=self.bucket.name, Key=self.key(part.path), ChecksumMode="ENABLED"
                )
            except ClientError as error:
                raise StagingError(f"{self.uri(part.path)} is missing.") from error
            checksum = base64.b64encode(bytes.fromhex(part.sha256)).decode()
            if (head["ContentLength"], head.get("ChecksumSHA256")) != (part.bytes, checksum):
                raise StagingError(f"{self.uri(part.path)} was changed or cut short.")

    def read_text(self, path: str) -> str:
        """Return a small text, from the bucket."""
        try:
            found = self.bucket.client.get_object(Bucket=self.bucket.name, Key=self.key(path))
        except ClientError as error:
            raise StagingError(f"{self.uri(path)} is missing.") from error
        return found["Body"].read().decode()

    def download(self, path: str, target: Path) -> str:
        """Copy an object of the bucket, as Redshift wrote it."""
        self.bucket.client.download_file(self.bucket.name, self.key(path), str(target))
        return sha256_of(target)

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects from both places."""
        super().delete(paths)
        for path in paths:
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=self.key(path))

    def uri(self, path: str) -> str:
        """Return the `s3:` URI of a path."""
        return f"s3://{self.bucket.name}/{self.key(path)}"

    def key(self, path: str) -> str:
        """Return the key of a path."""
        return f"{self.prefix}/{path}"


@dataclass(frozen=True)
class Redshift:
    """The running stand-in and a bucket, to make platforms on.

    Attributes:
        standin: Keeps tables between tests of a session; `clean` drops them.
    """

    standin: RedshiftStandin
    bucket: Bucket

    @property
    def url(self) -> str:
        """The warehouse's URL."""
        return self.url_at(self.standin.port)

    def url_at(self, port: int, host: str = "127.0.0.1") -> str:
        """Return the warehouse's URL through another port, such as a proxy's."""
        user, database = self.standin.user, self.standin.database
        return f"redshift://{user}@{host}:{port}/{database}?iam_role={ROLE}"

    def password(self) -> str:
        """Return the master user's password."""
        return self.standin.password

    def connect(self) -> pg.connection:
        """Return a connection of a reader, or of another writer."""
        return psycopg2.connect(self.standin.dsn)

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Query as a reader would."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(sql, list(parameters) or None)
            return [tuple(row) for row in cursor.fetchall()]

    def run(self, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    def clean(self) -> None:
        """Drop what earlier tests made, and see to it that the bucket is there."""
        self.bucket.make()
        views = self.query("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
        self.run(*(f'DROP VIEW public."{name}" CASCADE' for (name,) in views))
        made = self.query(
            "SELECT table_name FROM svv_columns WHERE table_schema = 'public' GROUP BY 1"
        )
        tables = [f'DROP TABLE public."{name}"' for (name,) in made]
        self.run("DROP SCHEMA IF EXISTS etl_assets CASCADE", *tables)

    def warehouse(self) -> RedshiftWarehouse:
        """Return a warehouse that does not pause between attempts."""
        return RedshiftWarehouse(self.url, self.password, sleep=lambda _: None)

    def settings(self, small: Small) -> "RedshiftSettings":
        """Return a platform's settings with this warehouse and a staging store of its own."""
        plain = small.settings()
        return RedshiftSettings(
            home=plain.home,
            datasets_folder=plain.datasets_folder,
            warehouse_url=self.url,
            staging_url=f"s3://{self.bucket.name}/{small.home.parent.name}",
            server=self,
            prefix=f"staging/{small.home.parent.name}",
        )


@dataclass(frozen=True)
class RedshiftSettings(Settings):
    """Settings whose staging store and warehouse are the stand-ins."""

    server: Redshift | None = None
    prefix: str = ""

    def open_staging(self) -> BucketStaging:
        """Return the store in the bucket."""
        assert self.server is not None
        return BucketStaging(self.home / "staging", self.server.bucket, self.prefix)

    def open_warehouse(self) -> RedshiftWarehouse:
        """Return the warehouse."""
        assert self.server is not None
        return self.server.warehouse()
