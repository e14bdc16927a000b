"""The vocabulary of materialization metadata: one name per fact, wherever it is shown."""

import contextlib
from typing import TYPE_CHECKING

import dagster as dg

from etl_assets.core.columns import Column
from etl_assets.core.errors import StagingError
from etl_assets.core.fingerprint import Fingerprint, GroupPrint
from etl_assets.core.manifest import Extract, Load, Part, Stage
from etl_assets.core.rules.kept import rules_markdown
from etl_assets.systems.protocols import Staging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REFERENCE = "etl_assets/manifest"
"""Path of the manifest, below the staging URL: what a later asset needs to find the bytes."""

REFERENCE_DIGEST = "etl_assets/manifest_digest"
"""SHA-256 of what that manifest says; it is elsewhere than the manifest, so it shows a change."""

FALLBACK = "fallback"
"""Why other rules than the current ones were applied; absent when they were not."""

ERROR = "error"
"""Why a key that was refreshed together with others failed; absent when it did not."""

HELD = "held"
"""Why a load did not replace the slice, and what to do; absent when it did."""

_SHOWN_REJECTS = 20
_SHOWN_COLUMNS = 50
_LISTED = 80
Metadata = dict[str, dg.MetadataValue]


def extract_metadata(
    extract: Extract, staging: Staging, path: str, *, seconds: float, unchanged: bool
) -> Metadata:
    """Return what is shown of an extract, with what its policies did."""
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
        "extracted_at": dg.MetadataValue.timestamp(extract.extracted_at),
        **_compared(extract.source_fingerprint, "{} columns equal at source and extract"),
        **_objects(extract.parts, extract.bytes, seconds, unchanged=unchanged),
    }
    if extract.touched:
        shown["touched"] = dg.MetadataValue.table(
            [dg.TableRecord(touched.model_dump()) for touched in extract.touched]
        )
    if extract.rejects:
        shown["rejects"] = dg.MetadataValue.md(_rejects_table(extract.rejects, staging))
        shown["rejects_uri"] = dg.MetadataValue.text(staging.uri(extract.rejects.path))
    return shown


def stage_metadata(
    stage: Stage, staging: Staging, path: str, *, seconds: float, unchanged: bool
) -> Metadata:
    """Return what is shown of staged parts, with the records that rules refused."""
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
        **_compared(
            stage.fingerprint, f"{len(stage.source_columns)} columns equal at source and stage"
        ),
        **_rules(stage, staging),
        **_objects(stage.parts, stage.bytes, seconds, unchanged=unchanged),
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
    if stage.rejects:
        shown["rejects"] = dg.MetadataValue.md(_rejects_table(stage.rejects, staging))
        shown["rejects_uri"] = dg.MetadataValue.text(staging.uri(stage.rejects.path))
    return shown


def load_metadata(
    load: Load,
    stage: Stage,
    staging: Staging,
    *,
    manifest: str,
    warehouse_url: str,
    table_records: int,
    seconds: float,
    unchanged: bool,
) -> Metadata:
    """Return what is shown of a load: the ledger's row, and the parts it was made of.

    Args:
        load: The ledger's row.
        stage: What was loaded, or would have been again.
        staging: Where it is.
        manifest: Path of the manifest of what was loaded.
        warehouse_url: Where the table is.
        table_records: Those of all keys together.
        seconds: What it took.
        unchanged: Whether an earlier load stands.
    """
    return {
        "dagster/row_count": dg.MetadataValue.int(table_records),
        "dagster/partition_row_count": dg.MetadataValue.int(load.records),
        "dagster/table_name": dg.MetadataValue.text(load.table),
        "dagster/uri": dg.MetadataValue.text(f"{warehouse_url.partition('?')[0]}/{load.table}"),
        "dagster/column_schema": column_schema(stage.columns),
        "staged_uri": dg.MetadataValue.text(staging.uri(manifest)),
        "load_id": dg.MetadataValue.text(load.load_id),
        "loaded_at": dg.MetadataValue.timestamp(load.committed_at),
        "proof": dg.MetadataValue.text(load.proof),
        "source_records": dg.MetadataValue.int(load.source_records),
        "filtered": dg.MetadataValue.int(load.filtered),
        "rejected": dg.MetadataValue.int(load.rejected),
        "replaced_records": dg.MetadataValue.int(load.replaced_records),
        "rule_version": dg.MetadataValue.int(load.rule_version),
        "rules_sha256": dg.MetadataValue.text(load.rules_digest),
        **_compared(
            stage.fingerprint,
            f"{{}} columns equal at stage and table, {len(stage.source_columns)} of them at source"
            " and extract, too",
        ),
        **_rules(stage, staging),
        **_objects(stage.parts, stage.bytes, seconds, unchanged=unchanged),
    }


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


