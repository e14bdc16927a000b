"""Tables and views of the warehouse from code: as pandas, as Arrow, or batch by batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError
from etl_assets.core.reporting_views import view_name, view_names
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.selects import Select
from etl_assets.core.sql import column_list, quote_identifier, quote_literal
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Staging, Warehouse

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TABLE = "table"


@dataclass(frozen=True)
class OpenTable:
    """Records of a table or view, which are read when they are asked for; see `open_table`.

    Each reading is of the moment it begins, in no order, and holds the warehouse only while it
    writes the records out: a DuckDB file is free again before the first batch comes.

    Attributes:
        name: The table or view in the warehouse.
        columns: Its columns that are read, with their types.
    """

    name: str
    columns: tuple[Column, ...]
    _select: Select = field(repr=False)
    _warehouse: Warehouse = field(repr=False)
    _staging: Staging = field(repr=False)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the records as a frame whose columns are backed by Arrow.

        So nothing changes its value: decimals stay decimals, whole numbers with NULL stay whole,
        dates stay dates. `.convert_dtypes(dtype_backend="numpy_nullable")` and `.astype` give
        other types to those who want them. The frame is in memory as a whole.

        Raises:
            WarehouseError: As `batches`.
        """
        import pandas as pd

        frame: pd.DataFrame = self.to_arrow().to_pandas(types_mapper=pd.ArrowDtype)
        return frame

    def to_arrow(self) -> "pa.Table":
        """Return the records as an Arrow table, in memory as a whole; errors as `batches`."""
        import pyarrow as pa

        from etl_assets.systems.unloading import arrow_schema

        return pa.Table.from_batches(self.batches(), arrow_schema(self.columns))

    def batches(self) -> "Iterator[pa.RecordBatch]":
        """Yield the records as Arrow batches of up to 20,000; memory is one batch.

        Raises:
            WarehouseError: When the warehouse refuses, or other records came than it wrote. What
                was yielded is to be discarded.
            TransientError: When the warehouse is busy or cannot be reached.
        """
        what = f"Reading {self.name}"
        with self._warehouse.unload(self._select, self.columns, self._staging, what) as unloaded:
            yield from unloaded.batches()


def open_table(
    dataset: str,
    keys: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    view: str = TABLE,
    settings: Settings | None = None,
) -> OpenTable:
    """Return a dataset's records in the warehouse, to be read as pandas, as Arrow or in batches.

    Args:
        dataset: Its name.
        keys: Only of these campaigns; of all unless given.
        columns: Only these, in this order; all of them unless given.
        view: `table`, or the ending of one of its views, such as `by_campaign` or `deduplicated`.
        settings: Which warehouse; the environment's unless given.

    Raises:
        PermanentError: When there is no such dataset, view, column, or campaign in the ledger;
            with the name that is most alike.
        WarehouseError: When nothing of the dataset is loaded yet.
        TransientError: When the warehouse is busy or cannot be reached.
    """
    settings = settings or Settings.from_environment()
    found = settings.datasets.get(dataset)
    if found is None:
        raise PermanentError(
            f"There is no dataset {dataset!r}{nearest(dataset, settings.datasets)}.",
            f"Datasets are {', '.join(sorted(settings.datasets))}.",
        )
    name = _relation(found, view)
    warehouse = settings.open_warehouse()
    there = warehouse.describe(Select(f"SELECT * FROM {quote_identifier(name)}"), f"Opening {name}")
    wanted = there if columns is None else tuple(_column(there, c, name) for c in columns)
    if not wanted:
        raise PermanentError(f"No column of {name} is asked for.", "Name at least one.")
    _check_keys(warehouse, found, keys)
    select = Select(_query(name, wanted, keys))
    return OpenTable(name, wanted, select, warehouse, settings.open_staging())


def _relation(dataset: Dataset, view: str) -> str:
    names = {TABLE: dataset.table}
    for name in view_names(dataset.table, dataset.reporting):
        names[name.removeprefix(view_name(dataset.table, ""))] = name
    if view not in names:
        raise PermanentError(
            f"{dataset.name} has no view {view!r}{nearest(view, names)}.",
            f"There are {', '.join(names)}.",
        )
    return names[view]


def _column(there: Sequence[Column], name: str, relation: str) -> Column:
    by_name = {column.name: column for column in there}
    if name not in by_name:
        raise PermanentError(
            f"{relation} has no column {name!r}{nearest(name, by_name)}.",
            f"Columns are {', '.join(by_name)}.",
        )
    return by_name[name]


def _check_keys(warehouse: Warehouse, dataset: Dataset, keys: Sequence[str] | None) -> None:
    if keys is None:
        return
    if isinstance(keys, str):
        raise PermanentError(
            f"`keys` is the text {keys!r}.", f"Give a list of campaign keys: [{keys!r}]."
        )
    known = {load.campaign_key for load in warehouse.loads(dataset=dataset.name)}
    for key in keys:
        if key not in known:
            raise PermanentError(
                f"Campaign {key!r} was never loaded into {dataset.table}{nearest(key, known)}.",
                f"Loaded were {', '.join(sorted(known)) or 'none'}.",
            )


def _query(name: str, columns: Sequence[Column], keys: Sequence[str] | None) -> str:
    listed = column_list(column.name for column in columns)
    where = ""
    if keys is not None:
        where = f" WHERE campaign_key IN ({', '.join(map(quote_literal, keys))})" if keys else " WHERE false"  # fmt: skip
    return f"SELECT {listed} FROM {quote_identifier(name)}{where}"
