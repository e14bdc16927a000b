"""The asset check of overlapping seasons: what a campaign shares, and that totals count it once."""

import dagster as dg

from etl_assets.assets import table_key
from etl_assets.core.datasets import Dataset
from etl_assets.core.reporting_views import Overlaps
from etl_assets.display.overlaps import overlaps_text, view_problem
from etl_assets.failures import reported_to_dagster
from etl_assets.partitions import CAMPAIGNS
from etl_assets.resources import WarehouseResource


def build_overlap_check(dataset: Dataset) -> dg.AssetChecksDefinition:
    """Return the check; it runs after every load, and shows its campaign's overlaps.

    It fails when the de-duplicated view shows other records than those of the table without
    repetition: somebody changed or dropped it, and reports over several seasons are wrong.
    """

    @dg.asset_check(
        asset=table_key(dataset),
        partitions_def=CAMPAIGNS,
        description=f"The view of `{dataset.table}` without repetition shows each record once."
        " The metadata says what this campaign shares with others.",
        pool="warehouse",
    )
    def each_record_once(
        context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource
    ) -> dg.AssetCheckResult:
        with reported_to_dagster(context):
            counted = warehouse.open().overlaps(dataset)
        return dg.AssetCheckResult(
            passed=not view_problem(counted, dataset.table),
            description=overlaps_text(counted, dataset.table),
            metadata=_metadata(counted, context.partition_key),
        )

    return each_record_once


def _metadata(counted: Overlaps, key: str) -> dict[str, dg.MetadataValue]:
    shared = sorted(counted.of(key).items(), key=lambda other: -other[1])
    listed = [dg.TableRecord({"campaign": other, "records": count}) for other, count in shared]
    schema = dg.TableSchema(
        [dg.TableColumn("campaign", "string"), dg.TableColumn("records", "int")]
    )
    found: dict[str, dg.MetadataValue] = {
        "table_records": dg.IntMetadataValue(counted.records),
        "distinct_records": dg.IntMetadataValue(counted.distinct),
        "repeated_records": dg.IntMetadataValue(counted.repeated),
    }
    if counted.shown is not None:
        found["records_in_view"] = dg.IntMetadataValue(counted.shown)
    if listed:
        found["shared_with"] = dg.MetadataValue.table(listed, schema)
    return found
