"""A registry that many write: what is read must be one state, and nobody's work is lost."""

import threading
from pathlib import Path
from typing import Any

import pytest

from etl_assets.core.errors import RegistryError, TransientError
from etl_assets.core.registry_push import Change
from etl_assets.registry_sync import pull, push
from etl_assets.systems.registry_dynamodb import PARTITION, DynamoDBRegistry, LostRaceError
from etl_assets.systems.registry_dynamodb_items import pack
from etl_assets_tests.small import Small
from etl_assets_tests.standins.proxy import Answer, Proxy, Request, dynamodb_error, first
from etl_assets_tests.systems.registry_writes import AT, SPRING, put_item, write

THROTTLED = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "RequestLimitExceeded",
]


@pytest.mark.parametrize("code", THROTTLED)
def test_throttling_that_ends_is_not_noticed(
    proxied_registry: tuple[DynamoDBRegistry, Proxy], code: str
) -> None:
    registry, proxy = proxied_registry
    proxy.fault = first(2, lambda request: request.action == "Query", dynamodb_error(code))
    assert len(registry.read().keys) == 3
    assert proxy.count("Query") == 3
    proxy.fault = first(
        2, lambda request: request.action == "TransactWriteItems", dynamodb_error(code)
    )
    assert write(registry, Change("CAMPAIGN#NEW", SPRING, 0)) == 2


@pytest.mark.parametrize("code", [*THROTTLED, "InternalServerError"])
def test_throttling_that_does_not_end_is_a_transient_error(
    proxied_registry: tuple[DynamoDBRegistry, Proxy], filled_registry: DynamoDBRegistry, code: str
) -> None:
    registry, proxy = proxied_registry
    snapshot = registry.snapshot()
    status = 500 if code == "InternalServerError" else 400
    proxy.fault = lambda _proxy, _request: dynamodb_error(code, status)
    with pytest.raises(TransientError, match=f"Reading table registry-.* failed: {code}"):
        registry.read()
    with pytest.raises(TransientError, match=f"Writing table registry-.* failed: {code}"):
        registry.write([Change("CAMPAIGN#N", SPRING, 0)], snapshot, by="b", at=AT, push_id="t")
    (check,) = registry.check()
    assert not check.ok
    assert "CAMPAIGN#N" not in filled_registry.snapshot().documents


@pytest.mark.parametrize("reason", ["TransactionConflict", "ThrottlingError"])
def test_a_transaction_that_is_in_anothers_way_is_a_transient_error(
    proxied_registry: tuple[DynamoDBRegistry, Proxy], reason: str
) -> None:
    registry, proxy = proxied_registry
    body = (
        '{"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",'
        f'"Message": "cancelled", "CancellationReasons": [{{"Code": "None"}}, {{"Code": "{reason}"}}]}}'
    )
    proxy.fault = first(1, lambda r: r.action == "TransactWriteItems", Answer(400, body.encode()))
    with pytest.raises(TransientError, match=reason):
        write(registry, Change("CAMPAIGN#NEW", SPRING, 0))


def test_what_aws_refuses_is_a_permanent_error_with_its_remedy(
    proxied_registry: tuple[DynamoDBRegistry, Proxy],
) -> None:
    registry, proxy = proxied_registry
    proxy.fault = lambda _proxy, _request: dynamodb_error("AccessDeniedException")
    with pytest.raises(RegistryError, match="AccessDeniedException") as caught:
        registry.read()
    assert "policy" in caught.value.remedy
    proxy.fault = lambda _proxy, r: (
        dynamodb_error("AccessDeniedException") if r.action == "UpdateItem" else None
    )
    checks = {check.name: check for check in registry.check()}
    assert all(check.ok for check in checks.values()), "a worker need not write"
    assert any("not allowed" in check.detail for check in checks.values())


