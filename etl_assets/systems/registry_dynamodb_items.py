"""The items of the registry's table: read one by one, written within DynamoDB's limits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from etl_assets.core.errors import RegistryError
from etl_assets.core.registry_items import Aside, Stored, from_stored, to_stored
from etl_assets.core.registry_push import Change

LARGEST_ITEM = 400 * 1024
LARGEST_TEXT = 350 * 1024
"""A text whose item would be larger is kept aside; some room is left below DynamoDB's limit."""

LARGEST_TRANSACTION = 3_500_000
"""DynamoDB takes 4 MB; what is left is for names and the head."""

DOCUMENTS_AT_ONCE = 49
"""DynamoDB takes 100 actions: two for each document, and the head."""

_NAMES = {
    "#revision": "revision", "#by": "updated_by", "#at": "updated_at",
    "#changed": "changed", "#unfinished": "unfinished",
}  # fmt: skip


@dataclass(frozen=True)
class Transaction:
    """One step of the registry from a revision to the next.

    Attributes:
        table: Its name.
        revision: The revision this makes.
        stamp: Who and when; and `unfinished`, unless it is the last of its push.
        changes: The documents it writes.
    """

    table: str
    revision: int
    stamp: Mapping[str, str]
    changes: Sequence[Change]

    def items(self) -> list[dict[str, Any]]:
        """Return the actions; each has the condition that nobody wrote meanwhile."""
        return [self._head(), *(action for c in self.changes for action in self._document(c))]

    def _head(self) -> dict[str, Any]:
        changed = {change.id: change.version + 1 for change in self.changes}
        setting = "SET #revision = :next, #by = :by, #at = :at, #changed = :changed"
        values: dict[str, object] = {
            ":read": self.revision - 1, ":next": self.revision, ":changed": changed,
            ":by": self.stamp["updated_by"], ":at": self.stamp["updated_at"],
        }  # fmt: skip
        if "unfinished" in self.stamp:
            setting += ", #unfinished = :token"
            values[":token"] = self.stamp["unfinished"]
        else:
            setting += " REMOVE #unfinished"
        return {
            "Update": {
                "TableName": self.table,
                "Key": pack({"PK": "REGISTRY", "SK": "HEAD"}),
                "UpdateExpression": setting,
                "ConditionExpression": "#revision = :read",
                "ExpressionAttributeNames": _NAMES,
                "ExpressionAttributeValues": pack(values),
            }
        }

    def _document(self, change: Change) -> list[dict[str, Any]]:
        version = change.version + 1
        item = {
            **_content(change.document),
            "version": version,
            "revision": self.revision,
            "updated_by": self.stamp["updated_by"],
            "updated_at": self.stamp["updated_at"],
        }
        current: dict[str, Any] = {
            "TableName": self.table,
            "Item": pack({"PK": "REGISTRY", "SK": change.id, **item}),
            "ConditionExpression": "attribute_not_exists(#pk)",
            "ExpressionAttributeNames": {"#pk": "PK"},
        }
        if change.version:
            current |= {
                "ConditionExpression": "#version = :read",
                "ExpressionAttributeNames": {"#version": "version"},
                "ExpressionAttributeValues": pack({":read": change.version}),
            }
        history = {
            "TableName": self.table,
            "Item": pack({"PK": change.id, "SK": f"v{version:09}", **item}),
            "ConditionExpression": "attribute_not_exists(#pk)",
            "ExpressionAttributeNames": {"#pk": "PK"},
        }
        return [{"Put": current}, {"Put": history}]


def _content(document: object) -> dict[str, object]:
    """Return the attributes that say what a document says."""
    if document is None:
        return {"removed": True}
    return {"aside": asdict(document)} if isinstance(document, Aside) else {"document": document}


def transactions(changes: Sequence[Change]) -> Iterator[tuple[bool, list[Change]]]:
    """Yield the changes in as many transactions as they need, and whether it is the last.

    Raises:
        RegistryError: When one is larger than an item may be; before anything is yielded.
    """
    groups: list[list[Change]] = [[]]
    room = LARGEST_TRANSACTION
    for change in changes:
        size = item_bytes(change)
        if size > LARGEST_ITEM:
            raise RegistryError(
                f"{change.id} has {size / 1024:,.0f} KB; DynamoDB takes 400 KB per item.",
                "Make it smaller; only the texts of rule sets may be larger.",
            )
        if len(groups[-1]) == DOCUMENTS_AT_ONCE or room < 2 * size:
            groups.append([])
            room = LARGEST_TRANSACTION
        groups[-1].append(change)
        room -= 2 * size
    for number, group in enumerate(groups, 1):
        yield number == len(groups), group


def pack(values: Mapping[str, object]) -> dict[str, Any]:
    """Return attributes as the wire writes them."""
    from boto3.dynamodb.types import TypeSerializer

    write = TypeSerializer().serialize
    return {name: write(to_stored(value)) for name, value in values.items()}


def unpack(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as Python has them; a document as it is stored.

    Raises:
        ValueError: Naming an attribute whose value is of no use.
    """
    from boto3.dynamodb.types import TypeDeserializer

    read = TypeDeserializer().deserialize
    return {
        name: from_stored(read(value), name) if name != "document" else read(value)
        for name, value in item.items()
    }


def stored_of(item: Mapping[str, Any]) -> Stored:
    """Return an item's document; what cannot be read is its fault, and only its own."""
    id_ = str(next(iter(item["SK"].values())))
    try:
        values = unpack(item)
        version, revision = values.get("version"), values.get("revision", 0)
        removed = values.get("removed") is True
        fault = ""
        if not isinstance(version, int) or not isinstance(revision, int):
            version, revision, fault = 0, 0, "`version` or `revision` is missing or no number"
        document = None if removed else from_stored(values.get("document"))
        aside = Aside(**values["aside"]) if "aside" in values and not removed else None
    except (ValueError, TypeError) as error:
        return Stored(id_, fault=str(error))
    by, at = str(values.get("updated_by", "?")), str(values.get("updated_at", "?"))
    return Stored(id_, document, version, revision, by, at, removed, fault, aside)


def item_bytes(change: Change) -> int:
    """Return about what DynamoDB counts for a document's item, and rather more than less."""
    return 300 + len(change.id) + _bytes(pack(_content(change.document)))


def _bytes(value: object) -> int:
    """Return the size of packed attributes: names and values, and three bytes for each."""
    if isinstance(value, dict):
        return sum(len(str(name).encode()) + 3 + _bytes(item) for name, item in value.items())
    if isinstance(value, list):
        return sum(3 + _bytes(item) for item in value)
    return len(str(value).encode())
