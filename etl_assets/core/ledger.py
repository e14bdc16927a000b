"""The ledger: its table, its rows, and the counts that must agree before a commit.

Both warehouses write the same ledger in the load's own transaction.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import ProofError
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.sql import column_list, quote_identifier, quote_table

SCHEMA = "etl_assets"
LEDGER = quote_table(SCHEMA, "loads")

_TYPES = {
    "load_id": "VARCHAR(64) NOT NULL",
    "kind": "VARCHAR(16) NOT NULL",
    "dataset": "VARCHAR(64) NOT NULL",
    "table": "VARCHAR(64) NOT NULL",
    "campaign_key": "VARCHAR(64) NOT NULL",
    "records": "BIGINT NOT NULL",
    "replaced_records": "BIGINT NOT NULL",
    "source_records": "BIGINT NOT NULL",
    "filtered": "BIGINT NOT NULL",
    "rejected": "BIGINT NOT NULL",
    "reshaped": "BIGINT NOT NULL",
    "rule_version": "INTEGER NOT NULL",
    "rules_digest": "VARCHAR(64) NOT NULL",
    "inputs_digest": "VARCHAR(64) NOT NULL",
    "extract_id": "VARCHAR(64)",
    "stage": "VARCHAR(1024)",
    "run_id": "VARCHAR(64)",
    "proof": "VARCHAR(1024) NOT NULL",
    "started_at": "TIMESTAMPTZ NOT NULL",
    "committed_at": "TIMESTAMPTZ NOT NULL",
}

CREATE_LEDGER = (
    f"CREATE TABLE IF NOT EXISTS {LEDGER}"
    f" ({', '.join(f'{quote_identifier(name)} {kind}' for name, kind in _TYPES.items())})"
)
"""The ledger's DDL, as DuckDB and Redshift both read it."""


def select_loads(tail: str) -> str:
    """Return the SELECT of ledger rows, for `read_loads`; `tail` is WHERE and what follows."""
    return f"SELECT {column_list(_TYPES)} FROM {LEDGER} {tail}"


def read_loads(rows: Iterable[Sequence[object]]) -> list[Load]:
    """Return what the rows of `select_loads` say."""
    return [Load.model_validate(dict(zip(_TYPES, row, strict=True))) for row in rows]


def insert_load(row: Load, mark: str) -> tuple[str, list[object]]:
    """Return the INSERT of a ledger row and its parameters; `mark` is the driver's placeholder."""
    marks = ", ".join(mark for _ in _TYPES)
    values = row.model_dump()
    return (
        f"INSERT INTO {LEDGER} ({column_list(_TYPES)}) VALUES ({marks})",
        [values[name] for name in _TYPES],
    )


def prove_load(stage: Stage, loaded: int) -> None:
    """Check that every record that was read is accounted for.

    Raises:
        ProofError: When what was loaded is not as many records as were staged, or the records
            read are not those staged, filtered and rejected together.
    """
    what = f"{stage.dataset} for campaign {stage.campaign_key}"
    if loaded != stage.records:
        raise ProofError(
            f"The load of {what} found {loaded:,} records, but {stage.records:,} were staged;"
            " it was rolled back.",
            "Refresh the campaign with --force; if it happens again, keep the staged parts.",
        )
    if stage.records + stage.filtered + stage.rejected != stage.source_records + stage.reshaped:
        raise ProofError(
            f"{what}: {stage.source_records:,} records were read{_reshaped(stage)}, but"
            f" {stage.records:,} staged, {stage.filtered:,} filtered and {stage.rejected:,}"
            " rejected; nothing was loaded.",
            "Refresh the campaign with --force; if it happens again, report the rule set.",
        )


def prove_prune(dataset: Dataset, key: str, *, total: int, gone: int, left: int) -> None:
    """Check that a removal left every other record.

    Raises:
        ProofError: When it did not.
    """
    if left != total - gone:
        raise ProofError(
            f"The removal of {key} from {dataset.table} would leave {left:,} records instead of"
            f" {total - gone:,}; it was rolled back.",
            "Run `etl-assets doctor`, then try again.",
        )


def load_row(
    stage: Stage,
    *,
    stage_path: str,
    run_id: str | None,
    replaced: int,
    started_at: dt.datetime,
    committed_at: dt.datetime,
) -> Load:
    """Return the ledger row of a load whose counts have been proven."""
    shared = stage.model_dump(include=set(Load.model_fields) & set(Stage.model_fields))
    return Load(
        **shared,
        kind="load",
        replaced_records=replaced,
        stage=stage_path,
        run_id=run_id,
        proof=f"{stage.source_records:,} read{_reshaped(stage)} = {stage.records:,} loaded"
        f" + {stage.filtered:,} filtered + {stage.rejected:,} rejected",
        started_at=started_at,
        committed_at=committed_at,
    )


def _reshaped(stage: Stage) -> str:
    """Return what rules that reshape records add to a sum, if there are any."""
    if not stage.reshaped:
        return ""
    return f" {'+' if stage.reshaped > 0 else '-'} {abs(stage.reshaped):,} reshaped"


def prune_row(
    dataset: Dataset,
    key: str,
    *,
    load_id: str,
    run_id: str | None,
    total: int,
    gone: int,
    started_at: dt.datetime,
    committed_at: dt.datetime,
) -> Load:
    """Return the ledger row of a removal whose counts have been proven."""
    return Load(
        load_id=load_id,
        kind="prune",
        dataset=dataset.name,
        table=dataset.table,
        campaign_key=key,
        records=0,
        replaced_records=gone,
        source_records=0,
        filtered=0,
        rejected=0,
        reshaped=0,
        rule_version=0,
        rules_digest="",
        inputs_digest="",
        extract_id=None,
        stage=None,
        run_id=run_id,
        proof=f"{total:,} in the table - {gone:,} of {key} = {total - gone:,} left",
        started_at=started_at,
        committed_at=committed_at,
    )
