"""What is kept of loads, where: the extracts they were made from, and their staged parts."""

import datetime as dt
import secrets

from pydantic import ValidationError

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.systems.protocols import Staging, Warehouse

_LOOKED_AT = 200


def extract_manifest(dataset: str, key: str, extract_id: str) -> str:
    """Return the path of an extract's manifest, below the staging URL."""
    return f"extract/{dataset}/{key}/{extract_id}/manifest.json"


def new_id(moment: dt.datetime) -> str:
    """Return an id that no other has and that sorts by time."""
    return f"{moment:%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(4)}"


def stage_path(staged: Stage) -> str:
    """Return the path of a stage's own manifest, below the staging URL.

    Beside it stands `manifest.json`, which COPY reads: all it may hold is the parts.
    """
    return f"{staged.copy_manifest.rpartition('/')[0]}/sidecar.json"


def extract_of(load: Load, staging: Staging) -> Extract | None:
    """Return the extract a load was made from; None when it is not kept."""
    if load.extract_id is None:
        return None
    path = extract_manifest(load.dataset, load.campaign_key, load.extract_id)
    try:
        return Extract.model_validate_json(staging.read_text(path))
    except (StagingError, ValidationError):
        return None


def stage_of(load: Load, staging: Staging) -> Stage | None:
    """Return the staged parts of a load; None when they are not kept."""
    if load.stage is None:
        return None
    try:
        return Stage.model_validate_json(staging.read_text(load.stage))
    except (StagingError, ValidationError):
        return None


def latest_extract(
    dataset: Dataset, key: str | None, warehouse: Warehouse, staging: Staging
) -> Extract | None:
    """Return the newest kept extract that a load was made from, of a key or of any.

    Raises:
        WarehouseError: When the ledger cannot be read.
        TransientError: When the warehouse is busy; a retry is safe.
    """
    for load in warehouse.loads(dataset=dataset.name, key=key, limit=_LOOKED_AT):
        found = extract_of(load, staging)
        if found:
            return found
    return None
