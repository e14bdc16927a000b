"""Run a compiled rule set over an extract in DuckDB, and write CSV parts."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column
from etl_assets.core.compile import CompiledRules, compile_rules
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import RuleError, StagingError
from etl_assets.core.manifest import Extract, RuleCount
from etl_assets.core.rules import RuleSet
from etl_assets.core.sql import column_list, quote_identifier, quote_literal

MEMORY_LIMIT = "160MB"
_SAMPLES = 5


@dataclass(frozen=True)
class Transformed:
    """What the rules made of an extract.

    Attributes:
        files: CSV parts, zstd; none when no record is left.
        rejects: A CSV of the rejected records, or None.
        columns: Of the parts, in order.
        null_token: Stands for NULL, unquoted.
    """

    files: list[Path]
    rejects: Path | None
    columns: tuple[Column, ...]
    records: int
    filtered: int
    rejected: int
    rule_counts: tuple[RuleCount, ...]
    null_token: str


def transform(
    dataset: Dataset,
    extract: Extract,
    rule_set: RuleSet,
    bindings: dict[str, Scalar],
    parquet: Sequence[Path],
    folder: Path,
) -> Transformed:
    """Apply rules to the Parquet files of an extract and write CSV parts into a folder.

    Raises:
        RuleError: When the rules do not fit the columns, a value cannot be computed, or
            values fail or reject more records than the dataset allows; with samples.
        StagingError: When the disk does not take the parts.
    """
    compiled = compile_rules(rule_set, extract.columns, dataset.primary_key, bindings)
    what = f"The rules of {dataset.name} for campaign {extract.campaign_key}"
    with duckdb.connect() as connection:
        _prepare(connection, extract, parquet, folder)
        try:
            counts = _counts(connection, compiled) if compiled.can_drop else ()
            rejects = _check_refused(connection, compiled, counts, dataset, what, folder)
            token = f"~N{secrets.token_hex(4)}~"
            files, records = _write_parts(connection, compiled, parquet, folder, token)
        except duckdb.IOException as error:
            raise StagingError(
                f"The parts of {dataset.name} for campaign {extract.campaign_key} could not be"
                f" written: {_first_line(error)}.",
                "Check that the staging store has space (`etl-assets doctor`).",
            ) from error
        except duckdb.Error as error:
            rule = _culprit(connection, compiled)
            raise RuleError(
                f"{what} failed{f' in rule `{rule}`' if rule else ''}: {_first_line(error)}.",
                "Correct the rule, or cast the column first with a policy for what does not fit.",
            ) from error
    return Transformed(
        files=files,
        rejects=rejects,
        columns=compiled.columns,
        records=records,
        filtered=_total(counts, "filtered"),
        rejected=_total(counts, "rejected"),
        rule_counts=tuple(c for c in counts if c.outcome != "failed"),
        null_token=token,
    )


def _prepare(
    connection: duckdb.DuckDBPyConnection, extract: Extract, parquet: Sequence[Path], folder: Path
) -> None:
    """Set limits and make the relation `extract`; then no other file can be reached."""
    connection.execute(f"SET memory_limit = {quote_literal(MEMORY_LIMIT)}")
    connection.execute(f"SET temp_directory = {quote_literal(str(folder / 'spill'))}")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 1")  # more do not fit 600 columns; keys run side by side
    if parquet:
        _read_extract(connection, parquet)
    else:
        columns = ", ".join(
            f"CAST(NULL AS {c.type.duckdb}) AS {quote_identifier(c.name)}" for c in extract.columns
        )
        connection.execute(f"CREATE TEMP VIEW extract AS SELECT {columns} LIMIT 0")
    reached = {folder, *(path.parent for path in parquet)}
    listed = ", ".join(quote_literal(f"{path}/") for path in sorted(reached))
    connection.execute(f"SET allowed_directories = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _read_extract(connection: duckdb.DuckDBPyConnection, parquet: Sequence[Path]) -> None:
    """Make the relation `extract` the records of these Parquet files."""
    paths = ", ".join(quote_literal(str(path)) for path in parquet)
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW extract AS SELECT * FROM read_parquet([{paths}])"
    )


def _counts(
    connection: duckdb.DuckDBPyConnection, compiled: CompiledRules
) -> tuple[RuleCount, ...]:
    rows = connection.execute(compiled.outcomes()).fetchall()
    return tuple(
        RuleCount(outcome=outcome, rule=rule, column=column, records=records)
        for outcome, rule, column, records in sorted(rows, key=str)
        if outcome is not None
    )


def _check_refused(
    connection: duckdb.DuckDBPyConnection,
    compiled: CompiledRules,
    counts: Sequence[RuleCount],
    dataset: Dataset,
    what: str,
    folder: Path,
) -> Path | None:
    """Raise when refused records fail the campaign; else list them in a file, if any."""
    failed, rejected = _total(counts, "failed"), _total(counts, "rejected")
    too_many = dataset.max_rejected is not None and rejected > dataset.max_rejected
    if failed or too_many:
        outcome = "failed" if failed else "rejected"
        sample = connection.execute(
            f'SELECT rule, "column", value, record FROM ({compiled.refused()})'
            f" WHERE outcome = '{outcome}' ORDER BY ALL LIMIT {_SAMPLES}"
        ).fetchall()
        shown = "; ".join(
            f"rule `{rule}`, `{column}` = {value!r} in the record {record}"
            for rule, column, value, record in sample
        )
        count = f"{failed:,} records" if failed else f"{rejected:,} rejected records"
        allowed = "" if failed else f", more than the {dataset.max_rejected:,} allowed"
        raise RuleError(
            f"{what} do not fit {count}{allowed}: {shown}.",
            "Correct the values at the source, or say in the rule what happens to them.",
        )
    if not rejected:
        return None
    file = folder / "rejects.csv"
    connection.execute(
        f'COPY (SELECT rule, "column", value, record FROM ({compiled.refused()}) ORDER BY ALL)'
        f" TO {quote_literal(str(file))} (FORMAT csv, HEADER true)"
    )
    return file


def _write_parts(
    connection: duckdb.DuckDBPyConnection,
    compiled: CompiledRules,
    parquet: Sequence[Path],
    folder: Path,
    token: str,
) -> tuple[list[Path], int]:
    """Write the records to load as CSV, a part per Parquet part; return files and records.

    DuckDB could cut parts by size itself, but then holds them in memory: 100,000 records of
    600 columns do not fit into 256 MB. So written, they take 100 MB, however many they are.
    """
    texts = column_list(c.name for c in compiled.columns if c.type.is_text)
    quoted = f", FORCE_QUOTE ({texts})" if texts else ""
    files: list[Path] = []
    records = 0
    for number, path in enumerate(parquet):
        _read_extract(connection, [path])
        file = folder / f"{number:05}.csv.zst"
        row = connection.execute(
            f"COPY ({compiled.records()}) TO {quote_literal(str(file))} (FORMAT csv, HEADER false,"
            f" DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR {quote_literal(token)},"
            f" COMPRESSION zstd{quoted})"
        ).fetchone()
        if row and row[0]:
            files.append(file)
            records += int(row[0])
    return files, records


def _culprit(connection: duckdb.DuckDBPyConnection, compiled: CompiledRules) -> str | None:
    """Return the id of the first rule that fails, by running ever more of them."""
    for step in range(len(compiled.steps)):
        try:
            connection.execute(compiled.probe(step)).fetchone()
        except duckdb.Error:
            return compiled.rule_ids[step] or None
    return None


def _total(counts: Sequence[RuleCount], outcome: str) -> int:
    return sum(count.records for count in counts if count.outcome == outcome)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
