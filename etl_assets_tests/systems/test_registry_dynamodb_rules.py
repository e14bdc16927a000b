"""Texts larger than an item, answers that got lost, and writers of other documents."""

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_assets.core.errors import DocumentError, RegistryError, TransientError
from etl_assets.core.registry_items import RULES
from etl_assets.core.registry_push import Change
from etl_assets.core.rules.versions import RuleVersion, base_of
from etl_assets.registry_sync import pull, push
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets.systems.registry_dynamodb_items import LARGEST_ITEM
from etl_assets_tests.small import Small
from etl_assets_tests.standins.proxy import Answer, Proxy, Request, dynamodb_error
from etl_assets_tests.systems.registry_writes import SPRING, long_rules, put_item, write

AT = dt.datetime(2026, 11, 24, 23, tzinfo=dt.UTC)
LONG = long_rules(10_000)
Proxied = tuple[DynamoDBRegistry, Proxy]


def publish(store: DynamoDBRegistry, over: int, text: str = "rules: []\n") -> RuleVersion:
    return store.publish_rules("sales", text, over=over, by="bert", at=AT, comment="So.")


def fresh(store: DynamoDBRegistry) -> DynamoDBRegistry:
    """Return a registry that has read nothing yet."""
    return DynamoDBRegistry(store.place, ["sales"], pause=lambda _seconds: None)


def items(store: DynamoDBRegistry, prefix: str) -> list[dict[str, Any]]:
    found = store.client.scan(TableName=store.place.name)["Items"]
    return [item for item in found if str(item["PK"].get("S")).startswith(prefix)]


def parts(store: DynamoDBRegistry) -> list[dict[str, Any]]:
    return sorted(items(store, "TEXT#"), key=lambda item: str(item["SK"]["S"]))


def test_a_long_text_is_kept_in_parts_that_its_items_name(
    filled_registry: DynamoDBRegistry,
) -> None:
    made = publish(filled_registry, 0, LONG)
    before = parts(filled_registry)
    content = b"".join(item["bytes"]["B"] for item in before)
    assert content == made.text.encode()
    assert len(before) == 2
    assert max(len(item["bytes"]["B"]) for item in before) < LARGEST_ITEM
    named = {item["aside"]["M"]["sha256"]["S"] for item in items(filled_registry, RULES)}
    assert named == {hashlib.sha256(content).hexdigest()}
    write(filled_registry, Change("RULES#sales", made.text, 1))
    assert parts(filled_registry) == before, "the same text has the same name"


def test_the_parts_are_there_before_anything_names_them(proxied_registry: Proxied) -> None:
    registry, proxy = proxied_registry
    publish(registry, 0, LONG)
    actions = [request.action for request in proxy.seen]
    last_part = max(n for n, action in enumerate(actions) if action == "PutItem")
    assert last_part < actions.index("TransactWriteItems")
    assert actions.count("PutItem") == 2
    assert actions.count("TransactWriteItems") == 1


def test_a_long_text_whose_parts_cannot_be_written_is_not_published(
    proxied_registry: Proxied, filled_registry: DynamoDBRegistry
) -> None:
    registry, proxy = proxied_registry
    proxy.fault = lambda _proxy, request: (
        dynamodb_error("ThrottlingException")
        if request.action == "PutItem" and proxy.count("PutItem") > 1
        else None
    )
    with pytest.raises(TransientError, match=r"Writing table registry-.* failed"):
        publish(registry, 0, LONG)
    assert fresh(filled_registry).rule_versions("sales") == []
    proxy.fault = lambda _proxy, _request: None
    assert publish(registry, 0, LONG).text == fresh(filled_registry).rule_versions("sales")[0].text


def change_part(store: DynamoDBRegistry) -> None:
    last = parts(store)[-1]
    content = bytearray(last["bytes"]["B"])
    content[1000] ^= 1
    store.client.put_item(TableName=store.place.name, Item={**last, "bytes": {"B": bytes(content)}})


def remove_part(store: DynamoDBRegistry) -> None:
    last = parts(store)[-1]
    key = {name: last[name] for name in ("PK", "SK")}
    store.client.delete_item(TableName=store.place.name, Key=key)


def swap_parts(store: DynamoDBRegistry) -> None:
    one, two = parts(store)[:2]
    for item, other in ((one, two), (two, one)):
        store.client.put_item(TableName=store.place.name, Item={**item, "SK": other["SK"]})


def add_part(store: DynamoDBRegistry) -> None:
    last = parts(store)[-1]
    store.client.put_item(TableName=store.place.name, Item={**last, "SK": {"S": "part-9999"}})


def spoil_part(store: DynamoDBRegistry) -> None:
    last = parts(store)[-1]
    store.client.put_item(TableName=store.place.name, Item={**last, "bytes": {"S": "text"}})


@pytest.mark.parametrize("damage", [change_part, remove_part, swap_parts, add_part, spoil_part])
def test_a_damaged_text_stops_the_reading_by_name_and_can_be_taken_back(
    filled_registry: DynamoDBRegistry,
    damage: Callable[[DynamoDBRegistry], None],
    small: Small,
) -> None:
    publish(filled_registry, 0)
    publish(filled_registry, 1, LONG)
    damage(filled_registry)
    store = fresh(filled_registry)
    with pytest.raises(DocumentError, match=r"RULES#sales of table .* is incomplete or changed"):
        store.read()
    assert not all(check.ok for check in store.check())
    versions = store.rule_versions("sales")
    assert [(v.version, v.current, v.comment, bool(v.fault)) for v in versions] == [
        (2, True, "So.", True), (1, False, "So.", False),
    ]  # fmt: skip
    pull(store, small.home / "pulled")
    assert not (small.home / "pulled" / "rules" / "sales.yaml").exists()
    made = publish(store, base_of(versions), versions[1].text)
    assert fresh(filled_registry).read().rule_sets["sales"] == made.rule_set


