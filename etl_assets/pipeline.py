"""The chain of one dataset for one campaign, without Dagster: extract, stage, load.

    source ──extract()──> Parquet + manifest ──stage()──> CSV parts + manifest ──load()──> table

Each step takes the reference that the step before made and returns its own. A step whose
inputs are those of the last time returns the last reference and writes nothing, unless
forced: `previous` is what the step returned then.
"""

import contextlib
import datetime as dt
import hashlib
from collections.abc import Mapping
from pathlib import Path

from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset, check_bindings
from etl_assets.core.errors import ProofError
from etl_assets.core.manifest import (
    Extract,
    Fallback,
    Part,
    Stage,
    copy_manifest,
    inputs_digest,
)
from etl_assets.core.rules.columns_used import untouched
from etl_assets.core.rules.kept import rules_text
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.kept import extract_manifest, new_id, stage_path
from etl_assets.profiled import profile_extract
from etl_assets.proof import prove_extract, prove_rules, source_columns, unchanged_groups
from etl_assets.received import check_primary_key, check_received, write_parquet, write_rejects
from etl_assets.rules.transform import LookedUp, transform
from etl_assets.systems.protocols import Moment, Staging
from etl_assets.systems.staging import sha256_of
from etl_assets.systems.telemetry import advanced, span

_NAME_BYTES = 1024
"""What the ledger's column of a campaign's name holds."""


def extract(
    dataset: Dataset,
    campaign: Campaign,
    source: Moment,
    staging: Staging,
    *,
    source_name: str,
    previous: Extract | None = None,
) -> Extract:
    """Read a campaign's records from the source into a new extract.

    When the records are those of the `previous` extract, and what was bound to read them is
    the same, that one is returned and nothing is stored.

    Raises:
        SourceError: When the query fails, a value is not of its column's type, or the
            records received are not as many as the source counts.
        ProofError: When a column received is not what the source computes of it.
        StagingError: When the extract cannot be stored.
        TransientError: When the source is busy or the connection was lost; a retry is safe.
    """
    bindings = campaign.bindings()
    check_bindings(dataset, dict(bindings))
    extracted_at = _now()
    with staging.scratch() as scratch:
        with contextlib.ExitStack() as opened:
            with span("query"):
                snapshot = opened.enter_context(source.snapshot(dataset, bindings))
                check_primary_key(dataset, snapshot)
                columns = snapshot.columns
                at_source = snapshot.fingerprint(source_columns(dataset, columns))
            expected = at_source.records
            with span("read"):
                files, records = write_parquet(snapshot, scratch, expected)
            outcome = snapshot.outcome()
            check_received(dataset, campaign, expected, records, outcome)
            with span("proof"):
                compared = prove_extract(dataset, campaign.key, at_source, snapshot, files, scratch)
        extract_id = new_id(extracted_at)
        folder = f"extract/{dataset.name}/{campaign.key}/{extract_id}"
        listed = write_rejects(outcome, scratch) if outcome.rejects else None
        made = Extract(
            dataset=dataset.name,
            campaign_key=campaign.key,
            extract_id=extract_id,
            source=source_name,
            source_records=expected,
            records=records,
            rejected=outcome.rejected,
            touched=outcome.touched,
            rejects=_name_part(f"{folder}/rejects.csv", listed) if listed else None,
            columns=columns,
            parts=_name_parts(folder, files, "parquet"),
            query_sha256=hashlib.sha256(dataset.query.encode()).hexdigest(),
            bindings=bindings,
            extracted_at=extracted_at,
            source_fingerprint=compared,
        )
        if previous and previous.data_version == made.data_version:
            return previous
        with span("profile"):
            shown = profile_extract(dataset, campaign, made, files, previous, staging, scratch)
        made = made.model_copy(update={"profile": shown})
        with span("store"):
            for part, file in zip(made.parts, files, strict=True):
                staging.put(part.path, file)
                advanced(0, part.bytes)
            if made.rejects and listed:
                staging.put(made.rejects.path, listed)
            path = extract_manifest(dataset.name, campaign.key, extract_id)
            staging.put_text(path, made.model_dump_json(indent=2))
    return made


