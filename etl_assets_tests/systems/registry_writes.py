"""What tests of the DynamoDB registry write behind its back."""

import datetime as dt
from typing import Any

from etl_assets.core.registry_push import Change
from etl_assets.systems.registry_dynamodb import PARTITION, DynamoDBRegistry
from etl_assets.systems.registry_dynamodb_items import pack

AT = dt.datetime(2026, 11, 23, 3, tzinfo=dt.UTC)
SPRING = {"start": "2017-03-01", "end": "2017-05-31"}


def put_item(
    registry: DynamoDBRegistry, id_: str, raw: dict[str, Any] | None = None, **attributes: object
) -> None:
    """Write an item as a careless hand would; `raw` is as the wire writes it."""
    item = pack({"PK": PARTITION, "SK": id_, "version": 1, "revision": 1, **attributes})
    item |= raw or {}
    item = {name: value for name, value in item.items() if value != {"NULL": True}}
    registry.client.put_item(TableName=registry.place.name, Item=item)


def write(registry: DynamoDBRegistry, *changes: Change, by: str = "bert") -> int:
    """Write documents over what the registry says now; return its new revision."""
    return registry.write(changes, registry.snapshot(), by=by, at=AT, push_id="t")


def long_rules(entries: int) -> str:
    """Return a rule set with a map of so many entries, beyond ASCII."""
    head = "rules:\n- id: streets\n  kind: map\n  column: note\n  unmapped: keep\n  values:\n"
    lines = (f"    Straße {n}: Löbauer Straße Nº {n:05} 北京 😀\n" for n in range(entries))
    return head + "".join(lines)
