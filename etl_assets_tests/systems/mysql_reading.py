"""Read a query from a test's MySQL server, through Parquet, as the pipeline does."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from etl_assets.core.campaigns import Scalar
from etl_assets.core.datasets import Dataset
from etl_assets.core.fingerprint import differences
from etl_assets.systems.protocols import Outcome
from etl_assets.systems.source_mysql import MysqlSnapshot, MysqlSource
from etl_assets_tests.prints import reference
from etl_assets_tests.servers import MariaDBServer

BINDINGS: Mapping[str, Scalar] = {"campaign_key": "SP17", "start": "2017-03-01"}


@dataclass(frozen=True)
class Read:
    """What a query gave."""

    kinds: dict[str, str]
    count: int
    table: pa.Table
    outcome: Outcome

    @property
    def records(self) -> list[dict[str, object]]:
        """The records, as Python values."""
        return list(self.table.to_pylist())


def make_dataset(query: str, **fields: object) -> Dataset:
    """Return a dataset of a query, whose primary key is `id`."""
    document = {"dataset": "sales", "primary_key": ["id"], "query": query, **fields}
    return Dataset.model_validate(document)


def open_mysql(server: MariaDBServer, options: str = "") -> MysqlSource:
    """Return the server as a source, for the reader."""
    return MysqlSource(sa.make_url(server.url + options), server.password)


def read(
    server: MariaDBServer,
    folder: Path,
    query: str,
    bindings: Mapping[str, Scalar] | None = None,
    **fields: object,
) -> Read:
    """Read a query into a Parquet file and back."""
    dataset = make_dataset(query, **fields)
    file = folder / "read.parquet"
    with open_mysql(server).snapshot(dataset, {**BINDINGS, **(bindings or {})}) as snapshot:
        schema = pa.schema([(c.name, c.type.arrow()) for c in snapshot.columns])
        with pq.ParquetWriter(file, schema) as writer:
            for batch in snapshot.batches():
                writer.write_batch(batch)
        found = Read(
            {c.name: str(c.type) for c in snapshot.columns},
            snapshot.fingerprint(()).records,
            pq.read_table(file),
            snapshot.outcome(),
        )
        _compare(snapshot, found)
    return found


def _compare(snapshot: MysqlSnapshot, found: Read) -> None:
    """Hold what the server sums against what arrived, but for what a policy changed."""
    touched = {t.column for t in found.outcome.touched}
    kept = [c for c in snapshot.columns if c.name not in touched]
    if found.outcome.rejected == 0:
        printed = snapshot.fingerprint([c.name for c in kept])
        assert differences(reference(kept, found.records), printed) == []
