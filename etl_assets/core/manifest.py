"""The references that travel between assets: frozen, small, and enough to find the bytes."""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from etl_assets.core.campaigns import CampaignKey, Scalar
from etl_assets.core.columns import Column
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.profile import Profile

Kind = Literal["load", "rollback", "prune", "hold", "release"]
"""What a row of the ledger says was done."""


class _Reference(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def digest(self) -> str:
        """SHA-256 of everything it says; a field of a later release that says nothing is left out."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


class Part(_Reference):
    """One staged object.

    Attributes:
        path: Below the staging URL.
        bytes: Its size.
        sha256: Of its bytes, in hexadecimal.
    """

    path: str
    bytes: int
    sha256: str


class Touched(_Reference):
    """What one policy did to one column of an extract.

    Attributes:
        policy: Such as `zero_date`.
        outcome: What the policy says: `null`, `text`, `strip`, `clip` or `reject`.
        records: How many records' values it was done to.
    """

    column: str
    policy: str
    outcome: str
    records: int


class Extract(_Reference):
    """The typed, immutable snapshot of one campaign's records, as read from the source.

    Attributes:
        extract_id: Names it; sorts by time.
        source_records: COUNT(*) of the query, in the snapshot the records were read in.
        records: Records received and kept.
        rejected: Records that a policy left out.
        touched: What the policies did, per column.
        rejects: The object that lists the records left out, if there are any.
        columns: Names and types, in order.
        parts: Parquet files.
        query_sha256: Of the query's text.
        bindings: What the query bound.
        extracted_at: When the snapshot was taken, UTC.
        source_fingerprint: What the source computed itself in the snapshot, and the records
            kept were compared with; None in extracts of earlier releases.
        profile: What is shown of the records; None in extracts of earlier releases.
    """

    dataset: str
    campaign_key: CampaignKey
    extract_id: str
    source: str
    source_records: int
    records: int
    rejected: int = 0
    touched: tuple[Touched, ...] = ()
    rejects: Part | None = None
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    query_sha256: str
    bindings: dict[str, Scalar]
    extracted_at: dt.datetime
    source_fingerprint: Fingerprint | None = None
    profile: Profile | None = None

    @property
    def bytes(self) -> int:
        """Size of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def content_digest(self) -> str:
        """SHA-256 that two extracts share when they hold the same records in the same order."""
        touched = [t.model_dump() for t in self.touched]
        return _digest(
            [[c.name, str(c.type)] for c in self.columns],
            [p.sha256 for p in self.parts],
            *([touched, self.rejects.sha256 if self.rejects else None] if touched else []),
        )

    @property
    def data_version(self) -> str:
        """SHA-256 that changes with the records and with what was bound to read them.

        Rules may use what is bound, so that the same records can lead to others.
        """
        return _digest(self.content_digest, self.bindings)


class RuleCount(_Reference):
    """What one rule did to how many records.

    Attributes:
        outcome: `filtered`, `rejected`, `nulled` or `warned`.
    """

    outcome: str
    rule: str
    column: str | None
    records: int


class Fallback(_Reference):
    """Why other rules than the current ones were applied.

    Attributes:
        failed_version: The version that failed.
        failed_digest: Of its rules for the campaign.
        reason: How it failed.
    """

    failed_version: int
    failed_digest: str
    reason: str


class Stage(_Reference):
    """The transformed CSV parts of one campaign, ready to load.

    The CSV has no header; lines end with a line feed; texts are quoted, also empty ones,
    and quotes in them doubled; NULL is the unquoted `null_token`, bytes are hexadecimal, and
    those of length 0 are the word of `csv_record.empty_bytes`.

    Attributes:
        load_id: Names the load these parts are for; sorts by time.
        extract_id: The extract they were made from.
        inputs_digest: SHA-256 of everything the content depends on: extract, rules, dataset.
        records: Records in the parts.
        filtered: Records a filter left out.
        rejected: Records a rule rejected.
        reshaped: Records that came (or went, when negative) because rules make several of
            one, or one of several.
        rule_counts: What each rule touched.
        rules: Path of the text of the rules that were applied; None in stages of earlier
            releases.
        fallback: Why these are not the current rules; None when they were.
        rejects: The object that lists the rejected records, if there are any.
        copy_manifest: Path of the manifest that COPY reads; written last, it marks the stage
            as whole.
        primary_key: Columns that name a record, as the dataset says; some may be gone.
        on_schema_change: What a load may do to a table that does not fit.
        distribution_key: Redshift's, if the dataset names one.
        sort_keys: Redshift's.
        campaign_name: What people call the campaign; None in stages of earlier releases, as
            what follows.
        season_start: The season's first day.
        season_end: Its last day.
        seen_to: The day on which the extract was read, in the campaign's time zone.
        compared_with: The campaign that reports put beside this one, if any.
        reporting: Digest of what the dataset declares for reports, and of what they show of the
            campaign besides records; None when nothing is declared.
        fingerprint: Of the records, as the rules made them; None in stages of earlier releases.
        source_columns: Columns whose part of it is what the source computed, too.
        profile: What is shown of the records; None in stages of earlier releases.
    """

    dataset: str
    table: str
    campaign_key: CampaignKey
    load_id: str
    extract_id: str
    inputs_digest: str
    rule_version: int
    rules_digest: str
    source_records: int
    records: int
    filtered: int
    rejected: int
    reshaped: int = 0
    rule_counts: tuple[RuleCount, ...]
    rules: str | None = None
    fallback: Fallback | None = None
    columns: tuple[Column, ...]
    parts: tuple[Part, ...]
    rejects: Part | None
    null_token: str
    copy_manifest: str
    primary_key: tuple[str, ...]
    on_schema_change: str
    distribution_key: str | None
    sort_keys: tuple[str, ...]
    campaign_name: str | None = None
    season_start: dt.date | None = None
    season_end: dt.date | None = None
    seen_to: dt.date | None = None
    compared_with: str | None = None
    reporting: str | None = None
    fingerprint: Fingerprint | None = None
    source_columns: tuple[str, ...] = ()
    profile: Profile | None = None
    staged_at: dt.datetime

    @property
    def bytes(self) -> int:
        """Size of all parts."""
        return sum(part.bytes for part in self.parts)

    @property
    def notice(self) -> str:
        """A sentence when the rules applied are not the current ones; else empty."""
        if self.fallback is None:
            return ""
        return (
            f"Made with rules of the last good load (v{self.rule_version}), because the current"
            f" ones (v{self.fallback.failed_version}) failed: {self.fallback.reason}"
        )


class Load(_Reference):
    """One row of the ledger: what one committed transaction did to one campaign's slice.

    Attributes:
        kind: `load`; `rollback`, a load of what an earlier load had; `prune`, the removal of a
            key that left the calendar. These change the slice. `hold` keeps it as it is, and
            `release` ends that.
        records: Records of the slice after it, counted in its transaction.
        replaced_records: Records of the slice before it; 0 when it was not touched.
        reshaped: As the stage's.
        proof: The counts that agreed: source + reshaped = loaded + filtered + rejected, staged
            = loaded = in the table.
        stage: Path of the staged parts' manifest. Of a hold, the parts that wait for approval;
            None when it is no guard's. None for a prune and a release.
        committed_at: When the transaction's ledger row was written, UTC; later than that of
            any earlier row of the key.
        reason: Why, where somebody or a guard decided; None otherwise.
        made_by: Who decided; None for what a refresh did.
        about: The load that a rollback puts back, or the hold that a release or an approved
            load ends.
        fingerprint: Digest of the fingerprint that the slice was proven by, which the stage's
            manifest holds; None for loads of earlier releases and what is no load.
        stage_digest: Digest of what the manifest at `stage` said; None in earlier releases.
        undoes: The `inputs_digest` of what is not to be loaded again by itself: what a
            rollback took away, or a release refused.
        campaign_name: What people called the campaign; None in earlier releases, and of what
            is about no stage, as all that follows.
        season_start: The first day of the season that the slice was loaded with.
        season_end: Its last day.
        seen_to: The day on which its extract was read, in the campaign's time zone.
        compared_with: The campaign that reports put beside it, if any.
        reporting: As the stage's.
    """

    load_id: str
    kind: Kind
    dataset: str
    table: str
    campaign_key: str
    records: int
    replaced_records: int
    source_records: int
    filtered: int
    rejected: int
    reshaped: int = 0
    rule_version: int
    rules_digest: str
    inputs_digest: str
    extract_id: str | None
    stage: str | None
    run_id: str | None
    proof: str
    started_at: dt.datetime
    committed_at: dt.datetime
    reason: str | None = None
    made_by: str | None = None
    about: str | None = None
    undoes: str | None = None
    fingerprint: str | None = None
    stage_digest: str | None = None
    campaign_name: str | None = None
    season_start: dt.date | None = None
    season_end: dt.date | None = None
    seen_to: dt.date | None = None
    compared_with: str | None = None
    reporting: str | None = None

    @property
    def changes_slice(self) -> bool:
        """Whether it replaced or removed records."""
        return self.kind in ("load", "rollback", "prune")

    @property
    def is_load(self) -> bool:
        """Whether the slice has the records of its stage."""
        return self.kind in ("load", "rollback")

    @property
    def seconds(self) -> float:
        """Seconds from the transaction's start to its commit."""
        return (self.committed_at - self.started_at).total_seconds()


def copy_manifest(parts: Iterable[Part], uri: Callable[[str], str]) -> str:
    """Return the manifest of a COPY: every part, each mandatory (COPY skips absent ones else).

    Args:
        parts: What to load.
        uri: Gives a path's full address.
    """
    entries = [
        {"url": uri(part.path), "mandatory": True, "meta": {"content_length": part.bytes}}
        for part in parts
    ]
    return json.dumps({"entries": entries}, indent=2)


def inputs_digest(
    extract: Extract,
    rules_digest: str,
    bindings: dict[str, Scalar],
    load_digest: str,
    lookups: Mapping[str, Extract],
) -> str:
    """Return a SHA-256 of everything the records of a load depend on."""
    looked_up = {name: found.content_digest for name, found in lookups.items()}
    return _digest(extract.content_digest, rules_digest, bindings, load_digest, looked_up)


def _digest(*content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
