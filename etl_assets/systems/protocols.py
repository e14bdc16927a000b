"""The four seams: what the platform asks of a registry, a source, a store and a warehouse."""

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from etl_assets.core.campaigns import Scalar
from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.fingerprint import Fingerprint
from etl_assets.core.fingerprint_groups import Group
from etl_assets.core.manifest import Load, Part, Touched
from etl_assets.core.orders import Order
from etl_assets.core.registry import Registry
from etl_assets.core.reporting_views import Overlaps
from etl_assets.core.retention import StoredObject
from etl_assets.core.rules.versions import RuleVersion
from etl_assets.core.selects import Select
from etl_assets.systems.unloading import Unloaded


@dataclass(frozen=True)
class Check:
    """One line of `etl-assets doctor`.

    Attributes:
        name: What was tried, such as "readable".
        ok: Whether it works.
        detail: Version, path or count; or why it does not work.
        remedy: What to do when it does not.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""


class RegistryStore(Protocol):
    """Where campaigns, the calendar and rule sets are kept."""

    def read(self, revision: int | None = None) -> Registry:
        """Return everything, read consistently.

        Args:
            revision: As it was then, where the registry has revisions; as it is now unless given.

        Raises:
            RegistryError: When it cannot be read. Nothing may be concluded then, least of
                all that there are no keys.
            DocumentError: When a document is not valid and it is uncertain what it means.
        """
        ...

    def check(self) -> list[Check]:
        """Return whether it can be reached, read and written."""
        ...

    def rule_versions(self, dataset: str) -> list[RuleVersion]:
        """Return every version of a dataset's rules, newest first; none when there never was one.

        The version that counts is `current`; none is where the dataset's own rules count. A
        version whose text is damaged is there with its fault.

        Raises:
            RegistryError: When they cannot be read.
            DocumentError: When the number of the version that counts is uncertain.
            TransientError: When the registry is busy or cannot be reached.
        """
        ...

    def publish_rules(
        self, dataset: str, text: str, *, over: int, by: str, at: dt.datetime, comment: str
    ) -> RuleVersion:
        """Write a version of a dataset's rules over the one an edit began with.

        Args:
            dataset: Whose rules.
            text: The author's YAML; its `version` and `comment` are replaced.
            over: The version the edit began with; see `rule_versions.base_of`.
            by: Who publishes.
            at: When, with a time zone.
            comment: Why.

        Returns:
            Version `over` + 1, which counts now.

        Raises:
            RegistryError: When another version counts by now, with who published it; nothing
                was written. Or when the registry cannot be written.
            DocumentError: When the text is not valid, or there is no such dataset.
            TransientError: When the registry is busy or cannot be reached.
        """
        ...


@dataclass(frozen=True)
class Reject:
    """A value for which a policy left its record out.

    Attributes:
        policy: Such as `zero_date`.
        value: As the source shows it.
        record: The record's primary key, as `name=value, …`.
    """

    policy: str
    column: str
    value: str
    record: str


@dataclass(frozen=True)
class Outcome:
    """What the policies did while a snapshot was read.

    Attributes:
        touched: Per column and policy.
        rejected: Records left out.
        rejects: Their values; a record with two such values is there twice.
    """

    touched: tuple[Touched, ...] = ()
    rejected: int = 0
    rejects: tuple[Reject, ...] = ()


class SourceSnapshot(Protocol):
    """One dataset query, bound, inside one read-only consistent snapshot."""

    columns: tuple[Column, ...]

    def outcome(self) -> Outcome:
        """Return what the policies did, once the batches are read."""
        ...

    def fingerprint(self, names: Collection[str], groups: Collection[Group] = ()) -> Fingerprint:
        """Return the fingerprint of some of the columns, and COUNT(*) of the query with it.

        It is computed by the source itself, in the snapshot, of the values as they are there:
        leave out columns that a policy touched. Without a total is what the source
        cannot sum exactly: in MySQL a FLOAT, a DOUBLE, and a DECIMAL of more than 38 digits.
        What gives another value each time, such as NOW(), differs from the records read.

        Args:
            names: Of columns; none for nothing but the count.
            groups: Of the text and binary ones; those of `groups_of` unless given.

        Raises:
            SourceError: When the source refuses the query.
            TransientError: When the connection was lost.
        """
        ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the records in order, typed as `columns`; memory is one batch.

        Raises:
            SourceError: When a value is not of its column's type, with column, record and value.
            TransientError: When the connection was lost; what was yielded is to be discarded.
        """
        ...


class Moment(Protocol):
    """One consistent state of a source, for queries one after the other."""

    def snapshot(
        self, dataset: Dataset, bindings: dict[str, Scalar]
    ) -> AbstractContextManager[SourceSnapshot]:
        """Open a snapshot of a dataset's query.

        Raises:
            SourceError: When the query is refused, or a column's type is not known.
            TransientError: When the source cannot be reached.
        """
        ...


