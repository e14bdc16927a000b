"""The lineage of columns, as documents and registry say it.

The source is asked only for the columns of a query that does not name them. No record is read.
"""

from collections.abc import Sequence

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset, check_bindings
from etl_assets.core.errors import EtlError
from etl_assets.core.lineage.build import build_graph
from etl_assets.core.lineage.graph import Graph
from etl_assets.core.lineage.query import query_lineage
from etl_assets.core.registry import Registry
from etl_assets.settings import Settings


def read_graph(settings: Settings, key: str | None = None) -> Graph:
    """Return the lineage of every dataset.

    The source is asked for the columns of a query that does not name them itself (`SELECT *`);
    when it cannot be, that is a note.

    Args:
        settings: Which documents and systems.
        key: With the rules of this campaign. None: of all campaigns.

    Raises:
        DocumentError: When a document is not valid.
        PermanentError: When there is no such campaign.
        RegistryError: When the registry cannot be read.
        RuleError: When rules name a column that is not there.
    """
    registry = settings.open_registry().read()
    if key is not None:
        registry.campaign(key)
    asked = {
        name: _columns(settings, dataset, registry, key)
        for name, dataset in settings.datasets.items()
        if not query_lineage(dataset.query).is_complete
    }
    return build_graph(
        settings.datasets,
        {name: registry.rules_of(dataset) for name, dataset in settings.datasets.items()},
        key=key,
        known={name: columns for name, columns in asked.items() if columns},
        contracts=settings.contracts.values(),
    )


def _columns(
    settings: Settings, dataset: Dataset, registry: Registry, key: str | None
) -> Sequence[str]:
    """Return the columns of a query, as the source says them; none when it does not."""
    campaign = _campaign(dataset, registry, key)
    if campaign is None:
        return ()
    bindings = campaign.bindings()
    try:
        check_bindings(dataset, dict(bindings))
        with settings.open_source().snapshot(dataset, bindings) as snapshot:
            return [column.name for column in snapshot.columns]
    except EtlError:  # the graph says what is not known without it
        return ()


def _campaign(dataset: Dataset, registry: Registry, key: str | None) -> Campaign | None:
    if key is not None:
        return registry.campaign(key)
    taking_part = (
        c for _, c in sorted(registry.campaigns.items()) if c.takes_part_in(dataset.name)
    )
    return next(taking_part, None)