def stage(
    dataset: Dataset,
    campaign: Campaign,
    source_extract: Extract,
    rule_set: RuleSet,
    staging: Staging,
    *,
    lookups: Mapping[str, Extract] | None = None,
    fallback: Fallback | None = None,
    previous: Stage | None = None,
) -> Stage:
    """Apply the rules to an extract and write the CSV parts of a new load.

    Args:
        dataset: Whose extract it is.
        campaign: Whose records.
        source_extract: What was read.
        rule_set: The dataset's, with the overrides of all campaigns.
        staging: Where the extract is, and the parts go.
        lookups: The same campaign's extracts of the datasets that rules look values up in.
        fallback: Why these are not the current rules, when they are not.
        previous: What this returned the last time.

    Raises:
        RuleError: When the rules do not fit the columns, or a value fails the campaign.
        StagingError: When the extract was changed, or the parts cannot be stored.
    """
    bindings = campaign.bindings()
    rule_set = rule_set.for_campaign(campaign.key)
    lookups = lookups or {}
    digest = inputs_digest(source_extract, rule_set.digest, bindings, dataset.load_digest, lookups)
    declared = dataset.reporting
    reporting = declared.digest(campaign.name, campaign.compared_with) if declared else None
    same = (digest, fallback, reporting)
    if previous and (previous.inputs_digest, previous.fallback, previous.reporting) == same:
        return previous
    as_read = untouched(rule_set, [c.name for c in source_extract.columns])
    staged_at = _now()
    load_id = new_id(staged_at)
    folder = f"stage/{dataset.name}/{campaign.key}/{load_id}"
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(staging.scratch())
        with span("fetch"):
            extracted = stack.enter_context(staging.fetch(source_extract.parts))
            looked_up = {
                name: LookedUp(
                    other.columns, tuple(stack.enter_context(staging.fetch(other.parts)))
                )
                for name, other in lookups.items()
            }
        made = transform(
            dataset, source_extract, rule_set, bindings, extracted, scratch, lookups=looked_up,
            as_read=as_read, groups=unchanged_groups(source_extract, as_read),
            zone=campaign.time_zone,
        )  # fmt: skip
        parts = _name_parts(folder, made.files, "csv.zst")
        with span("store"):
            for part, file in zip(parts, made.files, strict=True):
                staging.put(part.path, file)
                advanced(0, part.bytes)
            rejects = staging.put(f"{folder}/rejects.csv", made.rejects) if made.rejects else None
        staged = Stage(
            dataset=dataset.name,
            table=dataset.table,
            campaign_key=campaign.key,
            load_id=load_id,
            extract_id=source_extract.extract_id,
            inputs_digest=digest,
            rule_version=rule_set.version,
            rules_digest=rule_set.digest,
            source_records=source_extract.source_records,
            records=made.records,
            filtered=made.filtered,
            rejected=made.rejected + source_extract.rejected,
            reshaped=made.reshaped,
            rule_counts=made.rule_counts,
            rules=f"{folder}/rules.yaml",
            fallback=fallback,
            columns=tuple(dataset.describe(list(made.columns))),
            parts=parts,
            rejects=rejects,
            null_token=made.null_token,
            copy_manifest=f"{folder}/manifest.json",
            primary_key=dataset.primary_key,
            on_schema_change=dataset.on_schema_change,
            distribution_key=dataset.distribution_key,
            sort_keys=dataset.sort_keys,
            campaign_name=_cut(campaign.name or campaign.key, _NAME_BYTES),
            season_start=campaign.start,
            season_end=campaign.end,
            seen_to=source_extract.extracted_at.astimezone(campaign.zone).date(),
            compared_with=campaign.compared_with,
            reporting=reporting,
            fingerprint=made.fingerprint,
            profile=made.profile,
            staged_at=staged_at,
        )
        left_out = made.filtered + made.rejected
        if made.records + left_out != source_extract.records + made.reshaped:
            raise ProofError(
                f"The rules of {dataset.name} lost records of campaign {campaign.key}:"
                f" {source_extract.records:,} read, {made.reshaped:,} reshaped, {made.records:,}"
                f" kept, {made.filtered:,} filtered, {made.rejected:,} rejected.",
                "Report the rule set; nothing was loaded.",
            )
        if not (left_out or made.reshaped):
            names = prove_rules(dataset, source_extract, as_read, made.fingerprint)
            staged = staged.model_copy(update={"source_columns": names})
        staging.put_text(f"{folder}/rules.yaml", rules_text(rule_set))
        staging.put_text(stage_path(staged), staged.model_dump_json(indent=2))
        staging.put_text(staged.copy_manifest, copy_manifest(parts, staging.uri))
    return staged


def _name_parts(folder: str, files: list[Path], extension: str) -> tuple[Part, ...]:
    """Return what the files will be once they are stored below a folder."""
    return tuple(
        _name_part(f"{folder}/part-{number:05}.{extension}", file)
        for number, file in enumerate(files)
    )


def _name_part(path: str, file: Path) -> Part:
    return Part(path=path, bytes=file.stat().st_size, sha256=sha256_of(file))


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
