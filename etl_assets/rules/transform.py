"""Run a campaign's rules over its extract, and write CSV parts."""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column
from etl_assets.core.csv_record import MAX_RECORD_BYTES, length_sql, may_be_too_long
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import RuleError, StagingError
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.manifest import Extract, RuleCount
from etl_assets.core.profile import Profile
from etl_assets.core.rules.chain import COMPUTED
from etl_assets.core.rules.compile import CompiledRules, compile_rules
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.sql import column_list, quote_identifier, quote_literal
from etl_assets.rules.check import check_types
from etl_assets.rules.engine import (
    Connection,
    Ran,
    close_off,
    engine,
    make_relations,
    read_extract,
    run,
)
from etl_assets.rules.printing import print_records
from etl_assets.rules.profiling import profile
from etl_assets.systems.telemetry import advanced, span

_SAMPLES = 5


@dataclass(frozen=True)
class Transformed:
    """What the rules made of an extract.

    Attributes:
        files: CSV parts, zstd; none when no record is left.
        rejects: A CSV of the rejected records, or None.
        columns: Of the parts, in order.
        reshaped: As `Ran`.
        null_token: Stands for NULL, unquoted.
        fingerprint: Of the records in the parts.
        profile: What is shown of them.
    """

    files: list[Path]
    rejects: Path | None
    columns: tuple[Column, ...]
    records: int
    filtered: int
    rejected: int
    reshaped: int
    rule_counts: tuple[RuleCount, ...]
    null_token: str
    fingerprint: Fingerprint
    profile: Profile


@dataclass(frozen=True)
class LookedUp:
    """The extract of another dataset that rules look values up in."""

    columns: tuple[Column, ...]
    parquet: tuple[Path, ...]


def transform(
    dataset: Dataset,
    extract: Extract,
    rule_set: RuleSet,
    bindings: dict[str, Scalar],
    parquet: Sequence[Path],
    folder: Path,
    *,
    lookups: Mapping[str, LookedUp] | None = None,
    as_read: Collection[str] = (),
    groups: Iterable[Group] = (),
    zone: str = "UTC",
) -> Transformed:
    """Apply rules to the Parquet files of an extract and write CSV parts into a folder.

    Args:
        dataset: Whose extract it is.
        extract: What was read.
        rule_set: The campaign's rules.
        bindings: What expressions may name.
        parquet: The extract's files.
        folder: Where to write.
        lookups: The extracts that rules look values up in, by dataset.
        as_read: Columns that no rule sets.
        groups: Columns that the fingerprint is to have together.
        zone: The time zone whose days are counted.

    Raises:
        RuleError: When the rules do not fit the columns, a value cannot be computed, what must
            be true is not, or values fail or reject more records than the dataset allows;
            with samples; or when a record is longer than COPY takes.
        StagingError: When the disk does not take the parts.
    """
    lookups = lookups or {}
    compiled = compile_rules(
        rule_set, extract.columns, dataset.primary_key, bindings,
        datasets={name: found.columns for name, found in lookups.items()},
    )  # fmt: skip
    what = f"The rules of {dataset.name} for campaign {extract.campaign_key}"
    with engine(folder) as connection:
        read_extract(connection, extract.columns, parquet)
        make_relations(connection, compiled, {n: f.parquet for n, f in lookups.items()})
        close_off(connection, {folder, *(path.parent for path in parquet)})
        check_types(connection, compiled, what)
        try:
            with span("rules"):
                ran = run(connection, compiled)
            check_refused(connection, compiled, ran, dataset, what, extract.rejected)
            rejects = _list_rejects(connection, compiled, folder) if ran.total("rejected") else None
            _check_lengths(connection, compiled, dataset, extract.campaign_key)
            with span("write"):
                token = _absent_token(connection, compiled)
                files, records = _write_parts(connection, compiled, extract, parquet, folder, token)
            if len(compiled.phases) == 1:
                read_extract(connection, extract.columns, parquet)
            as_read = () if ran.left_out or ran.reshaped else as_read
            with span("proof"):
                made = print_records(connection, compiled, parquet, as_read, groups)
            with span("profile"):
                shown = profile(
                    connection, f"({compiled.last.records()}) r", compiled.columns,
                    preview=dataset.preview, season_column=dataset.season_column, zone=zone,
                )  # fmt: skip
        except duckdb.IOException as error:
            raise StagingError(
                f"The parts of {dataset.name} for campaign {extract.campaign_key} could not be"
                f" written: {_first_line(error)}.",
                "Check that the staging store has space (`etl-assets doctor`).",
            ) from error
        except duckdb.Error as error:
            raise explain(connection, compiled, error, what) from error
    return Transformed(
        files=files,
        rejects=rejects,
        columns=compiled.columns,
        records=records,
        filtered=ran.total("filtered"),
        rejected=ran.total("rejected"),
        reshaped=ran.reshaped,
        rule_counts=tuple(c for c in ran.counts if c.outcome != "failed"),
        null_token=token,
        fingerprint=made,
        profile=shown,
    )


def explain(
    connection: Connection, compiled: CompiledRules, error: duckdb.Error, what: str
) -> RuleError:
    """Return our error for one of DuckDB's, naming the rule."""
    if isinstance(error, duckdb.InterruptException):
        return RuleError(f"{what} took too long and were ended.", "Simplify the rules.")
    rule = _culprit(connection, compiled)
    return RuleError(
        f"{what} failed{f' in rule `{rule}`' if rule else ''}: {_first_line(error)}.",
        "Correct the rule, or cast the column first with a policy for what does not fit.",
    )


