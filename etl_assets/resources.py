"""The four systems as Dagster resources: a URL each, opened where it is used.

Raw inputs are a fifth, made of two URLs: the staging store's, and that of the database they are
loaded into, which is the source's unless it is another.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, PrivateAttr

from etl_assets.core.registry import Registry
from etl_assets.settings import Settings, open_inputs
from etl_assets.systems import connect
from etl_assets.systems.protocols import RegistryStore, Source, Staging, Warehouse

if TYPE_CHECKING:
    from etl_assets.inputs.inputs import Inputs

REVISION_TAG = "etl_assets/registry_revision"
"""A run reads the registry as it was at this revision, and so does its automatic retry."""

_PARENT_TAG, _RETRY_TAG = "dagster/parent_run_id", "dagster/retry_number"
"""What a run has that was started again, and one that Dagster started again by itself."""


class _System(dg.ConfigurableResource[None]):
    """A system behind a URL."""


class RegistryResource(_System):
    """Campaigns, calendar and rule sets."""

    url: str = Field(description="`file:FOLDER` or `dynamodb://TABLE?region=REGION`.")
    datasets: list[str] = Field(description="Names that campaigns and rule sets may refer to.")
    _pinned: tuple[str, Registry] | None = PrivateAttr(default=None)

    def open(self) -> RegistryStore:
        """Return the registry; nothing is read yet."""
        return connect.open_registry(self.url, self.datasets)

    def pinned(self, run: dg.DagsterRun, instance: dg.DagsterInstance) -> Registry:
        """Return what a run reads of the registry: the same in every step and every retry.

        It is read once per process, as of the revision in the run's tags. Where the run has
        none yet, the revision read becomes its tag, which a run that Dagster starts again when
        its process died inherits. A run that a person started again reads the registry as it
        is: perhaps it was corrected for that.

        Raises:
            RegistryError: As `RegistryStore.read`, with what else that raises.
        """
        if self._pinned is None or self._pinned[0] != run.run_id:
            by_hand = _PARENT_TAG in run.tags and _RETRY_TAG not in run.tags
            tag = None if by_hand else run.tags.get(REVISION_TAG)
            read = self.open().read(int(tag) if tag else None)
            if tag is None and read.revision is not None:
                instance.add_run_tags(run.run_id, revision_tags(read))
            self._pinned = (run.run_id, read)
        return self._pinned[1]


def revision_tags(read: Registry) -> dict[str, str]:
    """Return the tags of a run that was decided on by this reading."""
    return {} if read.revision is None else {REVISION_TAG: str(read.revision)}


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


class InputsResource(_System):
    """The files that raw sources deliver, their contracts, and where they are loaded."""

    url: str = Field(description="`sqlite:///FILE` or `mysql+pymysql://…`. Never holds a password.")
    staging_url: str = Field(description="Where the files arrive, below `inputs/`.")
    contracts: str = Field(description="The folder of the contracts.")

    def open(self) -> "Inputs":
        """Return the inputs, with the contracts as they are now; nothing is connected yet.

        Raises:
            DocumentError: When a contract is not valid.
        """
        return open_inputs(
            Path(self.contracts),
            connect.open_staging(self.staging_url),
            self.url,
            Settings.from_environment().inputs_password,
        )


class WarehouseResource(_System):
    """The database that records are loaded into."""

    url: str = Field(description="`duckdb:///FILE` or `redshift://…`. Never holds a password.")

    def open(self) -> Warehouse:
        """Return the warehouse; nothing is connected yet."""
        settings = Settings.from_environment()
        return connect.open_warehouse(self.url, settings.warehouse_password, settings.readers)


def build_resources(settings: Settings) -> dict[str, object]:
    """Return the resources, by the names the assets ask for."""
    return {
        "registry": RegistryResource(url=settings.registry_url, datasets=sorted(settings.datasets)),
        "source": SourceResource(url=settings.source_url),
        "staging": StagingResource(url=settings.staging_url),
        "inputs": InputsResource(
            url=settings.inputs_url,
            staging_url=settings.staging_url,
            contracts=str(settings.contracts_folder),
        ),
        "warehouse": WarehouseResource(url=settings.warehouse_url),
    }
