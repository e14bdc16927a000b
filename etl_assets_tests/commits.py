"""What a warehouse is asked for in tests: one load or one removal, as a transaction of its own."""

from dataclasses import replace

from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import order_for, order_load
from etl_assets.systems.protocols import Staging, Warehouse


def commit_load(
    warehouse: Warehouse, staged: Stage, staging: Staging, dataset: Dataset | None = None
) -> Load:
    """Replace a slice with staged records."""
    order = order_load(staged, "sidecar.json", dataset=dataset, run_id="a-run")
    (row,) = warehouse.commit([order], staging)
    return row


def commit_prune(
    warehouse: Warehouse, dataset: Dataset, key: str, staging: Staging, *, load_id: str = "p1"
) -> Load:
    """Remove a slice."""
    order = replace(order_for("prune", dataset, key, load_id), run_id="a-run")
    (row,) = warehouse.commit([order], staging)
    return row
