"""Compiled rules in DuckDB: over an extract's Parquet files, or over a few records in memory."""

import contextlib
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.errors import RuleError
from etl_assets.core.manifest import RuleCount
from etl_assets.core.rules.chain import ROW
from etl_assets.core.rules.compile import EXTRACT, CompiledRules, Phase
from etl_assets.core.rules.steps import Relation
from etl_assets.core.sql import column_list, quote_identifier, quote_literal

MEMORY_LIMIT = "160MB"
LONGEST_SECONDS = 1800.0
"""A rule set that takes so long for one campaign is a mistake; it must not hold up the others."""

_AGAIN_SECONDS = 0.5
_PART_RECORDS = 1 << 40
"""More than any part has: a record's number is that of its part times this, plus its place."""

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True)
class Refusal:
    """What must be true of all records, and is not.

    Attributes:
        rule: The id of the rule that says so.
        records: How many records are concerned.
        said: What was found and what was wanted.
        warns: Whether it is only counted.
    """

    rule: str
    records: int
    said: str
    warns: bool


@dataclass(frozen=True)
class Ran:
    """What rules did to records.

    Attributes:
        counts: What each rule did to how many; outcomes `filtered`, `rejected`, `failed`,
            `nulled`, `warned`.
        refusals: What must be true of all records, and is not.
        reshaped: Records that came or went because rules make several of one, or one of several.
    """

    counts: tuple[RuleCount, ...]
    refusals: tuple[Refusal, ...]
    reshaped: int

    @property
    def left_out(self) -> int:
        """The records that are not to be loaded."""
        return self.total("filtered") + self.total("rejected")

    def total(self, outcome: str) -> int:
        """Return the records with an outcome."""
        return sum(count.records for count in self.counts if count.outcome == outcome)


@contextlib.contextmanager
def engine(
    folder: Path | None = None, *, longest_seconds: float = LONGEST_SECONDS
) -> Iterator[Connection]:
    """Give a DuckDB connection with the settings under which rules mean what they mean.

    Args:
        folder: Where to spill; nothing is written to disk without it.
        longest_seconds: After so long what runs is ended, with duckdb.InterruptException.
    """
    with duckdb.connect() as connection:
        done = threading.Event()

        def end_what_takes_too_long() -> None:
            if not done.wait(longest_seconds):
                connection.interrupt()
                while not done.wait(_AGAIN_SECONDS):  # between two statements it is not heard
                    connection.interrupt()

        threading.Thread(target=end_what_takes_too_long, daemon=True).start()
        connection.execute(f"SET memory_limit = {quote_literal(MEMORY_LIMIT)}")
        if folder:
            connection.execute(f"SET temp_directory = {quote_literal(str(folder / 'spill'))}")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET ieee_floating_point_ops = false")  # x / 0 is an error, not inf
        connection.execute("SET threads = 1")  # more do not fit 600 columns; keys run side by side
        # Reads of Parquet by other threads are waited for also when a statement is interrupted,
        # by us or by Ctrl-C, and then at times for ever (duckdb/duckdb#25564).
        connection.execute("SET async_threads = 0")
        try:
            yield connection
        finally:
            done.set()


def close_off(connection: Connection, folders: Collection[Path] = ()) -> None:
    """Let nothing outside these folders be reached from now on, nor any setting be changed."""
    if folders:
        listed = ", ".join(quote_literal(f"{path}/") for path in sorted(folders))
        connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def read_extract(
    connection: Connection,
    columns: Sequence[Column],
    parquet: Sequence[Path],
    *,
    only: int | None = None,
    name: str = EXTRACT,
) -> None:
    """Make a relation the records of Parquet files, or of one of them, with their numbers."""
    listed = column_list(c.name for c in columns)
    numbered = [
        f"SELECT {listed}, file_row_number + {number * _PART_RECORDS} AS {ROW}"
        f" FROM read_parquet({quote_literal(str(path))}, file_row_number = true)"
        for number, path in enumerate(parquet)
        if only in (None, number)
    ]
    none = ", ".join(
        f"CAST(NULL AS {c.type.duckdb}) AS {quote_identifier(c.name)}" for c in columns
    )
    select = " UNION ALL ".join(numbered) or f"SELECT {none}, 0 AS {ROW} LIMIT 0"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote_identifier(name)} AS {select}")


