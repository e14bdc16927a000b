"""What Dagster only knows of: the source's tables and the registry."""

import dagster as dg

from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind


def build_external_assets(settings: Settings) -> list[dg.AssetSpec]:
    """Return a spec for every table a dataset reads, and for the registry's parts."""
    source = system_kind(settings.source_url)
    tables = sorted({name for d in settings.datasets.values() for name in d.source_tables})
    registry = {
        "campaigns": "Campaigns, their seasons and parameters, and the calendar.",
        "rules": "The rule sets, by dataset and version.",
    }
    return [
        *(
            dg.AssetSpec(
                ["source", name],
                group_name="source",
                kinds={source, "table"},
                description=f"The table `{name}` of the source database.",
            )
            for name in tables
        ),
        *(
            dg.AssetSpec(
                ["registry", name],
                group_name="registry",
                kinds={system_kind(settings.registry_url)},
                description=description,
            )
            for name, description in registry.items()
        ),
    ]
