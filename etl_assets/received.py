"""What a snapshot of the source gives: checked, and written to files in the making."""

import contextlib
import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import SourceError, StagingError
from etl_assets.systems.protocols import Outcome, SourceSnapshot
from etl_assets.systems.telemetry import advanced

PARQUET_PART_BYTES = 32 << 20
"""A part is closed when it has grown to about this size; each becomes a CSV part of its own,
of which a COPY reads several at once."""


def check_primary_key(dataset: Dataset, snapshot: SourceSnapshot) -> None:
    """Raise unless the query gives every column of the primary key.

    Raises:
        SourceError: Naming the column.
    """
    names = {c.name for c in snapshot.columns}
    missing = [name for name in dataset.primary_key if name not in names]
    if missing:
        raise SourceError(
            f"The query of {dataset.name} gives no column `{missing[0]}` of its primary key.",
            "Add it to the query, or correct `primary_key`.",
        )


def check_received(
    dataset: Dataset, campaign: Campaign, expected: int, records: int, outcome: Outcome
) -> None:
    """Check that every record was received, and no more were rejected than may be.

    Raises:
        SourceError: With the counts; or with the first record that was rejected.
    """
    received = records + outcome.rejected
    if received != expected:
        raise SourceError(
            f"The extract of {dataset.name} for campaign {campaign.key} received {received:,}"
            f" records, but the source counts {expected:,} in the same snapshot.",
            "Try again; if it happens again, the query is not deterministic.",
        )
    if dataset.max_rejected is not None and outcome.rejected > dataset.max_rejected:
        first = outcome.rejects[0]
        raise SourceError(
            f"The policies of {dataset.name} reject {outcome.rejected:,} records of campaign"
            f" {campaign.key}, more than the {dataset.max_rejected:,} allowed; the first is"
            f" {first.record}, with {first.value!r} in `{first.column}` ({first.policy}).",
            "Correct the values at the source, or choose another policy.",
        )


def write_rejects(outcome: Outcome, folder: Path) -> Path:
    """List what the policies rejected, in the form of the rules' rejects."""
    file = folder / "rejects.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["rule", "column", "value", "record"])
        writer.writerows((r.policy, r.column, r.value, r.record) for r in outcome.rejects)
    return file


def write_parquet(snapshot: SourceSnapshot, folder: Path, expected: int) -> tuple[list[Path], int]:
    """Write the snapshot's records to Parquet files; memory is one batch.

    lz4 costs next to no CPU; what is kept for long is worth more, but costs every refresh.

    Args:
        snapshot: Gives the records.
        folder: Where to write.
        expected: How many records there are.

    Returns:
        The files, and the number of records in them.

    Raises:
        SourceError: When a value is not of its column's type.
        StagingError: When the disk does not take them.
        TransientError: When the connection was lost; a retry is safe.
    """
    schema = pa.schema([(c.name, c.type.arrow()) for c in snapshot.columns])
    files: list[Path] = []
    records = 0
    writer: pq.ParquetWriter | None = None
    try:
        for batch in snapshot.batches():
            if writer is None:
                files.append(folder / f"{len(files):05}.parquet")
                writer = pq.ParquetWriter(files[-1], schema, compression="lz4")
            writer.write_batch(batch)
            records += batch.num_rows
            advanced(batch.num_rows, batch.nbytes, of=expected)
            if files[-1].stat().st_size > PARQUET_PART_BYTES:
                writer.close()
                writer = None
        if writer is not None:
            writer.close()
    except OSError as error:
        raise StagingError(
            f"The extract could not be written to {folder}: {error.strerror or error}.",
            "Check that the staging store has space (`etl-assets doctor`).",
        ) from error
    finally:
        if writer is not None and writer.is_open:
            with contextlib.suppress(OSError):
                writer.close()
    return files, records