def test_of_two_writers_of_one_document_one_wins_and_the_other_sees_the_winner(
    filled_registry: DynamoDBRegistry, tmp_path: Path
) -> None:
    homes = {name: tmp_path / name for name in ("anna", "bert")}
    for folder in homes.values():
        pull(filled_registry, folder)
    together = threading.Barrier(2)
    outcomes: dict[str, Any] = {}

    def edit(name: str) -> None:
        file = homes[name] / "campaigns.yaml"
        file.write_text(file.read_text().replace("name: Spring", f"name: Spring of {name}"))
        store = DynamoDBRegistry(filled_registry.place, ["sales"], pause=lambda _seconds: None)
        store.snapshot()
        together.wait()
        try:
            outcomes[name] = push(store, homes[name], by=name, at=AT)
        except RegistryError as error:
            outcomes[name] = error

    threads = [threading.Thread(target=edit, args=(name,)) for name in homes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (loser,) = [name for name, outcome in outcomes.items() if isinstance(outcome, RegistryError)]
    (winner,) = set(homes) - {loser}
    message = str(outcomes[loser])
    assert f"CAMPAIGN#SP17, now version 2 by {winner} at 2026-11-23T03:00:00Z" in message
    assert "this folder has version 1" in message
    assert filled_registry.read().campaign("SP17").name == f"Spring of {winner}"


def test_two_writers_of_different_documents_both_win(
    filled_registry: DynamoDBRegistry, tmp_path: Path
) -> None:
    for name, word in (("anna", "Spring"), ("bert", "Summer")):
        pull(filled_registry, tmp_path / name)
        file = tmp_path / name / "campaigns.yaml"
        file.write_text(file.read_text().replace(word, f"{word} by {name}"))
    for name in ("anna", "bert"):
        assert len(push(filled_registry, tmp_path / name, by=name, at=AT).written) == 1
    read = filled_registry.read()
    assert read.campaign("SP17").name == "Spring by anna"
    assert read.campaign("SU17").name == "Summer by bert"


def test_a_write_over_an_old_reading_is_refused(filled_registry: DynamoDBRegistry) -> None:
    old = filled_registry.snapshot()
    write(filled_registry, Change("CAMPAIGN#NEW", SPRING, 0))
    for change in (Change("CAMPAIGN#OTHER", SPRING, 0), Change("CAMPAIGN#NEW", SPRING, 0)):
        with pytest.raises(LostRaceError):
            filled_registry.write([change], old, by="late", at=AT, push_id="t")
    with pytest.raises(LostRaceError):
        write(filled_registry, Change("CAMPAIGN#NEW", {**SPRING, "name": "x"}, 7))
    assert filled_registry.snapshot().revision == 2


def test_every_version_of_a_document_is_kept(filled_registry: DynamoDBRegistry) -> None:
    write(filled_registry, Change("CAMPAIGN#SP17", {**SPRING, "name": "two"}, 1))
    write(filled_registry, Change("CAMPAIGN#SP17", None, 2), by="carl")
    assert "SP17" not in filled_registry.read().keys
    write(filled_registry, Change("CAMPAIGN#SP17", SPRING, 3))
    history = filled_registry.history("CAMPAIGN#SP17")
    assert [(stored.version, stored.updated_by) for stored in history] == [
        (4, "bert"), (3, "carl"), (2, "bert"), (1, "anna"),
    ]  # fmt: skip
    assert history[1].removed
    assert history[2].document == {**SPRING, "name": "two"}


def test_an_item_larger_than_dynamodb_takes_is_refused_by_name(
    filled_registry: DynamoDBRegistry,
) -> None:
    snapshot = filled_registry.snapshot()
    long = Change("CAMPAIGN#B", {**SPRING, "name": "x" * (400 * 1024)}, 0)
    with pytest.raises(RegistryError, match=r"CAMPAIGN#B has 40\d KB; DynamoDB takes 400") as e:
        filled_registry.write(
            [Change("CAMPAIGN#A", SPRING, 0), long], snapshot, by="b", at=AT, push_id="t"
        )
    assert "smaller" in e.value.remedy
    assert filled_registry.snapshot() == snapshot
    write(filled_registry, Change("CAMPAIGN#B", {**SPRING, "name": "x" * (399 * 1024)}, 0))
    assert "B" in filled_registry.read().campaigns


def many(count: int, size: int = 0) -> list[Change]:
    document = {**SPRING, "name": "x" * size}
    return [Change(f"CAMPAIGN#M{number:03}", document, 0) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "size", "revisions"), [(49, 0, 1), (120, 0, 3), (12, 300_000, 3)]
)
def test_more_documents_than_one_transaction_takes_are_written_in_several(
    filled_registry: DynamoDBRegistry, count: int, size: int, revisions: int
) -> None:
    assert write(filled_registry, *many(count, size)) == 1 + revisions
    assert len(filled_registry.read().keys) == 3 + count


