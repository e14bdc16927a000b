"""The proof that what was read is what is loaded: fingerprints at four places.

    source ──= extract (Parquet) ──rules──> stage ──= table, before the COMMIT

The source computes its own fingerprint in the snapshot that the records are read in, of the
columns the dataset says (`source_proof`). A column that no rule sets must come out of the rules
as it went in, where no record was left out. The warehouse's side is `core/ledger.prove_slice`.
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import ProofError, StagingError
from etl_assets.core.fingerprint import (
    ColumnPrint,
    Fingerprint,
    GroupPrint,
    differences,
    named_differences,
)
from etl_assets.core.fingerprint_groups import Group, is_grouped
from etl_assets.core.manifest import Extract
from etl_assets.core.sql import quote_literal
from etl_assets.rules.engine import engine
from etl_assets.systems.fingerprint_duckdb import fingerprint_of
from etl_assets.systems.protocols import Outcome, SourceSnapshot

_SHOWN = 5


def fingerprint_parquet(
    files: Sequence[Path], columns: Sequence[Column], groups: Iterable[Group], folder: Path
) -> Fingerprint:
    """Return the fingerprint of columns of Parquet files; no files hold no records.

    Args:
        files: The parts of an extract.
        columns: Of them, or some.
        groups: See `fingerprint_groups.groups_of`.
        folder: Where to spill.

    Raises:
        StagingError: When the files cannot be read.
    """
    if not files:
        return nothing(columns, groups)
    listed = ", ".join(quote_literal(str(file)) for file in files)
    try:
        with engine(folder) as connection:
            return fingerprint_of(connection, columns, groups, f"read_parquet([{listed}])")
    except duckdb.Error as error:
        raise StagingError(
            f"The extract cannot be read back: {str(error).splitlines()[0]}.",
            "Check that the staging store has space (`etl-assets doctor`).",
        ) from error


def nothing(columns: Sequence[Column], groups: Iterable[Group]) -> Fingerprint:
    """Return the fingerprint of no records."""
    prints = [
        ColumnPrint(column=c.name, type=c.type, non_nulls=0, total=None if is_grouped(c) else "0")
        for c in columns
    ]
    made = tuple(GroupPrint(columns=group, total="0") for group in groups)
    return Fingerprint(records=0, columns=tuple(prints), groups=made)


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


def prove_extract(
    dataset: Dataset,
    key: str,
    at_source: Fingerprint,
    snapshot: SourceSnapshot,
    files: Sequence[Path],
    folder: Path,
) -> Fingerprint:
    """Check that Parquet files hold what the source held, while its snapshot is open.

    Args:
        dataset: Whose query it is.
        key: Of the campaign.
        at_source: What the snapshot said of its `source_columns`.
        snapshot: Its records are all read.
        files: They are in these.
        folder: Where to spill.

    Returns:
        What was compared.

    Raises:
        ProofError: Naming the columns; nothing was stored.
        SourceError: When the source refuses the query.
        StagingError: When the files cannot be read.
    """
    outcome = snapshot.outcome()

    def received(like: Fingerprint) -> Fingerprint:
        named = [c for c in snapshot.columns if c.name in like.names]
        return fingerprint_parquet(files, named, [g.columns for g in like.groups], folder)

    def singly(names: Collection[str]) -> tuple[Fingerprint, Fingerprint]:
        one = snapshot.fingerprint(names, [(name,) for name in names])
        expected = comparable(one, outcome)
        return expected, received(expected)

    expected = comparable(at_source, outcome)
    said = named_differences(expected, received(expected), singly)
    if said:
        raise ProofError(
            f"The extract of {dataset.name} for campaign {key} is not what the source held in the"
            f" same snapshot: {_some(said)}.",
            "Try again; if it happens again, report the query and the column's type. Nothing was"
            " stored.",
        )
    return expected


def unchanged_groups(extract: Extract, as_read: Collection[str]) -> list[Group]:
    """Return the groups of the extract's fingerprint whose columns no rule sets."""
    if extract.source_fingerprint is None:
        return []
    groups = [group.columns for group in extract.source_fingerprint.groups]
    return [group for group in groups if set(as_read).issuperset(group)]


def prove_rules(
    dataset: Dataset, extract: Extract, as_read: Collection[str], staged: Fingerprint
) -> tuple[str, ...]:
    """Check that what no rule sets came out of the rules as the source has it.

    To be asked only when no record was left out, and none made of others.

    Returns:
        The columns that were compared.

    Raises:
        ProofError: Naming the columns.
    """
    if extract.source_fingerprint is None:
        return ()
    expected = extract.source_fingerprint.only(set(as_read) & staged.names)
    said = differences(expected, staged.only(expected.names))
    if said:
        raise ProofError(
            f"The rules of {dataset.name} changed columns of campaign {extract.campaign_key} that"
            f" none of them sets: {_some(said)}.",
            "Report the rule set; nothing was staged.",
        )
    grouped = {name for group in expected.groups for name in group.columns}
    return tuple(c.column for c in expected.columns if c.total is not None or c.column in grouped)


def _some(said: Sequence[str]) -> str:
    more = len(said) - _SHOWN
    return "; ".join(said[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