def prune_metadata(load: Load) -> "Mapping[str, dg.MetadataValue]":
    """Return what is shown of the removal of a key that left the calendar."""
    return {
        "dagster/partition_row_count": dg.MetadataValue.int(0),
        "dagster/table_name": dg.MetadataValue.text(load.table),
        "load_id": dg.MetadataValue.text(load.load_id),
        "loaded_at": dg.MetadataValue.timestamp(load.committed_at),
        "proof": dg.MetadataValue.text(load.proof),
        "replaced_records": dg.MetadataValue.int(load.replaced_records),
    }


def column_schema(columns: "Sequence[Column]") -> dg.MetadataValue:
    """Return names, types and comments as Dagster shows them."""
    return dg.TableSchemaMetadataValue(
        dg.TableSchema(
            [dg.TableColumn(c.name, str(c.type), description=c.comment or None) for c in columns]
        )
    )


def _compared(found: Fingerprint | None, said: str) -> Metadata:
    """Return a fingerprint with the sentence on it; nothing in references of earlier releases."""
    if found is None:
        return {}
    groups = {name: group for group in found.groups for name in group.columns}
    rows = [
        dg.TableRecord(
            {
                "column": c.column,
                "non_nulls": c.non_nulls,
                "total": (groups[c.column].total if c.column in groups else c.total) or "",
                "together_with": _others(groups.get(c.column), c.column),
            }
        )
        for c in found.columns[:_SHOWN_COLUMNS]
    ]
    shown: Metadata = {
        "compared": dg.MetadataValue.text(said.format(len(found.columns))),
        "fingerprint_sha256": dg.MetadataValue.text(found.digest),
    }
    if rows:
        shown["fingerprint"] = dg.MetadataValue.table(rows)
    return shown


def _others(group: GroupPrint | None, column: str) -> str:
    return ", ".join(n for n in group.columns if n != column)[:_LISTED] if group else ""


def _rules(stage: Stage, staging: Staging) -> Metadata:
    """Return where the text of a stage's rules is, how it begins, and why they are not current."""
    shown: Metadata = {}
    if stage.notice:
        shown[FALLBACK] = dg.MetadataValue.text(stage.notice)
    if stage.rules:
        shown["rules_uri"] = dg.MetadataValue.text(staging.uri(stage.rules))
        with contextlib.suppress(
            StagingError
        ):  # somebody removed it; the stage stands all the same
            shown["rules"] = dg.MetadataValue.md(rules_markdown(staging.read_text(stage.rules)))
    return shown


def _objects(parts: "Sequence[Part]", size: int, seconds: float, *, unchanged: bool) -> Metadata:
    return {
        "bytes": dg.MetadataValue.int(size),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "sha256": dg.MetadataValue.json(
            {part.path.rpartition("/")[2]: part.sha256 for part in parts}
        ),
        "unchanged": dg.MetadataValue.bool(unchanged),
    }


def _rejects_table(rejects: Part, staging: Staging) -> str:
    """Return the first rejected records as a Markdown table."""
    import pandas as pd  # here, because only a load with rejects needs it

    with staging.fetch([rejects]) as (file,):
        frame = pd.read_csv(file, dtype=str, nrows=_SHOWN_REJECTS, keep_default_na=False)
    cells = [list(frame.columns), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    return "\n".join(
        "| " + " | ".join(str(c).replace("|", "\\|").replace("\n", " ") for c in row) + " |"
        for row in cells
    )
