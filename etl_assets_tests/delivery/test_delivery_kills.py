"""Kill -9 at every step of a delivery, at every kind of destination.

At risk: half a file that somebody takes, half a table that somebody reads, or a feed that nobody
completes.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from etl_assets.systems.aws import Place
from etl_assets.systems.delivering import Login
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.chaos.boundaries import spread
from etl_assets_tests.delivery.platform import Home, write_feed
from etl_assets_tests.delivery.sftp import SftpServer
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import DuckDBPlatform

NAME = "sales.csv"
SHORT = 2
"""Steps that the short form kills at; the long one leaves none out."""

FILES = f"name: {NAME}\ndestination: "


class There(ABC):
    """What others see at a destination."""

    more: str

    @abstractmethod
    def state(self) -> Any:  # noqa: ANN401
        """Return what is there, whole."""


class Files(There):
    """A file and its manifest."""

    @abstractmethod
    def get(self, name: str) -> bytes | None: ...

    def state(self) -> bytes | None:
        return self.get(NAME)

    def proven(self) -> bool:
        """Return whether the manifest is of the file that is there."""
        content, manifest = self.get(NAME), self.get(f"{NAME}.manifest.json")
        assert content is not None
        assert manifest is not None
        return bool(json.loads(manifest)["sha256"] == hashlib.sha256(content).hexdigest())


class FolderFiles(Files):
    """A folder, which an SFTP server may serve."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.more = f"{FILES}{url}\n"

    def get(self, name: str) -> bytes | None:
        file = self.folder / name
        return file.read_bytes() if file.exists() else None


class S3Files(Files):
    """A prefix of a bucket."""

    def __init__(self, place: Place) -> None:
        self.place = place
        url = f"s3://{place.name}/feeds?region={place.region}&endpoint_url={place.endpoint_url}"
        self.more = f"{FILES}{url}\n"

    def get(self, name: str) -> bytes | None:
        client = S3Staging(self.place).client
        try:
            found = client.get_object(Bucket=self.place.name, Key=f"feeds/{name}")
        except client.exceptions.NoSuchKey:
            return None
        return found["Body"].read()


class Table(There):
    """A table of another database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.more = f"destination: {{url: '{url}', table: sales_feed}}\n"

    def state(self) -> list[str] | None:
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        if not sa.inspect(engine).has_table("sales_feed"):
            return None
        with engine.connect() as connection:
            found = connection.execute(sa.text("SELECT * FROM sales_feed ORDER BY 1, 2"))
            return [str(tuple(row)) for row in found]


@pytest.fixture(scope="module")
def sftp() -> Iterator[SftpServer]:
    """A server of OpenSSH's."""
    with SftpServer() as server:
        yield server


@pytest.fixture(params=["folder", "s3", "sftp", "sqlite", "mysql"])
def there(request: pytest.FixtureRequest, small: Small) -> There:
    """A destination, and a small platform with a load and a feed to it."""
    made: There
    if request.param == "folder":
        made = FolderFiles(small.home / "out", "file:out")
    elif request.param == "s3":
        made = S3Files(request.getfixturevalue("s3_place"))
    elif request.param == "sftp":
        server: SftpServer = request.getfixturevalue("sftp")
        made = FolderFiles(server.files, server.url())
    elif request.param == "sqlite":
        made = Table(f"sqlite:///{small.home}/other.sqlite")
    else:
        mariadb: MariaDBServer = request.getfixturevalue("mariadb")
        mariadb.run("CREATE DATABASE IF NOT EXISTS kills CHARACTER SET utf8mb4")
        made = Table(f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/kills")
    DuckDBPlatform(small).refresh("SP17")
    write_feed(small.home, "sales", made.more)
    return made


def test_a_killed_delivery_leaves_the_old_or_the_new_and_the_next_one_completes_it(
    there: There, small: Small, request: pytest.FixtureRequest, *, long_form: bool
) -> None:
    key = ""
    if "sftp" in there.more:
        key = str(request.getfixturevalue("sftp").folder / "user_key")
    aws = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    home = Home(small.home, Login(key_file=key), aws)
    home.deliver("sales")  # makes folders and tables
    steps = home.deliver_apart("sales")
    points = [n for n, step in enumerate(steps) if step.startswith("before") or n == len(steps) - 1]
    before = there.state()
    assert before is not None
    for point in points if long_form else spread(points, SHORT):
        DuckDBPlatform(small).write("UPDATE sales SET amount = amount + 1")
        home.deliver_apart("sales", point)
        left = there.state()
        home.deliver("sales", force=True)
        after = there.state()
        assert left in (before, after), steps[point]
        assert after != before
        assert not isinstance(there, Files) or there.proven()
        before = after
