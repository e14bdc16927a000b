"""The vocabulary of materialization metadata: one name per fact, wherever it is shown."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg

from etl_assets.core.datasets import Dataset
from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.core.profile import RecordChanges
from etl_assets.metadata_parts import (
    Metadata,
    changed,
    column_schema,
    compared,
    objects,
    profiled,
    refused,
    rules_applied,
)
from etl_assets.systems.protocols import Staging

REFERENCE = "etl_assets/manifest"
"""Path of the manifest, below the staging URL: what a later asset needs to find the bytes."""

REFERENCE_DIGEST = "etl_assets/manifest_digest"
"""SHA-256 of what that manifest says; it is elsewhere than the manifest, so it shows a change."""

ERROR = "error"
"""Why a key that was refreshed together with others failed; absent when it did not."""

HELD = "held"
"""Why a load did not replace the slice, and what to do; absent when it did."""

_READ_FIRST = (
    "dagster/row_count",
    "dagster/partition_row_count",
    "season",
    "records_per_day",
    "preview",
    "records_added",
    "records_removed",
    "records_changed",
    "cells_changed",
    "changed_since",
    "changes_shown_by",
    "proof",
    "compared",
    "source_records",
    "filtered",
    "rejected",
    "rejects",
    "bytes",
    "seconds",
)
_READ_LAST = (
    "sha256",
    REFERENCE,
    REFERENCE_DIGEST,
    "rules_sha256",
    "fingerprint_sha256",
    "fingerprint",
)


def extract_metadata(
    dataset: Dataset,
    extract: Extract,
    staging: Staging,
    path: str,
    *,
    seconds: float,
    unchanged: bool,
    spans: Mapping[str, float] | None = None,
) -> Metadata:
    """Return what is shown of an extract, with what its policies did.

    Args:
        dataset: Whose extract it is.
        extract: What was read.
        staging: Where it is.
        path: Of its manifest there.
        seconds: What it took.
        unchanged: Whether an earlier extract stands.
        spans: What its parts took, by name.
    """
    season = extract.bindings["start"], extract.bindings["end"]
    days = tuple(dt.date.fromisoformat(str(day)) for day in season)
    shown = {
        REFERENCE: dg.MetadataValue.text(path),
        REFERENCE_DIGEST: dg.MetadataValue.text(extract.digest),
        "dagster/row_count": dg.MetadataValue.int(extract.records),
        "dagster/uri": dg.MetadataValue.text(staging.uri(path)),
        "dagster/column_schema": column_schema(extract.columns),
        "source_records": dg.MetadataValue.int(extract.source_records),
        "rejected": dg.MetadataValue.int(extract.rejected),
        "season": dg.MetadataValue.text(
            f"{extract.bindings['start']} to {extract.bindings['end']}"
        ),
        "proof": dg.MetadataValue.text(
            f"{extract.source_records:,} counted at the source = {extract.records:,} received"
            f" + {extract.rejected:,} rejected"
        ),
        "extracted_at": dg.MetadataValue.timestamp(extract.extracted_at),
        **compared(extract.source_fingerprint, "{} columns equal at source and extract"),
        **changed(extract.profile.changes if extract.profile else None, unchanged=unchanged),
        **objects(extract.parts, extract.bytes, seconds, spans, unchanged=unchanged),
        **profiled(dataset, extract.profile, extract.columns, (days[0], days[1])),
        **refused(extract.rejects, staging),
    }
    if extract.touched:
        shown["touched"] = dg.MetadataValue.table(
            [dg.TableRecord(touched.model_dump()) for touched in extract.touched]
        )
    return _people_first(shown)


def stage_metadata(
    dataset: Dataset,
    stage: Stage,
    staging: Staging,
    path: str,
    *,
    seconds: float,
    unchanged: bool,
    spans: Mapping[str, float] | None = None,
) -> Metadata:
    """Return what is shown of staged parts, with the records that rules refused.

    Arguments are those of `extract_metadata`.
    """
    reshaped = f" + {stage.reshaped:,} reshaped" if stage.reshaped else ""
    equal = f"{len(stage.source_columns)} columns equal at source and stage"
    if stage.filtered or stage.rejected or stage.reshaped:
        equal = "counts alone, since rules left records out or made others; the table has every"
        equal += " column compared with the stage"
    shown = {
        REFERENCE: dg.MetadataValue.text(path),
        REFERENCE_DIGEST: dg.MetadataValue.text(stage.digest),
        "dagster/row_count": dg.MetadataValue.int(stage.records),
        "dagster/uri": dg.MetadataValue.text(staging.uri(path)),
        "dagster/column_schema": column_schema(stage.columns),
        "source_records": dg.MetadataValue.int(stage.source_records),
        "filtered": dg.MetadataValue.int(stage.filtered),
        "rejected": dg.MetadataValue.int(stage.rejected),
        "rule_version": dg.MetadataValue.int(stage.rule_version),
        "rules_sha256": dg.MetadataValue.text(stage.rules_digest),
        "proof": dg.MetadataValue.text(
            f"{stage.source_records:,} read{reshaped} = {stage.records:,} staged"
            f" + {stage.filtered:,} filtered + {stage.rejected:,} rejected"
        ),
        **compared(stage.fingerprint, equal),
        **rules_applied(stage, staging),
        **objects(stage.parts, stage.bytes, seconds, spans, unchanged=unchanged),
        **profiled(dataset, stage.profile, stage.columns),
        **refused(stage.rejects, staging),
    }
    if stage.rule_counts:
        shown["rule_counts"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "rule": count.rule,
                        "outcome": count.outcome,
                        "column": count.column or "",
                        "records": count.records,
                    }
                )
                for count in stage.rule_counts
            ]
        )
    return _people_first(shown)


def load_metadata(
    dataset: Dataset,
    load: Load,
    stage: Stage,
    staging: Staging,
    *,
    manifest: str,
    warehouse_url: str,
    table_records: int,
    seconds: float,
    unchanged: bool,
    spans: Mapping[str, float] | None = None,
    changes: RecordChanges | None = None,
    replaced: Load | None = None,
) -> Metadata:
    """Return what is shown of a load: the ledger's row, and the parts it was made of.

    Args:
        dataset: Whose table it is.
        load: The ledger's row.
        stage: What was loaded, or would have been again.
        staging: Where it is.
        manifest: Path of the manifest of what was loaded.
        warehouse_url: Where the table is.
        table_records: Those of all keys together.
        seconds: What it took.
        unchanged: Whether an earlier load stands.
        spans: What its parts took, by name.
        changes: How its records differ from those it replaced, where that is known.
        replaced: The load that had those.
    """
    return _people_first(
        {
            "dagster/row_count": dg.MetadataValue.int(table_records),
            "dagster/partition_row_count": dg.MetadataValue.int(load.records),
            "dagster/table_name": dg.MetadataValue.text(load.table),
            "dagster/uri": dg.MetadataValue.text(f"{warehouse_url.partition('?')[0]}/{load.table}"),
            "dagster/column_schema": column_schema(stage.columns),
            "staged_uri": dg.MetadataValue.path(staging.uri(manifest)),
            "load_id": dg.MetadataValue.text(load.load_id),
            "loaded_at": dg.MetadataValue.timestamp(load.committed_at),
            "proof": dg.MetadataValue.text(load.proof),
            "source_records": dg.MetadataValue.int(load.source_records),
            "filtered": dg.MetadataValue.int(load.filtered),
            "rejected": dg.MetadataValue.int(load.rejected),
            "replaced_records": dg.MetadataValue.int(load.replaced_records),
            "rule_version": dg.MetadataValue.int(load.rule_version),
            "rules_sha256": dg.MetadataValue.text(load.rules_digest),
            **compared(
                stage.fingerprint,
                f"{{}} columns equal at stage and table, {len(stage.source_columns)} of them at source"
                " and extract, too",
            ),
            **rules_applied(stage, staging),
            **changed(changes, unchanged=unchanged),
            **_compared_by(load, replaced),
            **objects(stage.parts, stage.bytes, seconds, spans, unchanged=unchanged),
            **profiled(dataset, stage.profile, stage.columns),
        }
    )


def held_metadata(status: str, reason: str, row: Load | None, staged: Stage) -> Metadata:
    """Return what is shown of a load that did not replace the slice, and why."""
    return {
        HELD: dg.MetadataValue.text(reason),
        "status": dg.MetadataValue.text(status),
        "load_id": dg.MetadataValue.text(row.load_id if row else ""),
        "dagster/partition_row_count": dg.MetadataValue.int(row.records if row else 0),
        "staged_records": dg.MetadataValue.int(staged.records),
        "source_records": dg.MetadataValue.int(staged.source_records),
        "filtered": dg.MetadataValue.int(staged.filtered),
        "rejected": dg.MetadataValue.int(staged.rejected),
    }


def decision_metadata(row: Load, about: Load | None) -> Metadata:
    """Return what is shown of what a person decided: which load it is about, by whom and why."""
    shown: Metadata = {
        "decision": dg.MetadataValue.text(row.kind),
        "decision_id": dg.MetadataValue.text(row.load_id),
        "made_by": dg.MetadataValue.text(row.made_by or ""),
        "reason": dg.MetadataValue.text(row.reason or ""),
        "dagster/partition_row_count": dg.MetadataValue.int(row.records),
    }
    if about:
        shown["about"] = dg.MetadataValue.text(about.load_id)
        shown["about_committed_at"] = dg.MetadataValue.timestamp(about.committed_at)
    return shown


def prune_metadata(load: Load) -> Mapping[str, dg.MetadataValue]:
    """Return what is shown of the removal of a key that left the calendar."""
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(0),
        "dagster/table_name": dg.MetadataValue.text(load.table),
        "load_id": dg.MetadataValue.text(load.load_id),
        "loaded_at": dg.MetadataValue.timestamp(load.committed_at),
        "proof": dg.MetadataValue.text(load.proof),
        "replaced_records": dg.MetadataValue.int(load.replaced_records),
    }


def _compared_by(load: Load, replaced: Load | None) -> Metadata:
    """Return the command that compares a load with the one it replaced, value by value."""
    if replaced is None or not replaced.is_load:
        return {}
    command = f"`etl-assets loads diff {replaced.load_id} {load.load_id}`"
    return {"changes_shown_by": dg.MetadataValue.md(command)}


def _people_first(shown: Metadata) -> Metadata:
    """Return metadata in the order in which the UI lists them: what people read, then digests."""
    first = [name for name in _READ_FIRST if name in shown]
    last = [name for name in _READ_LAST if name in shown]
    rest = [name for name in shown if name not in {*first, *last}]
    return {name: shown[name] for name in [*first, *rest, *last]}
