"""The registry in one DynamoDB table with the key `PK`, `SK`.

    PK              SK             attributes
    REGISTRY        HEAD           revision, layout, updated_by, updated_at, changed, unfinished
    REGISTRY        CAMPAIGN#CJ15  document (M), version, revision, updated_by, updated_at
    REGISTRY        DAY#2017-12-25 document (M: keys), …
    REGISTRY        RULES#sales    document (S: YAML), …
    CAMPAIGN#CJ15   v000000012     what version 12 was, kept for good

A text that an item cannot hold is kept beside it: registry_dynamodb_texts.py.

The current documents share one partition, so one paginated, consistent Query reads them
all. Every write is a transaction: the head from the revision read to the next, each
document from the version read to the next, and its history. A removed document stays as an
item with `removed`, so that its versions go on counting.

A Query sees the items of a transaction one by one. So the head is read first, and names the
documents its revision wrote; every document names the revision that wrote it. A reading
with a document of a later revision, or without one of the head's, mixes two states: it is
thrown away and read again. A push of more documents than fit one transaction marks the head
`unfinished`, with the push's id, until its last: nobody reads half of it.
"""

import datetime as dt
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from etl_assets.core.errors import RegistryError, TransientError
from etl_assets.core.failure_classes import meaning_of
from etl_assets.core.registry import Registry
from etl_assets.core.registry_items import Stored, registry_of
from etl_assets.core.registry_push import Change
from etl_assets.core.retries import REGISTRY
from etl_assets.core.rules.versions import RuleVersion
from etl_assets.systems import registry_dynamodb_rules as rules
from etl_assets.systems.aws import ATTEMPTS, Place, aws_explained, error_code, make_client
from etl_assets.systems.protocols import Check
from etl_assets.systems.registry_dynamodb_items import (
    Transaction,
    pack,
    stored_of,
    transactions,
    unpack,
)
from etl_assets.systems.registry_dynamodb_texts import AsideTexts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PARTITION, HEAD = "REGISTRY", "HEAD"
LAYOUT = 1
_CHANCE = random.SystemRandom()
REMEDIES = {
    "ResourceNotFoundException": "`etl-assets registry init` makes the table.",
    "ResourceInUseException": "Wait until the table is active.",
}


@dataclass(frozen=True)
class Snapshot:
    """One consistent reading of the table.

    Attributes:
        revision: Counts the registry's writes; 0 before the first push.
        updated_by: Who made this revision.
        updated_at: When, ISO 8601, UTC.
        unfinished: Id of the push that has begun and not ended; empty when there is none.
        documents: By id, removed ones included.
    """

    revision: int
    updated_by: str = ""
    updated_at: str = ""
    unfinished: str = ""
    documents: Mapping[str, Stored] = field(default_factory=dict)


class LostRaceError(Exception):
    """Somebody else wrote what a transaction was to write; it changed nothing."""


