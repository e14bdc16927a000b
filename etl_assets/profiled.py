"""What a person sees of an extract, and what changed since the one or the load before."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import StagingError, TransientError
from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.core.profile import Profile, RecordChanges
from etl_assets.core.sql import column_list
from etl_assets.kept import stage_of
from etl_assets.rules.engine import engine
from etl_assets.rules.profiling import count_changes, profile, read_parquet
from etl_assets.systems.duckdb_tables import from_csv, read_parts
from etl_assets.systems.protocols import Staging
from etl_assets.systems.telemetry import span

_MOST_CELLS = 2_000_000
"""Of both loads together. To parse them takes two tenths of a second; of more it would be felt."""


def profile_extract(
    dataset: Dataset,
    campaign: Campaign,
    made: Extract,
    files: Sequence[Path],
    previous: Extract | None,
    staging: Staging,
    folder: Path,
) -> Profile | None:
    """Return what is shown of an extract; None, or less, when that cannot be found out.

    Args:
        dataset: Whose records.
        campaign: Says whose days are counted.
        made: The extract.
        files: Its parts.
        previous: The extract before, if there is one; when its parts are gone, nothing is said
            of what changed.
        staging: Where those are.
        folder: Where to spill.
    """
    now = read_parquet(files, made.columns)
    found = None
    try:
        with engine(folder) as connection:
            found = profile(
                connection, now, made.columns,
                preview=dataset.preview, season_column=dataset.season_column,
                zone=campaign.time_zone,
            )  # fmt: skip
            if previous:
                with staging.fetch(previous.parts) as earlier:
                    before = read_parquet(earlier, previous.columns), previous.columns
                    changes = count_changes(
                        connection, before, (now, made.columns), dataset.primary_key,
                        previous.extract_id,
                    )  # fmt: skip
                found = found.model_copy(update={"changes": changes})
    except (duckdb.Error, StagingError, TransientError):
        return found  # what is only shown must not fail what is loaded
    return found


def changes_of_load(before: Load | None, staged: Stage, staging: Staging) -> RecordChanges | None:
    """Return how staged records differ from those of the load they replaced, by the kept parts.

    None when there was none, when its parts are gone, when there are too many values to read
    (`etl-assets loads diff` reads them), or when what names records is gone.
    """
    if before is None or not before.is_load:
        return None
    cells = (before.records + staged.records) * len(staged.columns)
    earlier = stage_of(before, staging) if cells <= _MOST_CELLS else None
    if earlier is None:
        return None
    try:
        with (
            span("changes"),
            staging.scratch() as folder,
            staging.fetch(earlier.parts) as was,
            staging.fetch(staged.parts) as files,
            engine(folder) as connection,
        ):
            return count_changes(
                connection,
                (_parts(earlier, was), earlier.columns),
                (_parts(staged, files), staged.columns),
                staged.primary_key,
                before.load_id,
            )
    except (duckdb.Error, StagingError, TransientError):
        return None  # it is loaded, and what is only shown must not fail that


def _parts(stage: Stage, files: Sequence[Path]) -> str:
    if not files:
        return read_parquet((), stage.columns)
    names = column_list(column.name for column in stage.columns)
    return f"(SELECT {from_csv(stage)} FROM {read_parts(stage, files)}) AS r({names})"
