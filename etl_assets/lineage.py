"""What Dagster only knows of: the source's tables before the chains, views and readers after them."""

from collections import defaultdict
from collections.abc import Iterator

import dagster as dg

from etl_assets.core.datasets import Dataset
from etl_assets.core.kept_views import column_comments
from etl_assets.core.lineage.query import query_lineage
from etl_assets.core.orders import declared_by
from etl_assets.core.readers import Reader
from etl_assets.core.reporting import DAY_COLUMNS, Reporting
from etl_assets.core.reporting_views import SHOWS, view_kinds, view_name
from etl_assets.input_events import input_key
from etl_assets.metadata_parts import column_schema
from etl_assets.settings import Settings
from etl_assets.systems.connect import system_kind

DATASET_TAG = "etl_assets/dataset"


def build_external_assets(settings: Settings) -> list[dg.AssetSpec]:
    """Return a spec for every table a dataset reads, every view kept beside one, every reader."""
    datasets = settings.datasets.values()
    views = [view for dataset in datasets for view in _views(dataset, settings)]
    return [*_sources(settings), *views, *_readers(settings)]


def view_key(dataset: Dataset, kind: str) -> dg.AssetKey:
    """Return the key of the asset that a view beside a dataset's table is."""
    return dg.AssetKey([dataset.name, view_name(dataset.table, kind)])


def tags_of(dataset: Dataset) -> dict[str, str]:
    """Return the tags of everything that is of a dataset."""
    return {DATASET_TAG: dataset.name}


def owners_of(owner: str | None) -> list[str] | None:
    """Return owners as Dagster takes them."""
    return [owner] if owner else None


def _sources(settings: Settings) -> Iterator[dg.AssetSpec]:
    kind = system_kind(settings.source_url)
    readers: dict[str, list[str]] = defaultdict(list)
    says: dict[str, list[str]] = defaultdict(list)
    for dataset in settings.datasets.values():
        read = _columns_read(dataset)
        for name in dataset.source_tables:
            readers[name].append(dataset.name)
            if columns := ", ".join(f"`{column}`" for column in sorted(read.get(name, ()))):
                says[name].append(f"{dataset.name} reads {columns}.")
    loaded = {contract.table: contract for contract in settings.contracts.values()}
    for name in sorted({*readers, *loaded}):
        by = f"read by {', '.join(readers[name])}" if name in readers else "read by no dataset"
        contract = loaded.get(name)
        shown = {"dagster/column_schema": column_schema(contract.table_columns)} if contract else {}
        yield dg.AssetSpec(
            ["source", name],
            deps=[input_key(contract.source)] if contract else [],
            group_name="source",
            kinds={kind, "table"},
            owners=owners_of(contract.owner) if contract else None,
            description="\n\n".join(
                [f"The table `{name}` of the source database, {by}.", *says[name]]
            ),
            metadata={"dagster/table_name": name, **shown},
        )


def _columns_read(dataset: Dataset) -> dict[str, set[str]]:
    """Return the columns that the query reads, by table; none when it cannot be followed."""
    try:
        return query_lineage(dataset.query).columns_read
    except Exception:  # noqa: BLE001  (what is only shown must not keep the platform from starting)
        return {}


def _views(dataset: Dataset, settings: Settings) -> Iterator[dg.AssetSpec]:
    for kind in view_kinds(dataset.reporting):
        yield dg.AssetSpec(
            view_key(dataset, kind),
            deps=[dg.AssetKey([dataset.name, "redshift_table"])],
            group_name=dataset.name,
            kinds={system_kind(settings.warehouse_url), "view"},
            owners=owners_of(dataset.owner),
            tags=tags_of(dataset),
            description=f"{dataset.description}\n\nThe view `{view_name(dataset.table, kind)}`:"
            f" {SHOWS[kind]}. A load makes it with the table.",
            metadata={
                "dagster/table_name": view_name(dataset.table, kind),
                **_schema(dataset, kind),
            },
        )


def _schema(dataset: Dataset, kind: str) -> dict[str, dg.MetadataValue]:
    """Return the columns of a view over days; those of the others are the table's."""
    reporting = dataset.reporting
    if reporting is None or kind not in DAY_COLUMNS:
        return {}
    comments = column_comments(kind, declared_by(dataset))
    types = {name: str(spec.type) for name, spec in dataset.columns.items() if spec.type}
    columns = [
        dg.TableColumn(name, types.get(name) or _kind_of(reporting, name), comments.get(name))
        for name in DAY_COLUMNS[kind](reporting)
    ]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns))}


def _kind_of(reporting: Reporting, name: str) -> str:
    """Return what a column of a view over days is, as far as a document says."""
    if name in ("day", "compared_day"):
        return "date"
    texts = ("campaign_key", "campaign_name", "compared_with", "compared_name")
    return "text" if name in (*texts, *reporting.dimensions) else "number"


def _readers(settings: Settings) -> Iterator[dg.AssetSpec]:
    """Yield each reader once, after everything it reads."""
    found: dict[str, list[tuple[Dataset, Reader]]] = defaultdict(list)
    for dataset in settings.datasets.values():
        for reader in dataset.readers:
            found[reader.name].append((dataset, reader))
    for name, reads in sorted(found.items()):
        reader = reads[0][1]
        yield dg.AssetSpec(
            ["reader", name],
            deps=[_read_by(dataset, one) for dataset, one in reads],
            group_name="readers",
            kinds={reader.kind},
            owners=owners_of(reader.owner),
            description="\n\n".join([reader.description, *(_says(d, one) for d, one in reads)]),
        )


def _read_by(dataset: Dataset, reader: Reader) -> dg.AssetKey:
    if reader.reads == "table":
        return dg.AssetKey([dataset.name, "redshift_table"])
    return view_key(dataset, reader.reads)


def _says(dataset: Dataset, reader: Reader) -> str:
    columns = ", ".join(f"`{name}`" for name in reader.columns) or "all columns"
    return f"Reads {columns} of `{reader.place(dataset.table)}`."