def test_a_long_text_is_pushed_and_pulled_like_any_other(
    filled_registry: DynamoDBRegistry, small: Small, tmp_path: Path
) -> None:
    small.write_rules(LONG)
    done = push(filled_registry, small.home / "registry", by="anna", at=AT)
    assert done.written == ["RULES#sales"]
    pull(fresh(filled_registry), tmp_path / "new")
    assert (tmp_path / "new" / "rules" / "sales.yaml").read_bytes() == LONG.encode()
    again = push(fresh(filled_registry), tmp_path / "new", by="bert", at=AT)
    assert (again.written, again.left) == ([], [])
    remove_part(filled_registry)
    healed = push(fresh(filled_registry), tmp_path / "new", by="bert", at=AT)
    assert healed.written == ["RULES#sales"]
    assert fresh(filled_registry).read().rule_sets["sales"].rules


def test_a_writer_of_another_document_is_in_nobodys_way(
    proxied_registry: Proxied, filled_registry: DynamoDBRegistry
) -> None:
    registry, proxy = proxied_registry
    versions = [1, 2]

    def meanwhile(_proxy: Proxy, request: Request) -> Answer | None:
        if request.action == "TransactWriteItems" and versions:
            version = versions.pop(0)
            name = {**SPRING, "name": f"v{version}"}
            write(filled_registry, Change("CAMPAIGN#SP17", name, version))
        return None

    proxy.fault = meanwhile
    assert publish(registry, 0).version == 1
    assert proxy.count("TransactWriteItems") == 3
    assert filled_registry.read().campaign("SP17").name == "v2"


def test_one_that_never_comes_to_write_gives_up_as_transient(
    proxied_registry: Proxied, filled_registry: DynamoDBRegistry
) -> None:
    registry, proxy = proxied_registry

    def always(_proxy: Proxy, request: Request) -> Answer | None:
        if request.action == "TransactWriteItems":
            version = filled_registry.snapshot().documents["CAMPAIGN#SP17"].version
            write(filled_registry, Change("CAMPAIGN#SP17", {**SPRING, "name": "x"}, version))
        return None

    proxy.fault = always
    with pytest.raises(TransientError, match="changed each of 5 times") as caught:
        publish(registry, 0)
    assert "Publish again" in caught.value.remedy


def test_a_version_whose_answer_got_lost_is_known_as_ones_own(proxied_registry: Proxied) -> None:
    """The request is sent again, and finds that somebody wrote: this very publisher."""
    registry, proxy = proxied_registry
    cancelled = (
        b'{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",'
        b'"CancellationReasons": [{"Code": "ConditionalCheckFailed"}]}'
    )

    def lose(proxy: Proxy, request: Request) -> Answer | None:
        if request.action != "TransactWriteItems":
            return None
        proxy.forward(request)
        return Answer(400, cancelled)

    proxy.fault = lose
    made = publish(registry, 0)
    assert made.version == 1
    assert registry.rule_versions("sales") == [made]
    assert proxy.count("TransactWriteItems") == 1


def test_what_others_wrote_between_two_readings_counts(
    proxied_registry: Proxied, filled_registry: DynamoDBRegistry
) -> None:
    """The history is read first; what is published then is in the snapshot alone."""
    registry, proxy = proxied_registry
    publish(filled_registry, 0)
    waiting = [True]

    def meanwhile(_proxy: Proxy, request: Request) -> Answer | None:
        if request.action == "GetItem" and waiting:
            waiting.clear()
            publish(filled_registry, 1, "rules: []  # of another\n")
        return None

    proxy.fault = meanwhile
    found = registry.rule_versions("sales")
    assert [(v.version, v.current) for v in found] == [(2, True), (1, False)]


def test_an_item_of_a_careless_hand_is_shown_with_its_fault_and_published_over(
    filled_registry: DynamoDBRegistry,
) -> None:
    publish(filled_registry, 0)
    documents: list[object] = [{"rules": []}, "[]", None]
    for document in documents:
        put_item(filled_registry, "RULES#sales", document=document, updated_by="dora")
        current, kept = sorted(
            filled_registry.rule_versions("sales"), key=lambda v: v.current, reverse=True
        )
        assert (current.by, current.at, current.current) == ("dora", None, True)
        assert current.fault
        assert (kept.version, kept.current) == (1, False)
    assert publish(filled_registry, 1).version == 2


def test_nothing_is_published_into_a_registry_that_was_never_filled(
    dynamodb_registry: DynamoDBRegistry,
) -> None:
    with pytest.raises(RegistryError, match="was never filled"):
        publish(dynamodb_registry, 0)


def test_who_published_when_and_why_is_with_the_item(filled_registry: DynamoDBRegistry) -> None:
    made = publish(filled_registry, 0)
    (stored,) = filled_registry.history("RULES#sales")
    assert (stored.updated_by, stored.updated_at) == ("bert", "2026-11-24T23:00:00Z")
    assert stored.document == made.text == "version: 1\ncomment: So.\nrules: []\n"
    assert filled_registry.rule_versions("sales") == [replace(made, current=True)]
