"""Which system a URL means."""

from collections.abc import Callable, Collection
from pathlib import Path

import sqlalchemy as sa

from etl_assets.core.errors import PermanentError
from etl_assets.systems.protocols import RegistryStore, Source, Staging, Warehouse


def open_registry(url: str, datasets: Collection[str]) -> RegistryStore:
    """Return the registry of a URL: `file:FOLDER`.

    Raises:
        PermanentError: When the URL names no registry there is.
    """
    from etl_assets.systems.registry_files import FileRegistry

    if (folder := _path(url, "file:")) is not None:
        return FileRegistry(folder, datasets)
    raise _unknown("ETL_ASSETS_REGISTRY", url, "file:FOLDER")


def open_source(url: str) -> Source:
    """Return the source of a URL: `sqlite:///FILE`; errors as `open_registry`."""
    from etl_assets.systems.source_sqlite import SqliteSource

    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _unknown("ETL_ASSETS_SOURCE", url, "sqlite:///FILE") from None
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        return SqliteSource(parsed)
    raise _unknown("ETL_ASSETS_SOURCE", url, "sqlite:///FILE")


def open_staging(url: str) -> Staging:
    """Return the staging store of a URL: `file:FOLDER`; errors as `open_registry`."""
    from etl_assets.systems.staging import FileStaging

    if (folder := _path(url, "file:")) is not None:
        return FileStaging(folder)
    raise _unknown("ETL_ASSETS_STAGING", url, "file:FOLDER")


def open_warehouse(url: str, password: Callable[[], str]) -> Warehouse:
    """Return the warehouse of a URL: `duckdb:///FILE` or `redshift://…`; errors as `open_registry`.

    Args:
        url: The URL.
        password: Returns the password, when a login needs one.
    """
    from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse

    if (file := _path(url, "duckdb:///")) is not None:
        return DuckDBWarehouse(file)
    if url.startswith("redshift://"):
        from etl_assets.systems.warehouse_redshift import RedshiftWarehouse

        return RedshiftWarehouse(url, password)
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
