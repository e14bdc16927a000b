"""Texts that no item holds: kept beside their items, in parts, by the SHA-256 of their bytes.

    PK           SK         attributes
    TEXT#<hash>  part-0000  bytes (B)

What a name stands for never changes. The parts are there before an item names them, and are
never removed; parts that no item names are of a write that lost, and harm nobody.
"""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from etl_assets.core.errors import RegistryError
from etl_assets.core.registry_items import Aside, Stored
from etl_assets.core.registry_push import Change
from etl_assets.core.rules.texts import said
from etl_assets.systems.aws import aws_explained
from etl_assets.systems.registry_dynamodb_items import LARGEST_TEXT, item_bytes, pack

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TEXT = "TEXT#"
_PART_BYTES = LARGEST_TEXT


class AsideTexts:
    """Reads and writes the texts that a table keeps aside."""

    def __init__(self, table: str) -> None:
        """Remember the table's name; texts that were read are kept, since they do not change."""
        self._table = table
        self._read: dict[str, str] = {}

    def put_aside(self, client: "DynamoDBClient", change: Change) -> Change:
        """Return the change as its item can hold it, with a text that is too large put aside.

        Raises:
            DocumentError: When that text is no rule set.
            RegistryError: When AWS refuses.
            TransientError: When AWS is busy or unreachable.
        """
        text = change.document
        if not isinstance(text, str) or item_bytes(change) <= LARGEST_TEXT:
            return change
        content = text.encode()
        version, comment = said(text, change.id)
        aside = Aside(hashlib.sha256(content).hexdigest(), len(content), version, comment)
        with aws_explained(f"Writing table {self._table}", RegistryError):
            for number, start in enumerate(range(0, len(content), _PART_BYTES)):
                key = pack({"PK": TEXT + aside.sha256, "SK": f"part-{number:04}"})
                part = content[start : start + _PART_BYTES]
                client.put_item(TableName=self._table, Item={**key, "bytes": {"B": part}})
        return replace(change, document=aside)

    def whole(self, client: "DynamoDBClient", stored: Stored) -> Stored:
        """Return the document with its text, wherever that is kept; a damaged one is its fault.

        Raises:
            RegistryError: When AWS refuses.
            TransientError: When AWS is busy or unreachable.
        """
        aside = stored.aside
        if aside is None:
            return stored
        if aside.sha256 not in self._read:
            content = self._content(client, aside)
            if len(content) != aside.bytes or hashlib.sha256(content).hexdigest() != aside.sha256:
                name = f"{TEXT}{aside.sha256}"
                return replace(stored, fault=f"its text, kept as {name}, is incomplete or changed")
            self._read[aside.sha256] = content.decode()
        return replace(stored, document=self._read[aside.sha256])

    def _content(self, client: "DynamoDBClient", aside: Aside) -> bytes:
        found = []
        with aws_explained(f"Reading table {self._table}", RegistryError):
            for page in client.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="#pk = :pk",
                ExpressionAttributeNames={"#pk": "PK"},
                ExpressionAttributeValues=pack({":pk": TEXT + aside.sha256}),
                ConsistentRead=True,
            ):
                found += [item.get("bytes", {}).get("B", b"") for item in page["Items"]]
        return b"".join(found)