class DynamoDBRegistry:
    """Reads and writes the registry of a table."""

    def __init__(
        self,
        place: Place,
        datasets: Collection[str],
        *,
        attempts: int = ATTEMPTS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Remember where the registry is; nothing is connected before it is needed.

        Args:
            place: The table.
            datasets: The names that campaigns and rule sets may refer to.
            attempts: How often a request is tried.
            pause: Waits so many seconds between two readings.
        """
        self.place = place
        self.datasets = datasets
        self._attempts = attempts
        self.pause = pause
        self._texts = AsideTexts(place.name)

    @property
    def name(self) -> str:
        """The table, as errors name it."""
        return f"table {self.place.name}"

    @cached_property
    def client(self) -> "DynamoDBClient":
        """The boto3 client."""
        return make_client("dynamodb", self.place, attempts=self._attempts)

    def read(self, revision: int | None = None) -> Registry:
        """Return everything; see `RegistryStore.read`."""
        from etl_assets.systems.registry_dynamodb_history import as_of

        snapshot = self.filled()
        at = snapshot.revision if revision is None else revision
        found = registry_of(as_of(self, snapshot, at), self.datasets, self.name)
        return replace(found, revision=at)

    def filled(self) -> Snapshot:
        """Return every document with its version; as `snapshot`, but never of an empty registry.

        Raises:
            RegistryError: When nothing was ever written.
        """
        snapshot = self.snapshot()
        if not snapshot.revision:
            raise RegistryError(
                f"The registry in {self.name} was never filled.",
                "Fill it: `etl-assets registry push DIR`.",
            )
        return snapshot

    def snapshot(self, *, unfinished: bool = False) -> Snapshot:
        """Return every document with its version.

        Args:
            unfinished: Whether a push that has not ended may be read half way.

        Raises:
            RegistryError: When the table is not there or holds no registry.
            TransientError: When a push is under way, or AWS is busy.
        """
        begun = ""
        for pause in (0.0, *REGISTRY.pauses(_CHANCE.uniform)):
            if pause:
                self.pause(pause)
            head = self._head()
            by, at = head.get("updated_by", "?"), head.get("updated_at", "?")
            begun = f"the push of {by} at {at} has not ended"
            if head.get("unfinished") and not unfinished:
                continue
            documents = {stored.id: stored for stored in self._documents()}
            if _agree(head, documents):
                documents = {id_: self._whole(stored) for id_, stored in documents.items()}
                push_id = str(head.get("unfinished", ""))
                return Snapshot(int(head["revision"]), str(by), str(at), push_id, documents)
        raise TransientError(
            f"The registry in {self.name} cannot be read: {begun}.",
            "Try again in a minute; a push that was interrupted is ended by"
            " `etl-assets registry push DIR --take-over`.",
        )

    def write(
        self, changes: Sequence[Change], over: Snapshot, *, by: str, at: dt.datetime, push_id: str
    ) -> int:
        """Write documents over the snapshot they were decided on; return the new revision.

        Args:
            changes: At least one.
            over: What was read.
            by: Who writes.
            at: When, UTC.
            push_id: Marks the head while the changes need more than one transaction.

        Raises:
            LostRaceError: When anybody wrote since; read again and decide again.
            RegistryError: When a document is larger than DynamoDB takes, or AWS refuses.
            TransientError: When AWS is busy or unreachable; what it did is not known.
        """
        revision = over.revision
        stamp = {"updated_by": by, "updated_at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        held = [self._texts.put_aside(self.client, change) for change in changes]
        for last, some in transactions(held):
            revision += 1
            mark = {} if last else {"unfinished": push_id}
            self._transact(Transaction(self.place.name, revision, {**stamp, **mark}, some).items())
        return revision

    def _transact(self, items: list[Any]) -> None:
        from botocore.exceptions import ClientError

        with aws_explained(f"Writing {self.name}", RegistryError, REMEDIES):
            try:
                self.client.transact_write_items(TransactItems=items)
            except ClientError as error:
                if error_code(error) != "TransactionCanceledException":
                    raise
                reasons: list[Any] = error.response.get("CancellationReasons", [])
                codes = {reason.get("Code") for reason in reasons}
                if "ConditionalCheckFailed" in codes:
                    raise LostRaceError from error
                meanings = [meaning_of("AWS", code) for code in codes - {"None", None}]
                if not all(meaning and meaning.transient for meaning in meanings):
                    raise
                raise TransientError(
                    f"Writing {self.name} failed: {', '.join(sorted(codes - {'None', None}))}.",
                    "Try again; nothing was changed by this step.",
                ) from error

    def _head(self) -> dict[str, Any]:
        with aws_explained(f"Reading {self.name}", RegistryError, REMEDIES):
            answer = self.client.get_item(
                TableName=self.place.name,
                Key=pack({"PK": PARTITION, "SK": HEAD}),
                ConsistentRead=True,
            )
        head = unpack(answer.get("Item", {}))
        if not isinstance(head.get("revision"), int):
            raise RegistryError(
                f"There is no registry in {self.name}.",
                "Correct ETL_ASSETS_REGISTRY, or run `etl-assets registry init`.",
            )
        if head.get("layout") != LAYOUT:
            raise RegistryError(
                f"The registry in {self.name} has layout {head.get('layout')}; this release"
                f" reads layout {LAYOUT}.",
                "Use the release that wrote it.",
            )
        return head

    def _documents(self) -> Iterator[Stored]:
        """Yield all current documents: also a page without items may have a next."""
        key: dict[str, Any] = {}
        while True:
            with aws_explained(f"Reading {self.name}", RegistryError, REMEDIES):
                page = self.client.query(
                    TableName=self.place.name,
                    KeyConditionExpression="#pk = :pk",
                    ExpressionAttributeNames={"#pk": "PK"},
                    ExpressionAttributeValues=pack({":pk": PARTITION}),
                    ConsistentRead=True,
                    **key,
                )
            yield from (stored_of(i) for i in page["Items"] if i["SK"].get("S") != HEAD)
            if not page.get("LastEvaluatedKey"):
                return
            key = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def history(self, id_: str) -> list[Stored]:
        """Return every version of a document, newest first."""
        from etl_assets.systems.registry_dynamodb_history import history

        return [self._whole(stored) for stored in history(self, id_)]

    def _whole(self, stored: Stored) -> Stored:
        return self._texts.whole(self.client, stored)

    def create(self) -> bool:
        """Make the table and an empty head; see `registry_dynamodb_table.create_table`."""
        from etl_assets.systems.registry_dynamodb_table import create_table

        return create_table(self)

    def check(self) -> list[Check]:
        """Return whether the table can be read and written, is valid, and is backed up."""
        from etl_assets.systems.registry_dynamodb_table import check_table

        return check_table(self)

    def rule_versions(self, dataset: str) -> list[RuleVersion]:
        """Return every version of a dataset's rules; see `RegistryStore.rule_versions`."""
        return rules.rule_versions(self, dataset)

    def publish_rules(
        self, dataset: str, text: str, *, over: int, by: str, at: dt.datetime, comment: str
    ) -> RuleVersion:
        """Publish a version of a dataset's rules; see `RegistryStore.publish_rules`."""
        return rules.publish_rules(self, dataset, text, over=over, by=by, at=at, comment=comment)


def _agree(head: Mapping[str, Any], documents: Mapping[str, Stored]) -> bool:
    """Return whether documents are those of the head's revision, none of a later or earlier."""
    changed = head.get("changed", {})
    return all(d.revision <= head["revision"] for d in documents.values()) and all(
        id_ in documents and documents[id_].version >= version for id_, version in changed.items()
    )
