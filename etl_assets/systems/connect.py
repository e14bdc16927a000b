"""Which system a URL means."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl_assets.core.errors import PermanentError
from etl_assets.systems.aws import parse_place
from etl_assets.systems.protocols import RegistryStore, Source, Staging, Warehouse

if TYPE_CHECKING:
    from etl_assets.systems.input_database import InputDatabase
    from etl_assets.systems.registry_dynamodb import DynamoDBRegistry

DYNAMODB_FORM = "dynamodb://TABLE?region=REGION[&endpoint_url=URL]"
S3_FORM = "s3://BUCKET/PREFIX?region=REGION[&endpoint_url=URL]"


def open_registry(url: str, datasets: Collection[str]) -> RegistryStore:
    """Return the registry of a URL: `file:FOLDER` or `dynamodb://TABLE?region=REGION`.

    Raises:
        PermanentError: When the URL names no registry there is.
    """
    from etl_assets.systems.registry_files import FileRegistry

    if (folder := _path(url, "file:")) is not None:
        return FileRegistry(folder, datasets)
    if url.startswith("dynamodb://"):
        return open_dynamodb(url, datasets)
    raise _unknown("ETL_ASSETS_REGISTRY", url, f"file:FOLDER or {DYNAMODB_FORM}")


def open_dynamodb(url: str, datasets: Collection[str]) -> "DynamoDBRegistry":
    """Return the DynamoDB registry of a URL, which can also be written.

    Raises:
        PermanentError: When the URL names no DynamoDB table.
    """
    if not url.startswith("dynamodb://"):
        raise PermanentError(
            f"ETL_ASSETS_REGISTRY is no DynamoDB table (it begins `{url.partition(':')[0]}:`).",
            f"Write {DYNAMODB_FORM}; a registry of files is edited where it is.",
        )
    from etl_assets.systems.registry_dynamodb import DynamoDBRegistry

    place = parse_place(url, "ETL_ASSETS_REGISTRY", DYNAMODB_FORM)
    return DynamoDBRegistry(place, datasets)


def open_source(url: str, password: str = "") -> Source:
    """Return the source of a URL: `sqlite:///FILE` or `mysql+pymysql://…`.

    Args:
        url: Is shown, so it never holds a password.
        password: Of the URL's user, where the source has one and the URL names no secret.

    Raises:
        PermanentError: When the URL names no source there is.
    """
    expected = "sqlite:///FILE or mysql+pymysql://USER@HOST:PORT/DATABASE"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _unknown("ETL_ASSETS_SOURCE", url, expected) from None
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        from etl_assets.systems.source_sqlite import SqliteSource

        return SqliteSource(parsed)
    if parsed.get_backend_name() == "mysql":
        from etl_assets.systems.source_mysql import MysqlSource

        return MysqlSource(parsed, password)
    raise _unknown("ETL_ASSETS_SOURCE", url, expected)


def open_inputs(url: str, password: str = "") -> "InputDatabase":
    """Return the database that raw inputs are loaded into, of a URL as the source has it.

    Args:
        url: Is shown, so it never holds a password.
        password: Of the URL's user.

    Raises:
        PermanentError: When the URL names no such database.
    """
    from etl_assets.systems.input_database import InputDatabase
    from etl_assets.systems.input_engine import open_engine

    expected = "sqlite:///FILE or mysql+pymysql://USER@HOST:PORT/DATABASE"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _unknown("ETL_ASSETS_INPUTS", url, expected) from None
    if (engine := open_engine(parsed, password)) is None:
        raise _unknown("ETL_ASSETS_INPUTS", url, expected)
    return InputDatabase(engine)


def open_staging(url: str) -> Staging:
    """Return the staging store of a URL: `file:FOLDER` or `s3://BUCKET/PREFIX?region=REGION`.

    Errors as `open_registry`.
    """
    from etl_assets.systems.staging import FileStaging

    if (folder := _path(url, "file:")) is not None:
        return FileStaging(folder)
    if url.startswith("s3://"):
        from etl_assets.systems.staging_s3 import S3Staging

        return S3Staging(parse_place(url, "ETL_ASSETS_STAGING", S3_FORM))
    raise _unknown("ETL_ASSETS_STAGING", url, f"file:FOLDER or {S3_FORM}")


def open_warehouse(url: str, password: str = "", readers: str = "") -> Warehouse:
    """Return the warehouse of a URL: `duckdb:///FILE` or `redshift://…`; errors as `open_registry`.

    Args:
        url: The URL.
        password: Of the URL's user, where the warehouse has one and the URL names no secret.
        readers: Who may read the views, as ETL_ASSETS_READERS lists them; a file asks nobody.
    """
    from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse

    if (file := _path(url, "duckdb:///")) is not None:
        return DuckDBWarehouse(file)
    if url.startswith("redshift://"):
        from etl_assets.systems.redshift_readers import parse_readers
        from etl_assets.systems.warehouse_redshift import RedshiftWarehouse

        return RedshiftWarehouse(url, lambda: password, readers=parse_readers(readers))
    raise _unknown("ETL_ASSETS_WAREHOUSE", url, "duckdb:///FILE or redshift://USER@HOST/DATABASE")


def system_kind(url: str) -> str:
    """Return the name of the system behind a URL, as the UI shows it."""
    scheme = url.partition(":")[0].partition("+")[0]
    return {"file": "file", "sqlite": "sqlite", "duckdb": "duckdb"}.get(scheme, scheme)


def _path(url: str, prefix: str) -> Path | None:
    rest = url.removeprefix(prefix)
    return Path(rest) if rest != url and rest else None


def _unknown(variable: str, url: str, expected: str) -> PermanentError:
    scheme = url.partition(":")[0]  # never the rest: a URL may carry what must not be shown
    return PermanentError(
        f"{variable} names no system there is (it begins `{scheme}:`).", f"Write {expected}."
    )
