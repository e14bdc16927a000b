"""What several materializations have in common: schema, proof, rules, objects, profile."""

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg

from etl_assets.core.campaigns import Campaign
from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import StagingError
from etl_assets.core.fingerprint import Fingerprint, GroupPrint
from etl_assets.core.manifest import Part, Stage
from etl_assets.core.markdown import table
from etl_assets.core.pictures import Season, records_per_day, timeline
from etl_assets.core.profile import SAMPLE_CHARACTERS, Profile, RecordChanges
from etl_assets.core.rules.kept import rules_markdown
from etl_assets.systems.protocols import Staging

FALLBACK = "fallback"
"""Why other rules than the current ones were applied; absent when they were not."""

_SHOWN_REJECTS = 20
_SHOWN_COLUMNS = 50
_LISTED = 80
_SHOWN_SEASONS = 20
Metadata = dict[str, dg.MetadataValue]


def column_schema(columns: "Sequence[Column]") -> dg.MetadataValue:
    """Return names, types and comments as Dagster shows them."""
    return dg.TableSchemaMetadataValue(
        dg.TableSchema(
            [dg.TableColumn(c.name, str(c.type), description=c.comment or None) for c in columns]
        )
    )


def compared(found: Fingerprint | None, said: str) -> Metadata:
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


def rules_applied(stage: Stage, staging: Staging) -> Metadata:
    """Return where the text of a stage's rules is, how it begins, and why they are not current."""
    shown: Metadata = {
        "rules_shown_by": dg.MetadataValue.md(
            f"`etl-assets rules show {stage.dataset} --version {stage.rule_version}`"
        )
    }
    if stage.notice:
        shown[FALLBACK] = dg.MetadataValue.text(stage.notice)
    if stage.rules:
        shown["rules_uri"] = dg.MetadataValue.path(staging.uri(stage.rules))
        with contextlib.suppress(
            StagingError
        ):  # somebody removed it; the stage stands all the same
            shown["rules"] = dg.MetadataValue.md(rules_markdown(staging.read_text(stage.rules)))
    return shown


def objects(
    parts: Sequence[Part],
    size: int,
    seconds: float,
    spans: Mapping[str, float] | None,
    *,
    unchanged: bool,
) -> Metadata:
    """Return what was made, and what that took, altogether and part by part."""
    return {
        "bytes": dg.MetadataValue.int(size),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        **{
            f"seconds_{name}": dg.MetadataValue.float(round(took, 3))
            for name, took in (spans or {}).items()
        },
        "sha256": dg.MetadataValue.json(
            {part.path.rpartition("/")[2]: part.sha256 for part in parts}
        ),
        "unchanged": dg.MetadataValue.bool(unchanged),
    }


def changed(changes: RecordChanges | None, *, unchanged: bool) -> Metadata:
    """Return how many records and values differ from those before; nothing where that is not known."""
    if unchanged:
        names = ("records_added", "records_removed", "records_changed", "cells_changed")
        return {name: dg.MetadataValue.int(0) for name in names}
    if changes is None:
        return {}
    shown: Metadata = {
        "records_added": dg.MetadataValue.int(changes.added),
        "records_removed": dg.MetadataValue.int(changes.removed),
        "records_changed": dg.MetadataValue.int(changes.changed),
        "changed_since": dg.MetadataValue.text(changes.since),
    }
    if changes.cells is not None:
        shown["cells_changed"] = dg.MetadataValue.int(changes.cells)
    return shown


def profiled(
    dataset: Dataset,
    found: Profile | None,
    columns: Sequence[Column],
    season: tuple[dt.date, dt.date] | None = None,
) -> Metadata:
    """Return the first records as a table, unless the document says otherwise, and those per day.

    Args:
        dataset: Says whether records may be shown.
        found: What is known of them.
        columns: Of the records.
        season: First and last day; those there are records of when left out.
    """
    shown: Metadata = {}
    if found and found.sample and dataset.preview:
        names = [column.name for column in columns[: len(found.sample[0])]]
        text = table(names, found.sample, width=SAMPLE_CHARACTERS)
        more = len(columns) - len(names)
        rest = f"\n\n… and {more} more columns." if more > 0 else ""
        shown["preview"] = dg.MetadataValue.md(text + rest)
    if found and any(found.days.values()):
        start, end = season or (dt.date.max, dt.date.min)
        shown["records_per_day"] = dg.MetadataValue.md(records_per_day(found.days, start, end))
    return shown


def refused(rejects: Part | None, staging: Staging) -> Metadata:
    """Return the first records that were refused as a table, and where all of them are."""
    if rejects is None:
        return {}
    import pandas as pd  # here, because only a load with rejects needs it

    with staging.fetch([rejects]) as (file,):
        frame = pd.read_csv(file, dtype=str, nrows=_SHOWN_REJECTS, keep_default_na=False)
    rows = frame.to_numpy().tolist()
    return {
        "rejects": dg.MetadataValue.md(table(list(frame.columns), rows, width=_LISTED)),
        "rejects_uri": dg.MetadataValue.path(staging.uri(rejects.path)),
    }


def overlaps_metadata(campaigns: Mapping[str, Campaign], key: str) -> Metadata:
    """Return how many seasons overlap a campaign's, and a timeline of them with its own."""
    mine = campaigns[key]
    others = [
        Season(one.key, one.start, one.end)
        for one in campaigns.values()
        if one.key != key and one.start <= mine.end and mine.start <= one.end
    ]
    lines = [Season(mine.key, mine.start, mine.end, marked=True), *others[:_SHOWN_SEASONS]]
    return {
        "overlapping_seasons": dg.MetadataValue.int(len(others)),
        "timeline": dg.MetadataValue.md(timeline(lines)),
    }
