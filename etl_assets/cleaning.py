"""Removing from the staging store what no kept load needs; the rules are in core/retention.py."""

import datetime as dt
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import StagingError
from etl_assets.core.keep import Keep
from etl_assets.core.manifest import Stage
from etl_assets.core.retention import Folder, Removal, folders_of, select_removals
from etl_assets.systems.protocols import Staging, Warehouse


def find_removals(
    staging: Staging,
    warehouse: Warehouse,
    *,
    now: dt.datetime,
    datasets: Mapping[str, Dataset],
    keep_loads: int | None = None,
    keep_days: int | None = None,
) -> list[Removal]:
    """Return what may be removed now; nothing is changed.

    Args:
        staging: The store.
        warehouse: Its ledger says what was loaded.
        now: The time, UTC.
        datasets: Say how much of each is kept; of one that is not there as much as unless said.
        keep_loads: In place of what they say.
        keep_days: In place of what they say.

    Raises:
        StagingError: When the store cannot be listed.
        WarehouseError: When the ledger cannot be read.
        TransientError: When either is busy; a retry is safe.
    """
    folders = folders_of(staging.objects())  # before the ledger: a load in between only adds
    loads = warehouse.loads()
    known = {load.stage.rpartition("/")[0]: load.extract_id for load in loads if load.stage}

    def extract_of(stage: Folder) -> str | None:
        return known.get(stage.path) or _extract_in_manifest(staging, stage)

    def keep(name: str) -> Keep:
        said = datasets[name].keep if name in datasets else Keep()
        return Keep(loads=keep_loads or said.loads, days=keep_days or said.days)

    return select_removals(folders, loads, extract_of, moment=now, keep=keep)


def remove(staging: Staging, wanted: Sequence[Removal], still: Sequence[Removal]) -> list[Removal]:
    """Remove the folders that were shown and still are not needed; return them.

    Args:
        staging: The store.
        wanted: What was shown.
        still: What `find_removals` says now; a load committed since may need some.

    Raises:
        StagingError: When an object cannot be removed; running it again goes on.
    """
    sure = {removal.folder.path for removal in still}
    removed = [removal for removal in wanted if removal.folder.path in sure]
    for removal in removed:
        paths = [stored.path for stored in removal.folder.objects]
        staging.delete(paths[:1])  # the manifest: without it, the rest is no stage or extract
        staging.delete(paths[1:])
    return removed


def _extract_in_manifest(staging: Staging, stage: Folder) -> str | None:
    try:
        text = staging.read_text(f"{stage.path}/sidecar.json")
        return Stage.model_validate_json(text).extract_id
    except (StagingError, ValidationError):
        return None