@pytest.fixture
def interrupted(proxied_registry: tuple[DynamoDBRegistry, Proxy], small: Small) -> Path:
    """A folder of 120 campaigns whose push was interrupted after the first transaction."""
    registry, proxy = proxied_registry
    folder = small.home / "registry"
    small.write_campaigns(
        "campaigns:\n"
        + "".join(f"- {{key: M{n:03}, start: 2017-01-01, end: 2017-02-01}}\n" for n in range(120))
    )
    sent: list[Request] = []

    def die(_proxy: Proxy, request: Request) -> Answer | None:
        if request.action == "TransactWriteItems":
            sent.append(request)
        return dynamodb_error("AccessDeniedException") if len(sent) > 1 else None

    proxy.fault = die
    with pytest.raises(RegistryError, match="AccessDenied"):
        push(registry, folder, by="anna", at=AT)
    return folder


def test_half_a_push_is_read_by_nobody_and_ended_by_another(
    filled_registry: DynamoDBRegistry, interrupted: Path
) -> None:
    with pytest.raises(TransientError, match=r"the push of anna at .* has not ended") as caught:
        filled_registry.read()
    assert "--take-over" in caught.value.remedy
    with pytest.raises(TransientError):
        pull(filled_registry, interrupted.parent / "other")
    with pytest.raises(RegistryError, match=r"a push by anna at .* has not ended"):
        push(filled_registry, interrupted, by="bert", at=AT)
    assert (interrupted / "pushed.json").exists()
    done = push(filled_registry, interrupted, by="bert", at=AT, take_over=True)
    assert done.revision == 4
    assert len(filled_registry.read().keys) == 120


def test_a_reading_that_mixes_two_revisions_is_thrown_away(
    proxied_registry: tuple[DynamoDBRegistry, Proxy], filled_registry: DynamoDBRegistry
) -> None:
    """Somebody writes between the head and the documents, and again the second time."""
    registry, proxy = proxied_registry
    versions = [1, 2]

    def meanwhile(_proxy: Proxy, request: Request) -> Answer | None:
        if request.action == "Query" and versions:
            version = versions.pop(0)
            write(
                filled_registry, Change("CAMPAIGN#SP17", {**SPRING, "name": f"v{version}"}, version)
            )
        return None

    proxy.fault = meanwhile
    snapshot = registry.snapshot()
    assert (snapshot.revision, snapshot.documents["CAMPAIGN#SP17"].version) == (3, 3)
    assert proxy.count("Query") == 3


@pytest.mark.parametrize(
    ("attributes", "left_out"),
    [({"revision": 9}, False), ({"version": 0}, False), ({}, True)],
    ids=["an item of the next revision", "an item not written yet", "an item not there yet"],
)
def test_a_transaction_seen_half_is_no_reading(
    filled_registry: DynamoDBRegistry, attributes: dict[str, Any], *, left_out: bool
) -> None:
    if left_out:
        filled_registry.client.delete_item(
            TableName=filled_registry.place.name, Key=pack({"PK": PARTITION, "SK": "CAMPAIGN#SP17"})
        )
    else:
        put_item(filled_registry, "CAMPAIGN#SP17", document=SPRING, **attributes)
    with pytest.raises(TransientError, match="cannot be read"):
        filled_registry.read()
