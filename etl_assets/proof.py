"""The proof that what was read is what is loaded: fingerprints at four places.

    source ──= extract (Parquet) ──rules──> stage ──= table, before the COMMIT

The source computes its own fingerprint in the snapshot that the records are read in, of the
columns the dataset says (`source_proof`). A column that no rule sets must come out of the rules
as it went in, where no record was left out. The warehouse's side is `core/ledger.prove_slice`.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import ProofError, StagingError
from etl_assets.core.fingerprint import ColumnPrint, Fingerprint, differences
from etl_assets.core.manifest import Extract
from etl_assets.core.rules.columns_used import columns_set
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.sql import quote_literal
from etl_assets.rules.engine import engine
from etl_assets.systems.fingerprint_duckdb import fingerprint_of
from etl_assets.systems.protocols import Outcome

_SHOWN = 5


def fingerprint_parquet(
    files: Sequence[Path], columns: Sequence[Column], folder: Path
) -> Fingerprint:
    """Return the fingerprint of columns of Parquet files; `folder` is where to spill."""
    if not files:
        return nothing(columns)
    listed = ", ".join(quote_literal(str(file)) for file in files)
    try:
        with engine(folder) as connection:
            return fingerprint_of(connection, columns, f"read_parquet([{listed}])")
    except duckdb.Error as error:
        raise StagingError(
            f"The extract cannot be read back: {str(error).splitlines()[0]}.",
            "Check that the staging store has space (`etl-assets doctor`).",
        ) from error


def nothing(columns: Sequence[Column]) -> Fingerprint:
    """Return the fingerprint of no records."""
    prints = [ColumnPrint(column=c.name, type=c.type, non_nulls=0, total="0") for c in columns]
    return Fingerprint(records=0, columns=tuple(prints))


def source_columns(dataset: Dataset, columns: Sequence[Column]) -> list[str]:
    """Return the names of the columns whose fingerprint the source is asked for."""
    names = [c.name for c in columns]
    if dataset.source_proof == "all":
        return names
    if dataset.source_proof == "count":
        return []
    wanted = {*dataset.primary_key, *dataset.measures}
    return [name for name in names if name in wanted]


def comparable(at_source: Fingerprint, outcome: Outcome) -> Fingerprint:
    """Return the part of a source's fingerprint that an extract must have, too.

    Values that a policy touched are not those of the source any more; and when a record was
    rejected, its values are in every total of the source. What is left is at least the count.
    """
    touched = {one.column for one in outcome.touched}
    names = set() if outcome.rejected else at_source.names - touched
    left = at_source.only(names)
    return left.model_copy(update={"records": left.records - outcome.rejected})


def prove_extract(dataset: Dataset, key: str, expected: Fingerprint, found: Fingerprint) -> None:
    """Check that an extract holds what its source held.

    Raises:
        ProofError: Naming the columns; nothing was stored.
    """
    said = differences(expected, found)
    if said:
        raise ProofError(
            f"The extract of {dataset.name} for campaign {key} is not what the source held in the"
            f" same snapshot: {_some(said)}.",
            "Try again; if it happens again, report the query and the column's type. Nothing was"
            " stored.",
        )


def prove_rules(
    dataset: Dataset, extract: Extract, rule_set: RuleSet, staged: Fingerprint
) -> Fingerprint | None:
    """Check that the columns no rule sets came out of the rules as they went in.

    Returns:
        What was compared; None when a rule left a record out, or made several of one, so that
        nothing can be.

    Raises:
        ProofError: Naming the columns.
    """
    if extract.fingerprint is None or staged.records != extract.records:
        return None
    kept = {c.column for c in staged.columns}
    same = untouched(rule_set, [c.name for c in extract.columns]) & kept
    compared = staged.only(same)
    said = differences(extract.fingerprint.only(same), compared)
    if said:
        raise ProofError(
            f"The rules of {dataset.name} changed columns of campaign {extract.campaign_key} that"
            f" none of them sets: {_some(said)}.",
            "Report the rule set; nothing was staged.",
        )
    return compared


def untouched(rule_set: RuleSet, names: Collection[str]) -> set[str]:
    """Return the columns that no rule sets, of those there are before the first."""
    known, found = list(names), set(names)
    for rule in rule_set.rules:
        made = columns_set(rule, known)
        found -= made.keys()
        known += [name for name in made if name not in known]
    return found


def _some(said: Sequence[str]) -> str:
    more = len(said) - _SHOWN
    return "; ".join(said[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
