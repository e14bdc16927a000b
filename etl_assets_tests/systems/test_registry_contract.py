"""What every registry must do, whatever it is made of: the same documents mean the same."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest

from etl_assets.core.errors import DocumentError, PermanentError, RegistryError
from etl_assets.registry_sync import push
from etl_assets.systems.protocols import RegistryStore
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets.systems.registry_files import FileRegistry
from etl_assets_tests.small import Small

RULES = "version: 3  # the third\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}\n"
Fill = Callable[[], RegistryStore]


@pytest.fixture(params=["file", "dynamodb"])
def fill(request: pytest.FixtureRequest, small: Small) -> Fill:
    """Gives the registry that says what the small platform's documents say now."""
    if request.param == "file":
        return lambda: FileRegistry(small.home / "registry", ["sales"])
    store: DynamoDBRegistry = request.getfixturevalue("dynamodb_registry")

    def pushed() -> RegistryStore:
        push(store, small.home / "registry", by="anna", at=dt.datetime.now(dt.UTC))
        return store

    return pushed


def test_campaigns_calendar_and_rules_are_read_together(fill: Fill, small: Small) -> None:
    small.write_calendar("calendar: {2017-12-25: [], 2017-12-26: [AU17]}")
    small.write_rules(RULES)
    read = fill().read()
    assert read.keys == ["AU17", "SP17", "SU17"]
    assert read.campaign("SP17").name == "Spring"
    assert read.due_on(dt.date(2017, 5, 20)) == ["SP17", "SU17"]
    assert read.due_on(dt.date(2017, 12, 25)) == []
    assert read.due_on(dt.date(2017, 12, 26)) == ["AU17"]
    assert read.rule_sets["sales"].version == 3
    assert all(check.ok for check in fill().check())


def test_it_says_exactly_what_its_documents_say(fill: Fill, small: Small) -> None:
    small.write_campaigns(
        "campaigns:\n"
        "  - key: SP17\n    name: 'Grüße \"quoted\" \\N'\n    start: 2017-03-01\n"
        "    end: 2017-05-31\n    time_zone: Asia/Tokyo\n    paused: true\n    datasets: [sales]\n"
        "    parameters: {a: 1, b: 1.0, c: 0.1, d: -0.0, e: 1.0e-200, f: 9223372036854775807,\n"
        "      g: null, h: true, i: '', j: '1.0', k: 12345678.125}\n"
        "  - {key: SU17, start: 2017-03-02, end: 2017-03-02, datasets: [], compared_with: SP17}\n"
    )
    small.write_calendar("calendar: {2017-12-26: [SU17, SP17, SU17]}")
    small.write_rules(
        "rules:\n  - id: notes\n    kind: map\n    column: note\n    unmapped: keep\n"
        "    values: {'': null, ' ': blank, '.': dot, status: reserved}\n"
        "  - {id: names, kind: rename, columns: {quantity: z, amount: a}}\n"
    )
    expected = FileRegistry(small.home / "registry", ["sales"]).read()
    found = fill().read()
    assert replace(found, revision=None) == expected
    assert found.rule_sets["sales"].digest == expected.rule_sets["sales"].digest
    given = found.campaign("SP17").parameters
    assert [(repr(v)) for _, v in sorted(given.items())] == [
        "1", "1.0", "0.1", "-0.0", "1e-200", "9223372036854775807",
        "None", "True", "''", "'1.0'", "12345678.125",
    ]  # fmt: skip
    assert list(found.rule_sets["sales"].rules[1].columns) == ["quantity", "amount"]  # type: ignore[union-attr]


def test_a_change_of_the_documents_is_seen_by_the_next_reading(fill: Fill, small: Small) -> None:
    small.write_rules(RULES)
    before = fill().read()
    small.write_campaigns("campaigns: [{key: SP17, start: 2017-03-01, end: 2017-06-30}]")
    (small.home / "registry" / "rules" / "sales.yaml").unlink()
    after = fill().read()
    assert after != before
    assert after.keys == ["SP17"]
    assert after.campaign("SP17").end == dt.date(2017, 6, 30)
    assert after.rule_sets == {}
    with pytest.raises(PermanentError, match="Campaign SU17 is not in the registry"):
        after.campaign("SU17")


def test_no_campaign_at_all_is_said_and_not_concluded(fill: Fill, small: Small) -> None:
    small.write_campaigns("campaigns: []")
    assert fill().read().keys == []


KEYS = [
    "O'Brien", 'a"b', "a/b", "..", "../../etc", "a b", " ", "", "A" * 200, "A" * 65, "1A",
    "ä", "a;b", "a\nb", "a#b", "-a", "A.B",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_breaks_the_grammar_is_refused_by_name(
    fill: Fill, small: Small, key: str
) -> None:
    quoted = "'" + key.replace("'", "''").replace("\n", "\n\n") + "'"
    small.write_campaigns(
        f"campaigns:\n  - {{key: {quoted}, start: 2017-01-01, end: 2017-02-01}}\n"
    )
    with pytest.raises(DocumentError, match="is not a campaign key") as caught:
        fill().read()
    assert repr(key) in str(caught.value)


def test_an_entry_for_a_key_that_no_campaign_has_is_refused(fill: Fill, small: Small) -> None:
    small.write_calendar("calendar: {2017-12-26: [AU18]}")
    with pytest.raises(DocumentError, match="no campaign has the key AU18; did you mean `AU17`"):
        fill().read()


def test_a_rule_set_that_is_not_valid_is_named_with_line_and_field(
    fill: Fill, small: Small
) -> None:
    small.write_rules(RULES.replace("keep", "kep"))
    with pytest.raises(DocumentError, match=r"line 3: .*kep.* did you mean `keep`"):
        fill().read()


def test_a_registry_that_is_not_there_is_an_error_and_not_an_empty_one(
    fill: Fill, small: Small
) -> None:
    store = fill()
    if isinstance(store, DynamoDBRegistry):
        name = store.place.name
        store.place = type(store.place)(
            "no-such-table", "", store.place.region, store.place.endpoint_url
        )
    else:
        name = ""
        (small.home / "registry" / "campaigns.yaml").unlink()
    with pytest.raises(RegistryError) as caught:
        store.read()
    (check,) = store.check()
    assert not check.ok
    assert check.remedy
    assert caught.value.remedy
    if isinstance(store, DynamoDBRegistry):
        store.place = type(store.place)(name, "", store.place.region, store.place.endpoint_url)
