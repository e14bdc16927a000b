"""What publishing rules must do in every registry: no version lost, none with two meanings."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from etl_assets.core.errors import DocumentError, EtlError, RegistryError
from etl_assets.core.rules.versions import RuleVersion, base_of, current_of, find_version
from etl_assets.registry_sync import pull, push
from etl_assets.systems.protocols import RegistryStore
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets.systems.registry_files import FileRegistry
from etl_assets_tests.small import Small
from etl_assets_tests.systems.registry_writes import long_rules

AT = dt.datetime(2026, 11, 24, 23, tzinfo=dt.UTC)
FIRST = "# why\r\nversion: 3  # the third\r\ncomment: Größen\r\nrules: []  # none\r\n"
EDITED = """\
# yaml-language-server: $schema=rules.schema.json
version: 3
rules:
  # Ämter
  - {id: some, kind: filter, keep: "note <> 'Grüße 😀'"}   # stays
"""
Open = Callable[[], RegistryStore]


@pytest.fixture(params=["file", "dynamodb"])
def open_store(request: pytest.FixtureRequest, small: Small) -> Open:
    """Opens the registry that has the small platform's campaigns, and no rules yet."""
    if request.param == "file":
        return lambda: FileRegistry(small.home / "registry", ["sales"])
    store: DynamoDBRegistry = request.getfixturevalue("dynamodb_registry")
    push(store, small.home / "registry", by="anna", at=AT)
    return lambda: DynamoDBRegistry(store.place, ["sales"], pause=lambda _seconds: None)


@pytest.fixture
def by_hand(open_store: Open, small: Small) -> Open:
    """The registry whose version 3 was written by hand."""
    small.write_rules("")
    file = small.home / "registry" / "rules" / "sales.yaml"
    file.write_bytes(FIRST.encode())
    store = open_store()
    if isinstance(store, DynamoDBRegistry):
        push(store, small.home / "registry", by="anna", at=AT)
    return open_store


def publish(store: RegistryStore, text: str, over: int, **other: str) -> RuleVersion:
    return store.publish_rules(
        "sales", text, over=over, by=other.get("by", "bert"), at=AT,
        comment=other.get("comment", "Only greetings."),
    )  # fmt: skip


def numbers(store: RegistryStore) -> list[int]:
    return [version.version for version in store.rule_versions("sales")]


def test_without_rules_there_is_no_version_and_the_first_is_published_over_none(
    open_store: Open,
) -> None:
    assert open_store().rule_versions("sales") == []
    made = publish(open_store(), EDITED, 0)
    assert (made.version, made.by, made.at, made.comment) == (1, "bert", AT, "Only greetings.")
    assert open_store().rule_versions("sales") == [made]
    assert open_store().read().rule_sets == {"sales": made.rule_set}


def test_a_published_version_counts_and_the_one_written_by_hand_is_kept_as_it_was(
    by_hand: Open,
) -> None:
    (before,) = by_hand().rule_versions("sales")
    assert (before.version, before.text, before.comment) == (3, FIRST, "Größen")
    assert before.current
    made = publish(by_hand(), EDITED, 3)
    now, kept = by_hand().rule_versions("sales")
    assert now == made
    assert kept == replace(before, current=False)
    assert made.text == EDITED.replace("version: 3\n", "comment: Only greetings.\nversion: 4\n")
    read = by_hand().read().rule_sets["sales"]
    assert (read.version, read.comment, read.digest) == (4, "Only greetings.", made.digest)
    assert kept.rule_set.rules == ()


def test_every_registry_gives_the_same_text_the_same_meaning(by_hand: Open, small: Small) -> None:
    publish(by_hand(), EDITED, 3)
    last = publish(by_hand(), EDITED.replace("😀", "ß"), 4, comment="Ohne 😀: 'so'", by="Zoë Ñ")
    found = [(v.version, v.text, v.comment, v.current) for v in by_hand().rule_versions("sales")]
    other = FileRegistry(small.home / "other", ["sales"])
    (small.home / "other" / "rules").mkdir(parents=True)
    (small.home / "other" / "rules" / "sales.yaml").write_bytes(FIRST.encode())
    publish(other, EDITED, 3)
    publish(other, EDITED.replace("😀", "ß"), 4, comment="Ohne 😀: 'so'", by="Zoë Ñ")
    assert found == [
        (v.version, v.text, v.comment, v.current) for v in other.rule_versions("sales")
    ]
    assert (last.by, by_hand().rule_versions("sales")[0].by) == ("Zoë Ñ", "Zoë Ñ")


