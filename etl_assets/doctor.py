"""What `etl-assets doctor` finds: each system's own check, and whether queries and inputs work."""

from collections.abc import Callable

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset, check_bindings
from etl_assets.core.errors import EtlError
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Check, RegistryStore, Source, Staging, Warehouse


def check_systems(settings: Settings, *, probe: bool = False) -> dict[str, list[Check]]:
    """Return what each system's own check finds; one that cannot be opened is one more line.

    Args:
        settings: Which systems.
        probe: Whether the warehouse is to be experimented on, too.
    """
    opened: dict[str, Callable[[], RegistryStore | Source | Staging | Warehouse]] = {
        "registry": settings.open_registry,
        "source": settings.open_source,
        "staging": settings.open_staging,
        "warehouse": settings.open_warehouse,
    }
    found: dict[str, list[Check]] = {}
    for name, open_system in opened.items():
        try:
            found[name] = open_system().check()
        except EtlError as error:
            found[name] = [Check("configured", ok=False, detail=error.message, remedy=error.remedy)]
    if all(check.ok for check in found["source"]):
        found["source"] += _check_queries(settings)
    if settings.contracts:
        found["inputs"] = [_check_inputs(settings)]
    if probe and all(check.ok for name in ("staging", "warehouse") for check in found[name]):
        found["warehouse"] += settings.open_warehouse().probe(settings.open_staging())
    return found


def _check_inputs(settings: Settings) -> Check:
    """Return whether the files of raw sources and their ledger can be read, and what they say."""
    try:
        opened = settings.open_inputs()
        history = opened.history()
        pending = sum(
            len(opened.pending(name, [row for row in history if row.source == name]))
            for name in opened.contracts
        )
    except EtlError as error:
        return Check("readable", ok=False, detail=error.message, remedy=error.remedy)
    statuses = [row.status for row in history]
    detail = f"{len(opened.contracts)} sources, {statuses.count('loaded')} files loaded"
    return Check("readable", ok=True, detail=f"{detail}, {pending} pending")


def _check_queries(settings: Settings) -> list[Check]:
    """Return whether the source takes the query of every dataset that a campaign takes part in."""
    try:
        campaigns = sorted(settings.open_registry().read().campaigns.items())
    except EtlError:  # the registry's own check says so
        return []
    found = []
    for dataset in settings.datasets.values():
        campaign = next((c for _, c in campaigns if c.takes_part_in(dataset.name)), None)
        if campaign is not None:
            found.append(_check_query(settings, dataset, campaign))
    return found


def _check_query(settings: Settings, dataset: Dataset, campaign: Campaign) -> Check:
    bindings = campaign.bindings()
    try:
        check_bindings(dataset, dict(bindings))
        with settings.open_source().snapshot(dataset, bindings) as snapshot:
            detail = f"{len(snapshot.columns)} columns from {', '.join(dataset.source_tables)}"
    except EtlError as error:
        return Check(dataset.name, ok=False, detail=error.message, remedy=error.remedy)
    return Check(dataset.name, ok=True, detail=detail)