def check_refused(
    connection: Connection,
    compiled: CompiledRules,
    ran: Ran,
    dataset: Dataset,
    what: str,
    rejected_before: int,
) -> None:
    """Raise when refused records, or what must be true of all, fail the campaign.

    Raises:
        RuleError: Naming rule, column, how many records, and the first of them.
    """
    failed, rejected = ran.total("failed"), ran.total("rejected")
    limit = dataset.max_rejected
    too_many = limit is not None and rejected > 0 and rejected + rejected_before > limit
    if failed or too_many:
        shown = "; ".join(samples(connection, compiled, "failed" if failed else "rejected"))
        number = failed or rejected
        count = f"{number:,} {'' if failed else 'rejected '}record{'' if number == 1 else 's'}"
        allowed = "" if failed else f", more than the {dataset.max_rejected:,} allowed"
        raise RuleError(
            f"{what} do not fit {count}{allowed}: {shown}.",
            "Correct the values at the source, or say in the rule what happens to them.",
        )
    stopped = [refusal for refusal in ran.refusals if not refusal.warns]
    if stopped:
        said = "; ".join(f"rule `{refusal.rule}` {refusal.said}" for refusal in stopped)
        raise RuleError(
            f"{what} do not hold: {said}.",
            "Correct the values at the source, or the rule.",
        )


def _list_rejects(connection: Connection, compiled: CompiledRules, folder: Path) -> Path:
    """Write a CSV of the rejected records."""
    file = folder / "rejects.csv"
    connection.execute(
        f'COPY (SELECT rule, "column", value, record FROM ({_refused(compiled)}) ORDER BY ALL)'
        f" TO {quote_literal(str(file))} (FORMAT csv, HEADER true)"
    )
    return file


def _refused(compiled: CompiledRules) -> str:
    """Return the query for the refused records of all phases."""
    return " UNION ALL ".join(f"SELECT * FROM ({phase.refused()})" for phase in compiled.phases)


def samples(connection: Connection, compiled: CompiledRules, outcome: str) -> list[str]:
    """Return a sentence for each of the first refused records with an outcome."""
    rows = connection.execute(
        f'SELECT rule, "column", value, record FROM ({_refused(compiled)})'
        f" WHERE outcome = {quote_literal(outcome)} ORDER BY ALL LIMIT {_SAMPLES}"
    ).fetchall()
    return [_sample(*row) for row in rows]


def _sample(rule: str, column: str | None, value: str | None, record: str) -> str:
    """Return a refused record as a part of a sentence."""
    if value and value.startswith(COMPUTED):
        shown = f"`{column}` {value}," if column else f"{value},"
    else:
        shown = f"`{column}` = {value!r}" if column else "it"
    return f"rule `{rule}`, {shown} in the record {record}"


def _check_lengths(
    connection: Connection, compiled: CompiledRules, dataset: Dataset, key: str
) -> None:
    """Raise when a record is longer than COPY takes; that of most datasets cannot be."""
    if not may_be_too_long(compiled.columns):
        return
    row = connection.execute(compiled.last.longest(length_sql(compiled.columns))).fetchone()
    if row and row[1] > MAX_RECORD_BYTES:
        raise RuleError(
            f"The record {row[0]} of {dataset.name} for campaign {key} takes {row[1]:,} bytes,"
            f" and Redshift's COPY takes {MAX_RECORD_BYTES:,} of a record.",
            "Leave columns out with a `select` rule, or shorten them with `left(…)`.",
        )


def _write_parts(
    connection: Connection,
    compiled: CompiledRules,
    extract: Extract,
    parquet: Sequence[Path],
    folder: Path,
    token: str,
) -> tuple[list[Path], int]:
    """Write the records to load as CSV, a part per Parquet part; return files and records.

    DuckDB could cut parts by size itself, but then holds them in memory: 100,000 records of
    600 columns do not fit into 256 MB. So written, they take 100 MB, however many they are.
    What an `aggregate` made is one part.
    """
    texts = column_list(c.name for c in compiled.columns if c.type.is_text)
    quoted = f", FORCE_QUOTE ({texts})" if texts else ""
    files: list[Path] = []
    records = 0
    for number in range(len(parquet) if len(compiled.phases) == 1 else 1):
        if len(compiled.phases) == 1:
            read_extract(connection, extract.columns, parquet, only=number)
        file = folder / f"{number:05}.csv.zst"
        row = connection.execute(
            f"COPY ({compiled.last.csv_records(token)}) TO {quote_literal(str(file))}"
            f" (FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"',"
            f" NULLSTR {quote_literal(token)}, COMPRESSION zstd{quoted})"
        ).fetchone()
        if row and row[0]:
            files.append(file)
            records += int(row[0])
            advanced(int(row[0]), file.stat().st_size, of=extract.records)
    return files, records


def _absent_token(connection: Connection, compiled: CompiledRules) -> str:
    """Return a text for NULL that no field holds: COPY takes it for NULL even in quotes."""
    kept = [
        (quote_identifier(c.name), c.type.duckdb)
        for c in compiled.columns
        if c.type.is_text or c.type.name == "binary"
    ]
    while True:
        token = f"~N{secrets.token_hex(4)}~"
        word = quote_literal(token)
        found = " OR ".join(f"{name} = {word}::{kind}" for name, kind in kept) or "false"
        row = connection.execute(
            f"SELECT count(*) FROM ({compiled.last.records()}) WHERE {found}"
        ).fetchone()
        if not row or not row[0]:
            return token


def _culprit(connection: Connection, compiled: CompiledRules) -> str | None:
    """Return the id of the first rule that fails, by running ever more of them."""
    for phase in compiled.phases:
        for step in range(len(phase.steps)):
            try:
                connection.execute(phase.probe(step)).fetchone()
            except duckdb.Error:
                return phase.steps[step].rule_id or None
    return None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
