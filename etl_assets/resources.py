"""The four systems as Dagster resources: a URL each, opened where it is used."""

import dagster as dg
from pydantic import Field

from etl_assets.settings import Settings
from etl_assets.systems import connect
from etl_assets.systems.protocols import RegistryStore, Source, Staging, Warehouse


class _System(dg.ConfigurableResource[None]):
    """A system behind a URL."""


class RegistryResource(_System):
    """Campaigns, calendar and rule sets."""

    url: str = Field(description="`file:FOLDER` or `dynamodb://TABLE?region=REGION`.")
    datasets: list[str] = Field(description="Names that campaigns and rule sets may refer to.")

    def open(self) -> RegistryStore:
        """Return the registry; nothing is read yet."""
        return connect.open_registry(self.url, self.datasets)


class SourceResource(_System):
    """The database that records are extracted from."""

    url: str = Field(description="`sqlite:///FILE` or `mysql+pymysql://…`. Never holds a password.")

    def open(self) -> Source:
        """Return the source; nothing is connected yet.

        The password is no field, since the UI shows fields: it is read where it is used.
        """
        return connect.open_source(self.url, Settings.from_environment().source_password)


class StagingResource(_System):
    """The append-only store of extracts and staged parts."""

    url: str = Field(description="`file:FOLDER` or `s3://BUCKET/PREFIX?region=REGION`.")

    def open(self) -> Staging:
        """Return the store; nothing is written yet."""
        return connect.open_staging(self.url)


class WarehouseResource(_System):
    """The database that records are loaded into."""

    url: str = Field(description="`duckdb:///FILE` or `redshift://…`. Never holds a password.")

    def open(self) -> Warehouse:
        """Return the warehouse; nothing is connected yet."""
        return connect.open_warehouse(self.url, Settings.from_environment().warehouse_password)


def build_resources(settings: Settings) -> dict[str, object]:
    """Return the resources, by the names the assets ask for."""
    return {
        "registry": RegistryResource(url=settings.registry_url, datasets=sorted(settings.datasets)),
        "source": SourceResource(url=settings.source_url),
        "staging": StagingResource(url=settings.staging_url),
        "warehouse": WarehouseResource(url=settings.warehouse_url),
    }
