"""The proof, taken again: whether slices are what their loads committed, and sources still are."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError, StagingError
from etl_assets.core.fingerprint import Fingerprint, differences, named_differences
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.manifest import Load, Stage
from etl_assets.kept import extract_of, read_manifest
from etl_assets.proof import comparable, fingerprint_parquet
from etl_assets.systems.fingerprint_duckdb import fingerprint_of_parts
from etl_assets.systems.protocols import Outcome, Source, Staging, Warehouse


@dataclass(frozen=True)
class Verified:
    """What was found of one slice.

    Attributes:
        load_id: Of the load that made it; None when the ledger has none.
        records: In the table now.
        faults: What is not as it was committed, as sentences; none when all is.
        notes: What else there is to know: what could not be compared, what the source says now.
    """

    dataset: str
    key: str
    load_id: str | None
    records: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def verify(
    datasets: Mapping[str, Dataset],
    warehouse: Warehouse,
    staging: Staging,
    *,
    key: str | None = None,
    source: Source | None = None,
) -> Iterator[Verified]:
    """Yield what is found of every slice, one after the other.

    Args:
        datasets: Whose tables.
        warehouse: Where they are.
        staging: Where the parts and extracts of their loads are.
        key: Only this campaign.
        source: Compared with the extracts, when it is given.

    Raises:
        WarehouseError: When the table or the ledger cannot be read.
        SourceError: When the source refuses the query.
        TransientError: When a system is busy; a retry is safe.
    """
    for dataset in datasets.values():
        current: dict[str, Load] = {}
        for row in warehouse.loads(dataset=dataset.name, key=key):
            if row.changes_slice:
                current.setdefault(row.campaign_key, row)
        counted = warehouse.slices(dataset)
        loaded = {name for name, row in current.items() if row.is_load}
        for name in sorted(loaded | counted.keys()):
            if key in (None, name):
                found = current.get(name)
                yield _verify(
                    dataset, name, found, counted.get(name, 0), warehouse, staging, source
                )


def _verify(
    dataset: Dataset,
    key: str,
    load: Load | None,
    records: int,
    warehouse: Warehouse,
    staging: Staging,
    source: Source | None,
) -> Verified:
    if load is None or not load.is_load:
        fault = f"{records:,} records of a key that the ledger has no load of."
        return Verified(dataset.name, key, load.load_id if load else None, records, (fault,))
    faults, notes = slice_faults(dataset, load, records, warehouse, staging)
    if (stage := _stage(load, staging)) is not None:
        try:
            staging.verify(stage.parts)
        except StagingError as error:
            faults.append(error.message)
    if source:
        notes.append(_at_source(dataset, load, staging, source))
    return Verified(dataset.name, key, load.load_id, records, tuple(faults), tuple(notes))


def slice_faults(
    dataset: Dataset, load: Load | None, records: int, warehouse: Warehouse, staging: Staging
) -> tuple[list[str], list[str]]:
    """Compare a slice with the load that made it.

    Args:
        dataset: Whose table.
        load: The row of the ledger that made the slice what it is; None when there is none.
        records: Those of the slice, as it is counted now.
        warehouse: Computes its fingerprint; not asked when the counts already differ.
        staging: Where the load's own fingerprint is.

    Returns:
        Faults, and notes of what could not be compared; both are sentences.
    """
    committed = load.records if load else 0
    if records != committed:
        return [f"{records:,} records in {dataset.table}, {committed:,} committed."], []
    if load is None or not load.is_load:
        return [], []
    try:
        stage = read_manifest(Stage, load.stage or "", staging, digest=load.stage_digest)
    except StagingError as error:
        return [error.message], []
    proven = stage.fingerprint
    if proven is None:
        return [], [
            "The load is of an earlier release, without a fingerprint: counts were compared."
        ]
    if load.fingerprint not in (None, proven.digest):
        return ["The fingerprint beside the staged parts is not that of the ledger."], []
    said = _differences(dataset, stage, proven, warehouse, staging)
    return ([f"{dataset.table}: {'; '.join(said)}."] if said else []), []


def _differences(
    dataset: Dataset, stage: Stage, proven: Fingerprint, warehouse: Warehouse, staging: Staging
) -> list[str]:
    def in_table(names: Collection[str], groups: Collection[Group]) -> Fingerprint:
        columns = [c for c in stage.columns if c.name in names]
        return warehouse.fingerprint(dataset, stage.campaign_key, columns, groups)

    def singly(names: Collection[str]) -> tuple[Fingerprint, Fingerprint]:
        with staging.fetch(stage.parts) as files:
            parts = fingerprint_of_parts(stage, files, names)
        return parts, in_table(names, [(name,) for name in names])

    found = in_table(proven.names, [group.columns for group in proven.groups])
    try:
        return named_differences(proven, found, singly)
    except StagingError:  # without the parts it is not known which column of a group it is
        return differences(proven, found)


def _stage(load: Load, staging: Staging) -> Stage | None:
    try:
        return read_manifest(Stage, load.stage or "", staging, digest=load.stage_digest)
    except StagingError:
        return None


def _at_source(dataset: Dataset, load: Load, staging: Staging, source: Source) -> str:
    """Return a sentence on what the source says now of the records a load was made from."""
    extract = extract_of(load, staging)
    if extract is None:
        return "The extract it was made from is not kept: the source was not compared."
    since = f"{extract.extracted_at:%Y-%m-%d %H:%M} UTC"
    outcome = Outcome(touched=extract.touched, rejected=extract.rejected)
    names = [c.name for c in extract.columns]
    try:
        with (
            staging.scratch() as folder,
            staging.fetch(extract.parts) as files,
            source.snapshot(dataset, dict(extract.bindings)) as snapshot,
        ):

            def both(
                some: Collection[str], groups: Collection[Group] = ()
            ) -> tuple[Fingerprint, Fingerprint]:
                now = comparable(snapshot.fingerprint(some, groups), outcome)
                columns = [c for c in extract.columns if c.name in now.names]
                together = [group.columns for group in now.groups]
                return fingerprint_parquet(files, columns, together, folder), now

            then, now = both(names)
            said = named_differences(then, now, lambda some: both(some, [(n,) for n in some]))
    except PermanentError as error:
        return f"The source was not compared: {error.message}"
    if said:
        return f"The source has changed since {since}: {'; '.join(said)}."
    return f"The source is as it was at {since}: {len(now.columns)} columns are equal."