def test_who_began_with_an_older_version_is_shown_the_winner_and_changes_nothing(
    by_hand: Open,
) -> None:
    publish(by_hand(), EDITED, 3, by="carl", comment="First.")
    before = by_hand().rule_versions("sales")
    for over in (3, 5, 0):
        with pytest.raises(RegistryError) as caught:
            publish(by_hand(), EDITED, over)
        assert "version 4 counts, published by carl at 2026-11-24 23:00:00 UTC (First.)" in str(
            caught.value
        )
        assert "rules show sales" in caught.value.remedy
    assert by_hand().rule_versions("sales") == before


@pytest.mark.parametrize("round_", range(3))
def test_of_many_who_publish_at_once_one_wins_and_the_others_are_shown_the_winner(
    by_hand: Open, round_: int
) -> None:
    names = [f"author-{n}-{round_}" for n in range(4)]
    together = threading.Barrier(len(names))
    outcomes: dict[str, RuleVersion | EtlError] = {}

    def author(name: str) -> None:
        store = by_hand()
        store.rule_versions("sales")
        together.wait()
        try:
            outcomes[name] = publish(store, f"# {name}\nrules: []\n", 3, by=name)
        except EtlError as error:
            outcomes[name] = error

    threads = [threading.Thread(target=author, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [made for made in outcomes.values() if isinstance(made, RuleVersion)]
    losers = [error for error in outcomes.values() if isinstance(error, RegistryError)]
    assert len(losers) == 3
    assert all(f"version 4 counts, published by {winner.by}" in str(error) for error in losers)
    assert by_hand().rule_versions("sales")[0] == winner
    assert winner.by in winner.text
    assert numbers(by_hand()) == [4, 3]


def test_a_text_that_is_not_valid_or_of_no_dataset_is_not_published(by_hand: Open) -> None:
    before = by_hand().rule_versions("sales")
    with pytest.raises(DocumentError, match="did you mean `keep`"):
        publish(by_hand(), EDITED.replace("keep:", "kep:"), 3)
    with pytest.raises(DocumentError, match="no dataset `sale`; did you mean `sales`"):
        by_hand().publish_rules("sale", EDITED, over=0, by="b", at=AT, comment="")
    assert by_hand().rule_versions("sales") == before
    assert by_hand().rule_versions("sale") == []


def test_a_map_of_ten_thousand_entries_beyond_ascii_is_published_and_read_back(
    by_hand: Open,
) -> None:
    """More than DynamoDB takes in one item; and a second version that differs in one entry."""
    text = long_rules(10_000)
    assert len(text.encode()) > 500 * 1024
    made = publish(by_hand(), text, 3)
    second = publish(by_hand(), text.replace("Straße 77:", "Straße 77a:"), 4, comment="77a")
    assert by_hand().rule_versions("sales")[:2] == [second, replace(made, current=False)]
    read = by_hand().read().rule_sets["sales"]
    assert (read, read.digest) == (second.rule_set, second.digest)
    assert made.digest != second.digest
    publish(by_hand(), made.text, 5, comment="Back.")
    versions = by_hand().rule_versions("sales")
    assert [v.comment for v in versions] == ["Back.", "77a", "Only greetings.", "Größen"]
    assert versions[0].digest == made.digest


def test_rules_that_were_removed_leave_their_history_and_their_numbers(
    by_hand: Open, small: Small
) -> None:
    publish(by_hand(), EDITED, 3)
    store, folder = by_hand(), small.home / "registry"
    if isinstance(store, DynamoDBRegistry):
        folder = small.home / "pulled"
        pull(store, folder)
    (folder / "rules" / "sales.yaml").unlink()
    if isinstance(store, DynamoDBRegistry):
        push(store, folder, by="anna", at=AT)
    assert by_hand().read().rule_sets == {}
    versions = by_hand().rule_versions("sales")
    assert (numbers(by_hand()), current_of(versions), base_of(versions)) == ([4, 3], None, 4)
    with pytest.raises(RegistryError, match="none counts, and the last had the number 4"):
        publish(by_hand(), EDITED, 0)
    made = publish(by_hand(), find_version(versions, "sales", 3).text, 4, comment="Back.")
    assert by_hand().read().rule_sets["sales"].version == made.version == 5
