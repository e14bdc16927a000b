"""What Dagster only knows of: the source's tables."""

import dagster as dg

from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind


def build_external_assets(settings: Settings) -> list[dg.AssetSpec]:
    """Return a spec for every table a dataset reads."""
    kind = system_kind(settings.source_url)
    tables = {name for d in settings.datasets.values() for name in d.source_tables}
    return [
        dg.AssetSpec(
            ["source", name],
            group_name="source",
            kinds={kind, "table"},
            description=f"The table `{name}` of the source database.",
        )
        for name in sorted(tables)
    ]
