"""What is staged and what is loaded must be the same: any other byte stops the load.

Parts, extracts, the manifest of a COPY and our own manifests are spoilt behind the store's back,
on both stores and with both warehouses. Each time the load must stop before its COMMIT, name the
object, and leave table and ledger as they were.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Extract, Stage
from etl_assets.references import latest_reference
from etl_assets.settings import Settings
from etl_assets.systems.aws import Place
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.chaos.corruption import Spoilt, bytes_of, fields_of
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.chaos.wires import StagedOnS3
from etl_assets_tests.dagster_fixtures import Platform as DagsterPlatform
from etl_assets_tests.dagster_fixtures import failures, open_platform
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform
from etl_assets_tests.systems.redshift_server import Redshift, RedshiftSettings

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]


@dataclass(frozen=True)
class S3Platform(DuckDBPlatform):
    """S3 and DuckDB."""

    place: Place

    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""
        plain = self.small.settings()
        return StagedOnS3(
            home=plain.home, datasets_folder=plain.datasets_folder, place=self.place, attempts=2
        )

    def damage(self, path: str, content: bytes | None) -> None:
        """Replace or remove an object."""
        damage_object(S3Staging(self.place), path, content)


def damage_object(staging: S3Staging, path: str, content: bytes | None) -> None:
    """Replace or remove an object, with the checksum of what it is now."""
    key = staging._key(path)
    staging.client.delete_object(Bucket=staging.place.name, Key=key)
    if content is not None:
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        staging.client.put_object(
            Bucket=staging.place.name, Key=key, Body=content, ChecksumSHA256=digest
        )


@dataclass(frozen=True)
class StagedSettings(RedshiftSettings):
    """Settings whose store is ours, in the bucket that COPY reads."""

    def open_staging(self) -> S3Staging:  # type: ignore[override]
        """Return the store."""
        assert self.server is not None
        bucket = self.server.bucket
        return S3Staging(Place(bucket.name, self.prefix, "us-east-1", bucket.endpoint))


@dataclass(frozen=True)
class StagedPlatform(RedshiftPlatform):
    """S3 and Redshift, with our store instead of the tests'."""

    def settings(self) -> StagedSettings:
        """Return settings that read the documents as they are now."""
        plain = self.redshift.settings(self.small)
        return StagedSettings(
            home=plain.home,
            datasets_folder=plain.datasets_folder,
            warehouse_url=plain.warehouse_url,
            server=self.redshift,
            prefix=plain.prefix,
        )

    def damage(self, path: str, content: bytes | None) -> None:
        """Replace or remove an object."""
        damage_object(self.settings().open_staging(), path, content)


@pytest.fixture(params=["files, DuckDB", "S3, DuckDB", "S3, Redshift"])
def platform(request: pytest.FixtureRequest, small: Small) -> Platform:
    """A platform with one load of SP17, whose source has changed since."""
    made: Platform
    if request.param == "files, DuckDB":
        made = DuckDBPlatform(small)
    elif request.param == "S3, DuckDB":
        made = S3Platform(small, request.getfixturevalue("s3_place"))
    else:
        request.getfixturevalue("aws_credentials")
        made = StagedPlatform(small, request.getfixturevalue("redshift"))
    made.refresh()
    small.run_sql("UPDATE sales SET amount = amount + 1")
    return made


def read(platform: Platform, path: str) -> bytes:
    """Return an object as it is in the store."""
    staging = platform.settings().open_staging()
    if not isinstance(staging, S3Staging):
        return (platform.small.home / "staging" / path).read_bytes()
    found = staging.client.get_object(Bucket=staging.place.name, Key=staging._key(path))
    return found["Body"].read()


def spoil(
    spoilt: Iterable[Spoilt], content: bytes, damage: Callable[[bytes | None], None]
) -> Iterator[str]:
    """Yield what was done, while it is done; put the object back each time."""
    for said, other in spoilt:
        if other == content:
            continue
        damage(other)
        yield said
        damage(content)


def test_no_spoilt_part_is_loaded(platform: Platform, figures: Figures, *, long_form: bool) -> None:
    chain, before = platform.chain, platform.state()
    staged = chain.stage()
    path, another = staged.parts[0].path, read(platform, chain.stage("AU17").parts[0].path)
    content = read(platform, path)
    on_files = type(platform) is DuckDBPlatform
    for said in spoilt_at(platform, path, bytes_of(content, another, every=long_form and on_files)):
        with pytest.raises(StagingError) as caught:
            chain.load(staged)
        named(caught.value, path, said)
        assert not long_form or platform.state() == before, said
        figures.add("spoilt parts")
    assert platform.state() == before
    chain.load(staged)
    assert platform.state() != before


def test_no_spoilt_extract_is_staged(
    platform: Platform, figures: Figures, *, long_form: bool
) -> None:
    chain, before = platform.chain, platform.state()
    extracted, another = chain.extract(), chain.extract("AU17")
    path = extracted.parts[0].path
    content = read(platform, path)
    on_files = type(platform) is DuckDBPlatform
    other = read(platform, another.parts[0].path)
    spoilt = bytes_of(content, other, every=long_form and on_files)
    for said in spoilt_at(platform, path, spoilt):
        with pytest.raises(StagingError) as caught:
            chain.stage(extracted=extracted)
        named(caught.value, path, said)
        figures.add("spoilt extracts")
    assert platform.state() == before
    chain.load(chain.stage(extracted=extracted))


