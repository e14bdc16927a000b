"""What a run says of itself as tags, by which people find runs and the queue orders them.

`run_queue.py` gives them to every run that is queued, whoever asked for it; the command line
gives them to the runs of its own process.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

CAMPAIGN_TAG = "etl_assets/campaign"
TRIGGER_TAG = "etl_assets/trigger"

_DATASET_TAG = "etl_assets.dataset/"
"""Each dataset is a tag of its own: the UI finds a tag by its whole value."""

_CHAIN = ("rds_extract", "s3_staging_csv", "redshift_table")

Trigger = Literal["schedule", "sensor", "by hand", "backfill", "command line"]

PRIORITIES: Mapping[str, int] = {"schedule": 10, "sensor": 0, "by hand": 0, "backfill": -10}
"""What waits in the queue is started in this order, the highest first."""
RETRY_PRIORITY = 5
"""Of a scheduled run that Dagster starts again: after the ones that were never started."""


def trigger_of(tags: Mapping[str, str]) -> Trigger:
    """Return what asked for a queued run.

    A run that a person starts again carries the tags of the one it repeats, and is by hand.
    """
    if "dagster/backfill" in tags:
        return "backfill"
    if "dagster/parent_run_id" in tags and "dagster/retry_number" not in tags:
        return "by hand"
    if "dagster/schedule_name" in tags:
        return "schedule"
    return "sensor" if "dagster/sensor_name" in tags else "by hand"


def priority_of(tags: Mapping[str, str]) -> int:
    """Return the priority of a queued run."""
    trigger = trigger_of(tags)
    if trigger == "schedule" and "dagster/retry_number" in tags:
        return RETRY_PRIORITY
    return PRIORITIES[trigger]


def dataset_tags(datasets: Iterable[str]) -> dict[str, str]:
    """Return the tags that say which datasets a run is of."""
    return {f"{_DATASET_TAG}{name}": "true" for name in sorted(set(datasets))}


def dataset_of(path: Iterable[str]) -> str | None:
    """Return the dataset that an asset's path, or a step's, is of; None when it is of none."""
    dataset, _, asset = "__".join(path).rpartition("__")
    return dataset if dataset and asset in _CHAIN else None