class Source(Moment, Protocol):
    """The database that records are extracted from; it is never written.

    Each snapshot is of a moment of its own.
    """

    def moment(self) -> AbstractContextManager[Moment]:
        """Open a moment: what is read in it is of one state of the source.

        Raises:
            SourceError: When the source is not there.
            TransientError: When it cannot be reached.
        """
        ...

    def check(self) -> list[Check]:
        """Return whether it can be reached and read."""
        ...


class Staging(Protocol):
    """The append-only store of extracts and staged parts; a path is written once."""

    def scratch(self) -> AbstractContextManager[Path]:
        """Give a private folder for files in the making; it goes with the context."""
        ...

    def put(self, path: str, file: Path) -> Part:
        """Store a finished file whole under a path that must not exist yet.

        Raises:
            StagingError: When the path exists with other content, or cannot be written.
        """
        ...

    def put_text(self, path: str, text: str) -> Part:
        """Store a small text; as `put`."""
        ...

    def read_text(self, path: str) -> str:
        """Return a small text.

        Raises:
            StagingError: When there is none.
        """
        ...

    def fetch(self, parts: Sequence[Part]) -> AbstractContextManager[list[Path]]:
        """Give local files with the parts' bytes, each proven by size and SHA-256.

        Raises:
            StagingError: When a part is missing, cut short or changed.
        """
        ...

    def verify(self, parts: Sequence[Part]) -> None:
        """Prove parts by size and SHA-256, where they are; errors as `fetch`.

        For readers that take the parts from the store themselves, as Redshift does.
        """
        ...

    def uri(self, path: str) -> str:
        """Return the full URI of a path, for people and for a warehouse that reads it."""
        ...

    def download(self, path: str, target: Path) -> str:
        """Copy an object that others wrote to a local file; return its SHA-256.

        Raises:
            StagingError: When there is none, or it cannot be read.
        """
        ...

    def objects(self, below: str = "") -> list[StoredObject]:
        """Return everything in the store, or in a folder of it, by path.

        For cleaning, for files that arrived and for people only: what a load of a campaign
        reads is what a manifest names.
        """
        ...

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there any more is no error.

        Raises:
            StagingError: When one cannot be removed; running it again goes on.
        """
        ...

    def check(self) -> list[Check]:
        """Return whether it can be reached, read and written."""
        ...


class Warehouse(Protocol):
    """The database readers use. Every change is one transaction with its ledger row."""

    def commit(self, orders: Sequence[Order], staging: Staging) -> list[Load]:
        """Carry out orders, of different keys or one, in one transaction: all of them or none.

        Orders that were carried out before change nothing; their rows are returned.

        Returns:
            The rows of the ledger, in the sequence of the orders.

        Raises:
            ProofError: When counts differ; every slice is what it was.
            WarehouseError: When the warehouse refuses; every slice is what it was.
            StagingError: When a staged part is missing or was changed.
            SupersededError: When an order was decided on a row that is not the newest of its
                key any more; to be decided again.
            TransientError: When the warehouse is busy or cannot be reached; a retry is safe.
        """
        ...

    def loads(
        self, *, dataset: str | None = None, key: str | None = None, limit: int | None = None
    ) -> list[Load]:
        """Return rows of the ledger, newest first; none when there is no ledger yet."""
        ...

    def current(self, dataset: Dataset, key: str) -> Load | None:
        """Return the ledger row that made the key's slice what it is now; see `changes_slice`."""
        ...

    def slices(self, dataset: Dataset) -> dict[str, int]:
        """Return the records the table holds, by campaign key, counted now."""
        ...

    def fingerprint(
        self, dataset: Dataset, key: str, columns: Sequence[Column], groups: Collection[Group]
    ) -> Fingerprint:
        """Return the fingerprint of a slice now, of those of the columns that the table has."""
        ...

    def overlaps(self, dataset: Dataset) -> Overlaps:
        """Return what the campaigns of the table have in common, counted now in one snapshot."""
        ...

    def describe(self, select: Select, what: str) -> tuple[Column, ...]:
        """Return the columns of a query's result, texts without a length; errors as `unload`."""
        ...

    def unload(
        self, select: Select, columns: Sequence[Column], staging: Staging, what: str
    ) -> AbstractContextManager[Unloaded]:
        """Write a query's result out of the warehouse, as of one moment, for it to be read.

        The warehouse is not held while the records are read.

        Args:
            select: The query.
            columns: Those of its result, with the types that are read.
            staging: Takes what is written, until the context ends.
            what: Names the reading in errors, such as "Reading sales".

        Raises:
            WarehouseError: When the warehouse refuses the query, or a table is not there.
            StagingError: When what was written cannot be fetched.
            TransientError: When the warehouse is busy or cannot be reached.
        """
        ...

    def check(self) -> list[Check]:
        """Return whether it can be reached, read and written."""
        ...

    def probe(self, staging: Staging) -> list[Check]:
        """Return what experiments find about what its documentation leaves open.

        They touch no target table and no ledger row; a few small objects stay in the store.
        """
        ...
