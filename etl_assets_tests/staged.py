"""A stage by the fields a test is about."""

import datetime as dt
from typing import Any

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.manifest import Stage

_PLAIN: dict[str, Any] = {
    "dataset": "sales",
    "table": "sales",
    "campaign_key": "SP17",
    "load_id": "l1",
    "extract_id": "e1",
    "inputs_digest": "",
    "rule_version": 0,
    "rules_digest": "",
    "source_records": 0,
    "records": 0,
    "filtered": 0,
    "rejected": 0,
    "rule_counts": (),
    "columns": (Column(name="sale_id", type=ColumnType.parse("bigint")),),
    "parts": (),
    "rejects": None,
    "null_token": "~N~",
    "copy_manifest": "stage/sales/SP17/l1/manifest.json",
    "primary_key": ("sale_id",),
    "on_schema_change": "evolve",
    "distribution_key": None,
    "sort_keys": (),
    "staged_at": dt.datetime(2017, 12, 10, tzinfo=dt.UTC),
}


def a_stage(**fields: object) -> Stage:
    """Return a stage of no records, but for the fields given."""
    return Stage(**{**_PLAIN, **fields})
