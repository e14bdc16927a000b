"""What is in the table is read whole, consistently, and never taken for what it is not."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_assets.core.errors import DocumentError, PermanentError, RegistryError
from etl_assets.registry_sync import push
from etl_assets.systems.aws import Place
from etl_assets.systems.registry_dynamodb import HEAD, PARTITION, DynamoDBRegistry
from etl_assets.systems.registry_dynamodb_items import pack
from etl_assets_tests.small import Small
from etl_assets_tests.standins.dynamodb import DynamoDBStandin
from etl_assets_tests.standins.proxy import Answer, Proxy, Request, dynamodb_error
from etl_assets_tests.systems.registry_writes import AT, SPRING, put_item


def test_the_table_is_made_once_with_a_stream_and_is_empty_then(
    dynamodb_place: Place,
) -> None:
    registry = DynamoDBRegistry(dynamodb_place, ["sales"])
    with pytest.raises(RegistryError, match="ResourceNotFoundException") as caught:
        registry.read()
    assert "registry init" in caught.value.remedy
    assert registry.create() is True
    assert registry.create() is False
    table = registry.client.describe_table(TableName=dynamodb_place.name)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    with pytest.raises(RegistryError, match="was never filled") as caught:
        registry.read()
    assert "registry push" in caught.value.remedy


def test_making_it_again_keeps_what_is_in_it(filled_registry: DynamoDBRegistry) -> None:
    filled_registry.create()
    assert filled_registry.read().keys == ["AU17", "SP17", "SU17"]


def test_a_table_of_another_kind_is_not_taken_for_a_registry(dynamodb_place: Place) -> None:
    registry = DynamoDBRegistry(dynamodb_place, [])
    registry.client.create_table(
        TableName=dynamodb_place.name, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )  # fmt: skip
    with pytest.raises(RegistryError, match="with another key"):
        registry.create()
    with pytest.raises(RegistryError, match="ValidationException"):
        registry.read()


def test_a_table_without_a_head_or_of_another_layout_is_refused(
    filled_registry: DynamoDBRegistry,
) -> None:
    put_item(filled_registry, HEAD, layout=2, revision=1)
    with pytest.raises(RegistryError, match="layout 2; this release reads layout 1"):
        filled_registry.read()
    filled_registry.client.delete_item(
        TableName=filled_registry.place.name, Key=pack({"PK": PARTITION, "SK": HEAD})
    )
    with pytest.raises(RegistryError, match="There is no registry in"):
        filled_registry.read()


BAD_CAMPAIGNS: list[tuple[dict[str, Any], str]] = [
    ({"document": {**SPRING, "end": "2017-02-30"}}, "`end`: is not a date that exists"),
    ({"document": {"start": "2017-03-01"}}, "`end` is missing"),
    ({"document": {**SPRING, "strat": 1}}, "`strat` is not a known field; did you mean `start`"),
    ({"document": {**SPRING, "end": 5}}, "`end`: is not a date"),
    ({"document": {**SPRING, "paused": 7}}, "`paused`: "),
    ({"document": {**SPRING, "datasets": ["sale"]}}, "no dataset `sale`; did you mean `sales`"),
    ({"document": {**SPRING, "parameters": {"Start": 1}}}, "`Start` cannot name a parameter"),
    ({"document": "text"}, "`document` is not a map"),
    ({"document": None}, "`document` is not a map"),
    ({"document": SPRING, "version": "one"}, "`version` or `revision` is missing"),
    ({"raw": {"document": {"M": {"start": {"B": b"x"}}}}}, "`document.start` is a binary"),
    ({"raw": {"document": {"M": {"datasets": {"SS": ["a"]}}}}}, "`document.datasets` is a set"),
    (
        {"raw": {"document": {"M": {"parameters": {"M": {"a": {"N": "0.12345678901234567890"}}}}}}},
        "more digits than a float holds",
    ),
]


@pytest.mark.parametrize(("attributes", "problem"), BAD_CAMPAIGNS)
def test_a_campaign_that_does_not_parse_is_named_with_its_field_and_stops_alone(
    filled_registry: DynamoDBRegistry, attributes: dict[str, Any], problem: str
) -> None:
    put_item(filled_registry, "CAMPAIGN#BAD", **attributes)
    read = filled_registry.read()
    assert read.keys == ["AU17", "BAD", "SP17", "SU17"]
    assert read.due_on(dt.date(2017, 5, 20)) == ["SP17", "SU17"]
    assert "item CAMPAIGN#BAD of table registry-" in read.problems["BAD"]
    assert problem in read.problems["BAD"]
    with pytest.raises(PermanentError, match="Campaign BAD cannot be refreshed"):
        read.campaign("BAD")
    assert [check.name for check in filled_registry.check() if not check.ok] == ["campaign BAD"]


@pytest.mark.parametrize(
    ("id_", "document", "problem"),
    [
        ("CAMPAIGN#a b", SPRING, "is not a campaign key"),
        ("CAMPAIGN#", SPRING, "is not a campaign key"),
        ("CAMPAIGN#sp17", SPRING, "case does not count"),
        ("DAY#2017-02-30", {"keys": []}, "is not a date that exists"),
        ("DAY#2017-02-20", {"keys": "SP17"}, "`keys` is not a list"),
        ("DAY#2017-02-20", {"keys": ["SP18"]}, "no campaign has the key SP18"),
        ("DAY#2017-02-20", {"keys": [17]}, "no campaign has the key 17"),
        ("DAY#2017-02-20", {"keys": [], "why": ""}, "`why` is not a known field"),
        ("DAY#2017-02-20", None, "`keys` is not a list"),
        ("RULES#sale", "rules: []", "no dataset `sale`; did you mean `sales`"),
        ("RULES#sales", {"rules": []}, "is not the text of a rule set"),
        ("RULES#sales", "rules: [", "line "),
        ("RULES#sales", "rules: {}", "`rules`"),
        ("CAMPAING#SP18", SPRING, "it is no campaign, day or rule set"),
    ],
)
def test_an_item_that_makes_keys_or_rules_uncertain_stops_the_reading_by_name(
    filled_registry: DynamoDBRegistry, id_: str, document: object, problem: str
) -> None:
    put_item(filled_registry, id_, document=document)
    with pytest.raises(DocumentError) as caught:
        filled_registry.read()
    assert id_.partition("#")[0] in str(caught.value)
    assert problem in str(caught.value)
    assert not all(check.ok for check in filled_registry.check())


def test_every_page_is_read_also_after_one_without_items(
    proxied_registry: tuple[DynamoDBRegistry, Proxy],
) -> None:
    """More than 1 MB; and a page may hold nothing and still have a next."""
    registry, proxy = proxied_registry
    for number in range(30):
        put_item(registry, f"CAMPAIGN#BIG{number:02}", document={**SPRING, "name": "x" * 100_000})
    real: list[bool] = []

    def empty_pages(proxy: Proxy, request: Request) -> Answer | None:
        if request.action != "Query":
            return None
        start = b"" if b"ExclusiveStartKey" not in request.body else request.body
        if len(real) % 2:
            real.append(True)
            return proxy.forward(request)
        real.append(False)
        key = start and start.split(b'"ExclusiveStartKey": ')[1].split(b"}}")[0] + b"}}"
        key = key or b'{"PK": {"S": "REGISTRY"}, "SK": {"S": "A"}}'
        return Answer(200, b'{"Items": [], "Count": 0, "ScannedCount": 9, "LastEvaluatedKey": '
                      + key + b"}")  # fmt: skip

    proxy.fault = empty_pages
    assert len(registry.read().campaigns) == 33
    assert real.count(False) >= 3, "empty pages were planted"
    assert proxy.count("Query") >= 6


def test_every_read_is_consistent(proxied_registry: tuple[DynamoDBRegistry, Proxy]) -> None:
    registry, proxy = proxied_registry
    registry.read()
    registry.history("CAMPAIGN#SP17")
    reads = [request for request in proxy.seen if request.action in ("Query", "GetItem", "Scan")]
    assert len(reads) == 3
    assert all(b'"ConsistentRead": true' in request.body for request in reads)


@pytest.mark.usefixtures("aws_credentials")
def test_the_registry_is_there_after_a_restart(tmp_path: Path, small: Small) -> None:
    """The stand-in itself: the local stack must not lose what it was given."""
    with DynamoDBStandin(tmp_path / "server").running() as server:
        registry = DynamoDBRegistry(Place("kept", "", "eu-west-1", server.endpoint_url), ["sales"])
        registry.create()
        push(registry, small.home / "registry", by="anna", at=AT)
        server.stop()
        server.start()
        assert registry.read().keys == ["AU17", "SP17", "SU17"]


@pytest.mark.usefixtures("aws_credentials")
def test_backups_are_turned_on_as_soon_as_the_table_is_ready(
    dynamodb_place: Place, dynamodb_proxy: tuple[Proxy, str]
) -> None:
    proxy, url = dynamodb_proxy
    answers = [dynamodb_error("ContinuousBackupsUnavailableException")] * 3 + [Answer(200, b"{}")]

    def fault(_proxy: Proxy, request: Request) -> Answer | None:
        return answers.pop(0) if request.action == "UpdateContinuousBackups" else None

    proxy.fault = fault
    pauses: list[float] = []
    place = replace(dynamodb_place, endpoint_url=url)
    assert DynamoDBRegistry(place, [], pause=pauses.append).create()
    assert (answers, len(pauses)) == ([], 3)


def test_a_table_without_backups_is_a_fault(
    proxied_registry: tuple[DynamoDBRegistry, Proxy],
) -> None:
    registry, proxy = proxied_registry
    body = (
        b'{"ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED",'
        b'"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"}}}'
    )
    asked = "DescribeContinuousBackups"
    proxy.fault = lambda _proxy, r: Answer(200, body) if r.action == asked else None
    assert [check.name for check in registry.check() if not check.ok] == ["point-in-time recovery"]
