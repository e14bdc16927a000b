"""What differs between two loads of one slice, from the staged parts that are kept of them.

Neither source nor table is read. Both sides are tables of an engine that spills to disk, so
memory stays bounded however large the slices are.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

import duckdb

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import PermanentError, StagingError
from etl_assets.core.manifest import Load, Stage
from etl_assets.core.sql import column_list, quote_identifier, quote_literal
from etl_assets.kept import stage_of
from etl_assets.rules.diff import JOINED, RECORD, Difference, compare, keep_records
from etl_assets.rules.engine import Connection, engine
from etl_assets.systems.duckdb_tables import from_csv, read_parts
from etl_assets.systems.protocols import Staging

_MOVERS = 3
_EXACT_DIGITS = 28
"""A sum of decimals of more digits may not fit 38; it is made of doubles."""


@dataclass(frozen=True)
class Mover:
    """A record whose number changed by much; None where it has none, or is not there.

    Attributes:
        record: Its name, as `name=value, …`.
    """

    record: str
    before: str | None
    after: str | None

    @property
    def change(self) -> Decimal:
        """After less before; what is not there counts as 0."""
        return Decimal(self.after or 0) - Decimal(self.before or 0)


@dataclass(frozen=True)
class Total:
    """A column of numbers whose values differ.

    Attributes:
        before: The sum; None when there is no value.
        after: Likewise.
        movers: The records that changed by most.
        whole: Whether it is a column of whole numbers, which may be ids.
    """

    column: str
    before: str | None
    after: str | None
    movers: tuple[Mover, ...]
    whole: bool

    @property
    def change(self) -> Decimal:
        """After less before; no value counts as 0."""
        return Decimal(self.after or 0) - Decimal(self.before or 0)


@dataclass(frozen=True)
class LoadDiff:
    """What differs between two loads of one slice.

    Attributes:
        before: The row of the ledger of the first.
        after: Of the second.
        difference: Of the records.
        totals: Of the columns of numbers that differ, but for those that name records.
        schema: What differs in the columns, as sentences.
        named_by: What names a record, as a sentence; empty when the primary key does.
    """

    before: Load
    after: Load
    difference: Difference
    totals: tuple[Total, ...]
    schema: tuple[str, ...]
    named_by: str

    @property
    def same(self) -> bool:
        """Whether both have the same records."""
        found = self.difference
        return not (found.added or found.removed or found.changed or self.schema)

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON would have it."""
        return {
            "before": self.before.model_dump(mode="json"),
            "after": self.after.model_dump(mode="json"),
            "named_by": self.named_by,
            "schema": self.schema,
            "difference": asdict(self.difference),
            "totals": [
                {
                    **asdict(total),
                    "change": str(total.change),
                    "movers": [{**asdict(m), "change": str(m.change)} for m in total.movers],
                }
                for total in self.totals
            ],
        }


def diff_loads(before: Load, after: Load, staging: Staging) -> LoadDiff:
    """Compare what two rows of the ledger have: loads, rollbacks, or what waits for approval.

    Raises:
        PermanentError: When they are not of one slice, one has no records, or the comparison
            does not fit the disk.
        StagingError: When the parts of one are not kept any more, or were changed.
    """
    if (before.dataset, before.campaign_key) != (after.dataset, after.campaign_key):
        raise PermanentError(
            f"Load {before.load_id} is of {before.campaign_key} in {before.dataset}, and"
            f" {after.load_id} of {after.campaign_key} in {after.dataset}: they cannot be compared.",
            "Choose two loads of one campaign and dataset.",
        )
    stages = [_kept_stage(row, staging) for row in (before, after)]
    key, named_by = _key_of(stages)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(staging.scratch())
        connection = stack.enter_context(engine(folder))
        try:
            unique = True
            for name, stage in zip(("before", "after"), stages, strict=True):
                unique = _read(connection, name, stage, key, staging) and unique
            old, new = (stage.columns for stage in stages)
            difference = compare(connection, old, new)
            totals = _totals(connection, old, new, key)
        except duckdb.Error as error:
            raise PermanentError(
                f"Loads {before.load_id} and {after.load_id} could not be compared:"
                f" {str(error).splitlines()[0]}",
                "Check that the disk of the staging store's folder has space.",
            ) from error
    if not unique and not named_by:
        named_by = f"{_listed(key)} names several records; they are told apart by their values."
    return LoadDiff(before, after, difference, totals, tuple(_schema(old, new)), named_by)


def _kept_stage(row: Load, staging: Staging) -> Stage:
    if row.stage is None:
        raise PermanentError(
            f"{row.load_id} is a {row.kind}: it has no records to compare.",
            "Choose a load; `etl-assets loads` lists them.",
        )
    stage = stage_of(row, staging)
    if stage is None:
        raise StagingError(
            f"The staged parts of load {row.load_id} are no longer kept.",
            "Choose another load; `keep` in the dataset's document says how many are kept.",
        )
    return stage


