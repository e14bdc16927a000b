"""What Dagster is told of a file that a source delivered."""

import dagster as dg

from etl_assets.core.inputs.delivery import describe
from etl_assets.core.inputs.files import LoadedFile
from etl_assets.core.markdown import table
from etl_assets.systems.protocols import Staging

Event = dg.AssetMaterialization | dg.AssetObservation

INPUTS = "inputs"
"""What the key of a source begins with."""

INPUT_ID = "etl_assets/input_id"
"""The file's row of the ledger."""

_CHANGES_THE_TABLE = ("loaded", "undone")
_SHOWN_REJECTS = 20
_WIDTH = 80
_COUNTS = (
    "rows", "accepted", "rejected", "duplicates", "inserted", "updated", "unchanged", "outdated",
    "removed", "restored",
)  # fmt: skip


def input_key(source: str) -> dg.AssetKey:
    """Return the key of the asset that a source is."""
    return dg.AssetKey([INPUTS, source])


def event_of(row: LoadedFile, staging: Staging) -> Event:
    """Return a materialization for what changed the table, an observation for what did not."""
    kind = dg.AssetMaterialization if row.status in _CHANGES_THE_TABLE else dg.AssetObservation
    return kind(
        asset_key=input_key(row.source),
        description=f"{row.name}: {describe(row)}",
        metadata=_metadata(row, staging),
    )


def last_told(instance: dg.DagsterInstance, source: str) -> int:
    """Return the newest row of the ledger that Dagster was told of; 0 when of none."""
    key = input_key(source)
    latest = [
        *instance.fetch_materializations(key, limit=1).records,
        *instance.fetch_observations(key, limit=1).records,
    ]
    found = [0]
    for record in latest:
        event = record.asset_materialization or (record.event_log_entry.asset_observation)
        value = event.metadata.get(INPUT_ID) if event else None
        found += [value.value] if isinstance(value, dg.IntMetadataValue) and value.value else []
    return max(found)


def _metadata(row: LoadedFile, staging: Staging) -> dict[str, dg.MetadataValue]:
    counts = {
        name: dg.MetadataValue.int(getattr(row, name))
        for name in _COUNTS
        if getattr(row, name) or name in ("rows", "accepted", "rejected")
    }
    shown = {
        "file": dg.MetadataValue.path(staging.uri(row.path)),
        "status": dg.MetadataValue.text(row.status),
        **counts,
        **_rejects(row, staging),
        "arrived_at": dg.MetadataValue.timestamp(row.arrived_at),
        "bytes": dg.MetadataValue.int(row.bytes),
        "sha256": dg.MetadataValue.text(row.sha256),
        INPUT_ID: dg.MetadataValue.int(row.id),
    }
    if row.reason:
        shown["reason"] = dg.MetadataValue.text(row.reason)
    return shown


def _rejects(row: LoadedFile, staging: Staging) -> dict[str, dg.MetadataValue]:
    if not row.rejects:
        return {}
    import pandas as pd  # here, because only a file with rejects needs it

    with staging.scratch() as folder:
        file = folder / "rejects.csv"
        staging.download(row.rejects, file)
        frame = pd.read_csv(file, dtype=str, nrows=_SHOWN_REJECTS, keep_default_na=False)
    return {
        "rejects": dg.MetadataValue.md(
            table(list(frame.columns), frame.to_numpy().tolist(), width=_WIDTH)
        ),
        "rejects_uri": dg.MetadataValue.path(staging.uri(row.rejects)),
    }
