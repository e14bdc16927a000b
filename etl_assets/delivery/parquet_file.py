"""Feeds as Parquet, with settings that do not depend on where the records come from."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.feeds.formats import ParquetFormat


def write_parquet(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: ParquetFormat, file: Path
) -> None:
    """Write records as Parquet, a row group per batch."""
    with pq.ParquetWriter(
        file, schema, version="2.6", compression=options.compression, data_page_version="1.0"
    ) as writer:
        for batch in batches:
            writer.write_batch(batch)
