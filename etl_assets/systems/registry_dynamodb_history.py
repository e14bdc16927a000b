"""What the registry's documents were: each version is kept, with the revision that wrote it."""

from typing import TYPE_CHECKING

from etl_assets.core.errors import RegistryError
from etl_assets.core.registry_items import Stored
from etl_assets.systems.aws import aws_explained
from etl_assets.systems.registry_dynamodb_items import pack, stored_of

if TYPE_CHECKING:
    from etl_assets.systems.registry_dynamodb import DynamoDBRegistry, Snapshot


def history(registry: "DynamoDBRegistry", id_: str) -> list[Stored]:
    """Return every version of a document, newest first, as the items hold them."""
    from etl_assets.systems.registry_dynamodb import REMEDIES

    found: list[Stored] = []
    with aws_explained(f"Reading {registry.name}", RegistryError, REMEDIES):
        for page in registry.client.get_paginator("query").paginate(
            TableName=registry.place.name,
            KeyConditionExpression="#pk = :pk",
            ExpressionAttributeNames={"#pk": "PK"},
            ExpressionAttributeValues=pack({":pk": id_}),
            ConsistentRead=True,
            ScanIndexForward=False,
        ):
            found += [stored_of({**item, "SK": item["PK"]}) for item in page["Items"]]
    return found


def as_of(registry: "DynamoDBRegistry", snapshot: "Snapshot", revision: int) -> list[Stored]:
    """Return the documents that counted at a revision.

    Only those written since are looked up, and since a run begins there are few.

    Raises:
        RegistryError: When the table never had that revision.
    """
    if revision > snapshot.revision:
        raise RegistryError(
            f"The registry in {registry.name} is at revision {snapshot.revision}, and revision"
            f" {revision} was asked for: it is not the table that was read before.",
            "Start a new run, which reads the registry as it is.",
        )
    found = []
    for stored in snapshot.documents.values():
        versions = [stored] if stored.revision <= revision else registry.history(stored.id)
        found += [version for version in versions if version.revision <= revision][:1]
    return found