def _key_of(stages: Sequence[Stage]) -> tuple[list[str], str]:
    """Return the columns that name records in both stages, and what is to be said of that."""
    first, second = ({c.name for c in stage.columns} for stage in stages)
    there = first & second
    wanted = list(dict.fromkeys(name for stage in stages for name in stage.primary_key))
    left = [name for name in wanted if name in there]
    if left == wanted:
        return wanted, ""
    gone = _listed([name for name in wanted if name not in there])
    if left:
        return left, f"{gone} is not in both loads: records are named by {_listed(left)} alone."
    common = [c.name for c in stages[1].columns if c.name in there]
    return common, (
        f"{gone} is not in both loads: records are told apart by all their values, and one that"
        " changed is one removed and one added."
    )


def _read(
    connection: Connection, name: str, stage: Stage, key: Sequence[str], staging: Staging
) -> bool:
    """Make a table of a stage's records; return whether the key names each of them alone."""
    named = " || ', ' || ".join(
        f"{quote_literal(f'{column}=')} || coalesce(CAST({quote_identifier(column)} AS VARCHAR), '')"
        for column in key
    )
    columns = column_list(c.name for c in stage.columns)
    with staging.fetch(stage.parts) as files:
        if files:
            records = f"SELECT {from_csv(stage)} FROM {read_parts(stage, files)}"
        else:
            nothing = ", ".join(f"CAST(NULL AS {c.type.duckdb})" for c in stage.columns)
            records = f"SELECT {nothing} WHERE false"
        _, unique = keep_records(
            connection,
            name,
            f"SELECT *, {named or quote_literal('')} AS {RECORD} FROM ({records}) AS r({columns})",
            stage.columns,
        )
    return unique


def _totals(
    connection: Connection, old: Sequence[Column], new: Sequence[Column], key: Sequence[str]
) -> tuple[Total, ...]:
    """Return what differs in columns of numbers: first those of parts, then whole numbers."""
    before, after = (
        {c.name: c.type for c in columns if c.type.family == "number" and c.name not in key}
        for columns in (old, new)
    )
    kinds = {**after, **before}
    names = sorted(kinds, key=lambda name: kinds[name].is_integer)
    if not names:
        return ()
    sums = [_sums(connection, table, names, types)
            for table, types in (("before", before), ("after", after))]  # fmt: skip
    movers = ", ".join(_movers(name, before, after) for name in names)
    row = connection.execute(f"SELECT {movers} FROM {JOINED}").fetchone() or ()
    return tuple(
        Total(
            name,
            first,
            second,
            tuple(Mover(m["r"], m["b"], m["a"]) for m in found),
            whole=kinds[name].is_integer,
        )
        for name, first, second, found in zip(names, *sums, row, strict=True)
        if found
    )


def _sums(
    connection: Connection, table: str, names: Sequence[str], types: dict[str, ColumnType]
) -> Sequence[str | None]:
    sums = ", ".join(_sum(name, types[name]) if name in types else "NULL" for name in names)
    return connection.execute(f"SELECT {sums} FROM {table}").fetchone() or ()


def _sum(name: str, kind: ColumnType) -> str:
    quoted = quote_identifier(name)
    if kind.is_integer or (kind.name == "decimal" and kind.precision <= _EXACT_DIGITS):
        return f"CAST(sum({quoted}) AS VARCHAR)"
    return f"CAST(fsum(CAST({quoted} AS DOUBLE)) AS VARCHAR)"


def _movers(name: str, before: dict[str, ColumnType], after: dict[str, ColumnType]) -> str:
    """Return the records whose number changed by most, as an aggregate."""
    quoted = quote_identifier(name)
    old = f"b.{quoted}" if name in before else "NULL"
    new = f"a.{quoted}" if name in after else "NULL"
    first, second = (f"CAST({value} AS DOUBLE)" for value in (old, new))
    record = f"coalesce(a.{RECORD}, b.{RECORD})"
    change = f"abs(coalesce({second}, 0) - coalesce({first}, 0))"
    same_type = before.get(name) == after.get(name)
    differs = f"{old} IS DISTINCT FROM {new}" if same_type else f"{first} IS DISTINCT FROM {second}"
    shown = f"{{'r': {record}, 'b': CAST({old} AS VARCHAR), 'a': CAST({new} AS VARCHAR)}}"
    return f"max_by({shown}, {{'c': {change}, 'r': {record}}}, {_MOVERS}) FILTER (WHERE {differs})"


def _schema(old: Sequence[Column], new: Sequence[Column]) -> list[str]:
    before, after = {c.name: c.type for c in old}, {c.name: c.type for c in new}
    return [
        *(f"`{name}` ({kind}) is added." for name, kind in after.items() if name not in before),
        *(f"`{name}` ({kind}) is gone." for name, kind in before.items() if name not in after),
        *(
            f"`{name}` changes from {before[name]} to {kind}."
            for name, kind in after.items()
            if before.get(name, kind) != kind
        ),
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
