"""The registry's table itself: made once, and what `etl-assets doctor` says of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from etl_assets.core.errors import DocumentError, PermanentError, RegistryError, TransientError
from etl_assets.systems.aws import aws_explained, error_code
from etl_assets.systems.protocols import Check
from etl_assets.systems.registry_dynamodb_items import pack

if TYPE_CHECKING:
    from etl_assets.systems.registry_dynamodb import DynamoDBRegistry

_KEY = [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}]
_BACKUP_ATTEMPTS = 30
_UNSUPPORTED = ("UnknownOperationException", "UnsupportedOperationException")


def create_table(registry: "DynamoDBRegistry") -> bool:
    """Make the table, unless it is there, and its head; return whether it was made.

    On demand, with a stream of old and new images, and with point-in-time recovery where
    the server has it.

    Raises:
        RegistryError: When a table of that name has another key, or AWS refuses.
    """
    from etl_assets.systems.registry_dynamodb import REMEDIES

    client, table = registry.client, registry.place.name
    with aws_explained(f"Making {registry.name}", RegistryError, REMEDIES):
        made = _make(registry)
        client.get_waiter("table_exists").wait(
            TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
        )
        key = client.describe_table(TableName=table)["Table"]["KeySchema"]
        if key != _KEY:
            raise RegistryError(
                f"There is a {registry.name} with another key.",
                "Choose another name in ETL_ASSETS_REGISTRY.",
            )
        _turn_backups_on(registry)
        _absent_is_fine(lambda: _put_head(registry), ("ConditionalCheckFailedException",))
    return made


def _make(registry: "DynamoDBRegistry") -> bool:
    created = []

    def make() -> None:
        registry.client.create_table(
            TableName=registry.place.name,
            AttributeDefinitions=[
                {"AttributeName": "PK", "AttributeType": "S"},
                {"AttributeName": "SK", "AttributeType": "S"},
            ],
            KeySchema=_KEY,  # type: ignore[arg-type]
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        created.append(True)

    _absent_is_fine(make, ("ResourceInUseException",))
    return bool(created)


def _turn_backups_on(registry: "DynamoDBRegistry") -> None:
    """Turn point-in-time recovery on; a table just made is not ready for it at once."""
    from botocore.exceptions import ClientError

    for left in reversed(range(_BACKUP_ATTEMPTS)):
        try:
            registry.client.update_continuous_backups(
                TableName=registry.place.name,
                PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
            )
        except ClientError as error:
            if error_code(error) in _UNSUPPORTED:
                return
            if error_code(error) != "ContinuousBackupsUnavailableException" or not left:
                raise
            registry.pause(2)
        else:
            return


def _put_head(registry: "DynamoDBRegistry") -> None:
    from etl_assets.systems.registry_dynamodb import HEAD, LAYOUT, PARTITION

    registry.client.put_item(
        TableName=registry.place.name,
        Item=pack({"PK": PARTITION, "SK": HEAD, "layout": LAYOUT, "revision": 0}),
        ConditionExpression="attribute_not_exists(#pk)",
        ExpressionAttributeNames={"#pk": "PK"},
    )


def check_table(registry: "DynamoDBRegistry") -> list[Check]:
    """Return whether the table can be read and written, is valid, and is backed up."""
    try:
        found = registry.read()
        notes = _notes(registry)
    except (RegistryError, DocumentError, PermanentError, TransientError) as error:
        remedy = error.remedy or "Correct ETL_ASSETS_REGISTRY."
        return [Check("readable", ok=False, detail=error.message, remedy=remedy)]
    rules = ", ".join(f"{n} v{r.version}" for n, r in sorted(found.rule_sets.items()))
    readable = f"{len(found.campaigns)} campaigns; rules: {rules or 'none'}"
    return [
        Check("readable", ok=True, detail=readable),
        *notes,
        *(
            Check(f"campaign {key}", ok=False, detail=problem, remedy="Correct the item.")
            for key, problem in found.problems.items()
        ),
    ]


def _notes(registry: "DynamoDBRegistry") -> list[Check]:
    """Return whether this process may write, and whether the table is backed up."""
    client, table = registry.client, registry.place.name

    def backups() -> str:
        answer = client.describe_continuous_backups(TableName=table)
        description = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        return description["PointInTimeRecoveryStatus"].lower()

    def stream() -> str:
        described = client.describe_table(TableName=table)["Table"]
        if "StreamSpecification" not in described:
            return "off"
        return described["StreamSpecification"].get("StreamViewType", "off").lower()

    def write() -> str:
        return _try_write(registry)

    recovery = _note(backups)
    return [
        Check("writable (only `registry push` and `rules` write)", ok=True, detail=_note(write)),
        Check(
            "point-in-time recovery",
            ok=recovery != "disabled",
            detail=recovery,
            remedy="Turn it on; `etl-assets registry init` does.",
        ),
        Check("stream", ok=True, detail=_note(stream)),
    ]


def _try_write(registry: "DynamoDBRegistry") -> str:
    """Ask for a write whose condition is never true: the answer tells the permission."""
    from etl_assets.systems.registry_dynamodb import HEAD, PARTITION

    _absent_is_fine(
        lambda: registry.client.update_item(
            TableName=registry.place.name,
            Key=pack({"PK": PARTITION, "SK": HEAD}),
            UpdateExpression="SET #never = :true",
            ConditionExpression="attribute_exists(#never)",
            ExpressionAttributeNames={"#never": "never"},
            ExpressionAttributeValues=pack({":true": True}),
        ),
        ("ConditionalCheckFailedException",),
    )
    return registry.name


def _absent_is_fine(action: Callable[[], object], codes: tuple[str, ...]) -> None:
    """Do something; an error of these codes means that it is not needed or not there."""
    from botocore.exceptions import ClientError

    try:
        action()
    except ClientError as error:
        if error_code(error) not in codes:
            raise


def _note(read: Callable[[], str]) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return read()
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        return f"not allowed ({code})" if code.startswith("AccessDenied") else f"not known ({code})"