def make_relations(
    connection: Connection, compiled: CompiledRules, datasets: Mapping[str, Sequence[Path]]
) -> None:
    """Make the tables that maps and lookups join.

    Args:
        connection: The engine's.
        compiled: The rules.
        datasets: The Parquet files of the extracts that lookups name.

    Raises:
        RuleError: When a dataset has two records with one key.
    """
    for relation in compiled.relations:
        typed = ", ".join(f"{quote_identifier(n)} {kind.duckdb}" for n, kind in relation.columns)
        connection.execute(f"CREATE TEMP TABLE {relation.name} ({typed})")
        if relation.rows is not None:
            _fill(connection, relation, relation.rows)
        else:
            _copy(connection, relation, datasets[relation.dataset or ""])


def _fill(connection: Connection, relation: Relation, rows: Sequence[Sequence[str | None]]) -> None:
    casts = ", ".join(f"CAST(unnest(?) AS {kind.duckdb})" for _, kind in relation.columns)
    if rows:
        connection.execute(
            f"INSERT INTO {relation.name} SELECT {casts}",
            [list(values) for values in zip(*rows, strict=True)],
        )


def _copy(connection: Connection, relation: Relation, parquet: Sequence[Path]) -> None:
    if not parquet:
        return
    paths = ", ".join(quote_literal(str(path)) for path in parquet)
    keys = column_list(relation.source[: relation.keys])
    known = " AND ".join(
        f"{quote_identifier(n)} IS NOT NULL" for n in relation.source[: relation.keys]
    )
    read = f"FROM read_parquet([{paths}]) WHERE {known}"
    connection.execute(f"INSERT INTO {relation.name} SELECT {column_list(relation.source)} {read}")
    twice = connection.execute(
        f"SELECT {keys}, count(*) {read} GROUP BY {keys} HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
    ).fetchone()
    if twice:
        raise RuleError(
            f"Rule `{relation.rule_id}`: dataset {relation.dataset} has {twice[-1]} records with"
            f" the key {', '.join(map(str, twice[:-1]))}.",
            "Look up by columns that name one record.",
        )


def begin_phase(connection: Connection, compiled: CompiledRules, number: int) -> None:
    """Make a phase's base of the phase before, and its side tables, in their order."""
    phase = compiled.phases[number]
    if phase.made_by:
        connection.execute(f"CREATE TEMP TABLE {phase.base} AS {phase.made_by}")
    for step, made in enumerate(phase.steps):
        if made.side:
            query = phase.over(step - 1, made.side)
            connection.execute(f"CREATE TEMP TABLE {made.side_name} AS {query}")


def run(connection: Connection, compiled: CompiledRules) -> Ran:
    """Run every phase but for its records, which the last can then be asked for.

    Raises:
        duckdb.Error: When a value cannot be computed where a rule has no policy for it.
    """
    counts: list[RuleCount] = []
    refusals: list[Refusal] = []
    reshaped = kept = 0
    for number, phase in enumerate(compiled.phases):
        begin_phase(connection, compiled, number)
        if compiled.can_drop or compiled.reshapes:
            into = _count(connection, phase)
            rows = connection.execute(phase.outcomes()).fetchall()
            counts += _counts(rows)
            out = sum(n for outcome, *_, n in rows if outcome not in ("nulled", "warned"))
            reshaped += out - (into if number == 0 else kept)
            kept = sum(n for outcome, *_, n in rows if outcome is None)
        found = _refusals(connection, phase)
        counts += [RuleCount(outcome="warned", rule=f.rule, column=None, records=f.records)
                   for f in found if f.warns]  # fmt: skip
        refusals += found
    return Ran(tuple(counts), tuple(refusals), reshaped)


def _count(connection: Connection, phase: Phase) -> int:
    row = connection.execute(f"SELECT count(*) FROM {phase.base}").fetchone()
    return int(row[0]) if row else 0


def _counts(rows: Sequence[tuple[str | None, str, str | None, int]]) -> list[RuleCount]:
    return [
        RuleCount(outcome=outcome, rule=rule, column=column, records=records)
        for outcome, rule, column, records in sorted(rows, key=str)
        if outcome is not None
    ]


def _refusals(connection: Connection, phase: Phase) -> list[Refusal]:
    found = []
    for number, step in enumerate(phase.steps):
        if step.check is None:
            continue
        query = phase.over(number, step.check.select)
        holds, what, records = connection.execute(query).fetchone() or (None, "nothing", 0)
        if holds is not True:
            said = f"found {what}, but {step.check.wanted}"
            found.append(Refusal(step.check.rule_id, int(records), said, step.check.warns))
    return found
