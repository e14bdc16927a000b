"""The ledger: its table, its rows, and the counts that must agree before a commit.

Both warehouses write the same ledger in the load's own transaction.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Sequence

from etl_assets.core.errors import ProofError
from etl_assets.core.fingerprint import Fingerprint, named_differences
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.orders import Order
from etl_assets.core.sql import column_list, quote_identifier, quote_table

SCHEMA = "etl_assets"
_SHOWN = 5
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
    "reason": "VARCHAR(1024)",
    "made_by": "VARCHAR(256)",
    "about": "VARCHAR(64)",
    "undoes": "VARCHAR(64)",
    "fingerprint": "VARCHAR(64)",
    "stage_digest": "VARCHAR(64)",
    "campaign_name": "VARCHAR(1024)",
    "season_start": "DATE",
    "season_end": "DATE",
    "seen_to": "DATE",
    "compared_with": "VARCHAR(64)",
    "reporting": "VARCHAR(64)",
}

CREATE_LEDGER = (
    f"CREATE TABLE IF NOT EXISTS {LEDGER}"
    f" ({', '.join(f'{quote_identifier(name)} {kind}' for name, kind in _TYPES.items())})"
)
"""The ledger's DDL, as DuckDB and Redshift both read it."""


def add_columns(there: Collection[str]) -> list[str]:
    """Return the DDL that gives the ledger of an earlier release the columns it lacks.

    A statement per column: Redshift takes no more at once.
    """
    return [
        f"ALTER TABLE {LEDGER} ADD COLUMN {quote_identifier(name)} {_added(kind)}"
        for name, kind in _TYPES.items()
        if name not in there
    ]


def select_loads(tail: str, there: Collection[str] = _TYPES) -> str:
    """Return the SELECT of ledger rows, for `read_loads`.

    Args:
        tail: WHERE and what follows.
        there: The columns that the ledger has; that of an earlier release has fewer.
    """
    return f"SELECT {column_list(_present(there))} FROM {LEDGER} {tail}"


def read_loads(rows: Iterable[Sequence[object]], there: Collection[str] = _TYPES) -> list[Load]:
    """Return what the rows of `select_loads` say."""
    names = _present(there)
    return [Load.model_validate(dict(zip(names, row, strict=True))) for row in rows]


def _present(there: Collection[str]) -> list[str]:
    return [name for name in _TYPES if name in there]


def _added(kind: str) -> str:
    return kind.replace(" NOT NULL", " DEFAULT 0")  # only counts were ever added so


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


def prove_slice(
    stage: Stage,
    in_table: Callable[[Collection[str], Collection[Group]], Fingerprint],
    in_parts: Callable[[Collection[str]], Fingerprint],
) -> None:
    """Check that a slice holds the values that were staged.

    Args:
        stage: What was loaded; without a fingerprint nothing is compared.
        in_table: Returns the slice's fingerprint of columns, in groups, in the transaction.
        in_parts: Returns that of the staged parts, each column in a group of its own.

    Raises:
        ProofError: Naming the columns.
    """
    if stage.fingerprint is None:
        return
    found = in_table(stage.fingerprint.names, [g.columns for g in stage.fingerprint.groups])
    said = named_differences(
        stage.fingerprint,
        found,
        lambda names: (in_parts(names), in_table(names, [(name,) for name in names])),
    )
    if said:
        more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
        raise ProofError(
            f"The load of {stage.dataset} for campaign {stage.campaign_key} is not what was staged:"
            f" {'; '.join(said[:_SHOWN])}{more}; it was rolled back.",
            "Refresh the campaign with --force; if it happens again, keep the staged parts.",
        )


def prove_prune(order: Order, *, total: int, gone: int, left: int) -> None:
    """Check that a removal left every other record.

    Raises:
        ProofError: When it did not.
    """
    if left != total - gone:
        raise ProofError(
            f"{order} would leave {left:,} records instead of {total - gone:,}; it was rolled"
            " back.",
            "Run `etl-assets doctor`, then try again.",
        )


def row_of(
    order: Order,
    *,
    records: int,
    replaced: int = 0,
    total: int = 0,
    started_at: dt.datetime,
    committed_at: dt.datetime,
) -> Load:
    """Return the ledger row of an order whose counts have been proven.

    Args:
        order: What was done.
        records: Records of the slice now.
        replaced: Records of the slice before, if they were replaced or removed.
        total: Of a prune, the records of the table before it.
        started_at: When the transaction began.
        committed_at: When this row was made.
    """
    stage = order.stage
    shared = stage.model_dump(include=_SHARED) if stage else dict(_NOTHING_STAGED)
    proofs = {
        "load": _load_proof(stage) if stage else "",
        "prune": f"{total:,} in the table - {replaced:,} of {order.campaign_key}"
        f" = {total - replaced:,} left",
    }
    decided = {"load_id", "dataset", "table", "campaign_key", "kind", "run_id"}
    decided |= {"reason", "made_by", "about", "undoes"}
    return Load(
        **{
            **shared,
            **{name: getattr(order, name) for name in decided},
            "records": records,
            "replaced_records": replaced,
            "stage": order.stage_path,
            "fingerprint": _digest_of(order.loaded),
            "stage_digest": stage.digest if stage and order.stage_path else None,
            "proof": proofs.get("load" if order.loaded else order.kind, ""),
            "started_at": started_at,
            "committed_at": committed_at,
        }
    )


_SHARED = set(Load.model_fields) & set(Stage.model_fields) - {"fingerprint"}


def _digest_of(loaded: Stage | None) -> str | None:
    return loaded.fingerprint.digest if loaded and loaded.fingerprint else None


_NOTHING_STAGED: dict[str, object] = {
    "source_records": 0,
    "filtered": 0,
    "rejected": 0,
    "reshaped": 0,
    "rule_version": 0,
    "rules_digest": "",
    "inputs_digest": "",
    "extract_id": None,
}


def _load_proof(stage: Stage) -> str:
    return (
        f"{stage.source_records:,} read{_reshaped(stage)} = {stage.records:,} loaded"
        f" + {stage.filtered:,} filtered + {stage.rejected:,} rejected"
    )


def _reshaped(stage: Stage) -> str:
    """Return what rules that reshape records add to a sum, if there are any."""
    if not stage.reshaped:
        return ""
    return f" {'+' if stage.reshaped > 0 else '-'} {abs(stage.reshaped):,} reshaped"