@pytest.mark.usefixtures("aws_credentials")
def test_no_spoilt_manifest_of_a_copy_is_loaded(
    redshift: Redshift, small: Small, figures: Figures, *, long_form: bool
) -> None:
    platform = StagedPlatform(small, redshift)
    platform.refresh()
    chain, before = platform.chain, platform.state()
    small.run_sql("UPDATE sales SET amount = amount + 1")
    staged, another = chain.stage(), chain.stage("AU17")
    path = staged.copy_manifest
    content = read(platform, path)
    spoilt = [
        *bytes_of(content, read(platform, another.copy_manifest), every=False),
        *fields_of(content),
        ("with the part of another key", with_part_of(content, another)),
    ]
    for said in spoilt_at(platform, path, spoilt if long_form else spoilt[::4]):
        with pytest.raises(StagingError) as caught:
            chain.load(staged)
        named(caught.value, path, said)
        assert not long_form or platform.state() == before, said
        figures.add("spoilt manifests of a COPY")
    assert platform.state() == before
    chain.load(staged)


@pytest.fixture
def in_dagster(small: Small, tmp_path: Path) -> Iterator[DagsterPlatform]:
    """A platform with one load of SP17, whose changed source was extracted and staged."""
    with open_platform(small, tmp_path) as made:
        made.load("SP17")
        small.run_sql("UPDATE sales SET amount = amount + 1")
        assert made.run("SP17", "sales/rds_extract", "sales/s3_staging_csv").success
        yield made


def test_no_spoilt_manifest_of_ours_is_believed(
    in_dagster: DagsterPlatform, figures: Figures, *, long_form: bool
) -> None:
    staging = in_dagster.settings.open_staging()
    before = in_dagster.slices(), in_dagster.loads()
    for asset in ("rds_extract", "s3_staging_csv"):
        path = str(in_dagster.shown(f"sales/{asset}", "SP17")["etl_assets/manifest"])
        file = in_dagster.small.home / "staging" / path
        content = file.read_bytes()

        def refer(asset: str = asset) -> object:
            of = (in_dagster.instance, dg.AssetKey(["sales", asset]), "SP17")
            if asset == "rds_extract":
                return latest_reference(*of, Extract, staging)
            return latest_reference(*of, Stage, staging)

        whole = refer()
        another = content.replace(b"SP17", b"AU17")
        spoilt = [*bytes_of(content, another, every=False), *fields_of(content)]
        for said in spoil(spoilt if long_form else spoilt[::5], content, file_at(file)):
            try:
                assert refer() == whole, said  # another layout of the same is no harm
            except StagingError as error:
                named(error, path, said)
                figures.add("spoilt manifests of ours")
        file.write_text(json.dumps(json.loads(content)), encoding="utf-8")
        assert refer() == whole, "The digest is of what is said, not of blanks."

    file.write_bytes(another)  # the load would replace the slice of another key
    result = in_dagster.run("SP17", "sales/redshift_table")
    assert path in failures(result)["sales__redshift_table"]
    assert (in_dagster.slices(), in_dagster.loads()) == before
    file.write_bytes(content)
    assert in_dagster.run("SP17", "sales/redshift_table").success


def test_what_is_spoilt_is_never_what_it_was() -> None:
    content = json.dumps({"a": 1, "b": ["x", None], "c": True}, indent=2).encode()
    documents = [json.loads(other or b"{}") for _, other in fields_of(content)]
    assert json.loads(content) not in documents
    assert {"a": 2, "b": ["x", None], "c": True} in documents
    assert {"b": ["x", None], "c": True} in documents
    assert {"a": 1, "b": ["x", None], "c": False} in documents
    spoilt = dict(bytes_of(b"0123456789", b"another", every=True))
    assert b"0123456789" not in spoilt.values()
    assert len([said for said in spoilt if "byte" in said]) == 20


def spoilt_at(platform: Platform, path: str, spoilt: Iterable[Spoilt]) -> Iterator[str]:
    """Spoil a staged object of a platform; see `spoil`."""
    return spoil(spoilt, read(platform, path), lambda content: platform.damage(path, content))


def file_at(file: Path) -> Callable[[bytes | None], None]:
    """Return what replaces or removes a file."""

    def damage(content: bytes | None) -> None:
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)

    return damage


def named(error: StagingError, path: str, said: str) -> None:
    """Check that an error names the object and says what to do."""
    assert path in error.message, f"{said}: {error}"
    assert error.remedy, said


def with_part_of(content: bytes, another: Stage) -> bytes:
    """Return a manifest of a COPY that also names a part of another stage."""
    document = json.loads(content)
    entry = document["entries"][0]
    url = entry["url"].partition("/stage/")[0] + "/" + another.parts[0].path
    document["entries"].append({**entry, "url": url})
    return json.dumps(document, indent=2).encode()
