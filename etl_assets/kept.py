"""What is kept of loads, where: the extracts they were made from, and their staged parts."""

import contextlib
import datetime as dt
import secrets
from typing import TypeVar

from pydantic import ValidationError

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.systems.protocols import Staging, Warehouse

Reference = TypeVar("Reference", Extract, Stage)

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


def read_manifest(
    model: type[Reference], path: str, staging: Staging, *, digest: str | None
) -> Reference:
    """Return what an extract's or a stage's own manifest says.

    Args:
        model: What it is of.
        path: Below the staging URL.
        staging: Where it is.
        digest: What its `digest` was when it was written; None when nobody noted it.

    Raises:
        StagingError: When it is gone, or says something else than it did.
    """
    text, found = staging.read_text(path), None
    with contextlib.suppress(ValidationError):
        found = model.model_validate_json(text)
    if found is None or digest not in (None, found.digest):
        raise StagingError(
            f"The manifest {staging.uri(path)} was changed or cut short.",
            "Refresh the campaign with --force; it makes new objects.",
        )
    return found


def extract_of(load: Load, staging: Staging) -> Extract | None:
    """Return the extract a load was made from; None when it is not kept."""
    if load.extract_id is None:
        return None
    path = extract_manifest(load.dataset, load.campaign_key, load.extract_id)
    try:
        return read_manifest(Extract, path, staging, digest=None)
    except StagingError:
        return None


def stage_of(load: Load, staging: Staging) -> Stage | None:
    """Return the staged parts of a load; None when they are not kept."""
    if load.stage is None:
        return None
    try:
        return read_manifest(Stage, load.stage, staging, digest=load.stage_digest)
    except StagingError:
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
