"""What the sensor remembers between two looks.

At risk: a change that is reported and then forgotten before it was applied, and one that is
applied again with every look.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.data_versions import Versions
from etl_assets.core.watching import Memory, Wanted, merged

KEYS = [f"K{n}" for n in range(6)]
DIGESTS = ["a" * 64, "b" * 64, "ab" * 32]
VERSIONS = st.dictionaries(
    st.sampled_from(["campaigns", "sales_rules", "notes_rules"]),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(DIGESTS)),
)
WANTED = st.builds(
    Wanted, st.sampled_from(["sales", "notes"]), st.sampled_from(KEYS),
    st.sampled_from(["rules", "campaign"]),
)  # fmt: skip


def after(memory: Memory, now: Versions, *, limit: int = 1000) -> Memory:
    return memory.after(memory.changes(now, limit=limit), now, kept=(), waiting=())


@given(before=VERSIONS, now=VERSIONS)
def test_what_is_reported_is_exactly_what_changed_and_only_once(
    before: Versions, now: Versions
) -> None:
    memory = after(Memory(), before)
    changes = memory.changes(now, limit=1000)
    pairs = [(what, key) for what, versions in now.items() for key in versions]
    assert {(what, key) for what, versions in changes.items() for key in versions} == {
        (what, key) for what, key in pairs if now[what][key] != before.get(what, {}).get(key)
    }
    assert after(memory, now).changes(now, limit=1000) == {}


@given(versions=VERSIONS, waiting=st.frozensets(WANTED))
def test_the_memory_is_read_back_from_its_text(
    versions: Versions, waiting: frozenset[Wanted]
) -> None:
    memory = after(Memory(generation=7), versions)
    memory = Memory(memory.generation, memory.versions, waiting)
    assert Memory.load(memory.dump()) == memory


@pytest.mark.parametrize(
    "text", [None, "", "0" * 64, "[]", "{}", '{"n":1,"seen":[],"waiting":[]}', '{"n":1,"se']
)
def test_a_text_of_another_form_is_no_memory(text: str | None) -> None:
    assert Memory.load(text) == Memory()


def test_the_memory_of_a_thousand_campaigns_is_small() -> None:
    versions = {what: {f"CJ{n:04}": "a" * 64 for n in range(1000)} for what in ("campaigns", "r")}
    assert len(after(Memory(), versions).dump()) < 50_000


def test_a_large_change_is_reported_in_parts_and_none_is_left_out() -> None:
    now = {"campaigns": dict.fromkeys(KEYS, DIGESTS[0]), "sales_rules": dict.fromkeys(KEYS, "c")}
    memory, seen = Memory(), []
    while changes := memory.changes(now, limit=5):
        assert sum(len(versions) for versions in changes.values()) <= 5
        seen += [(what, key) for what, versions in changes.items() for key in versions]
        memory = memory.after(changes, now, kept=(), waiting=())
    assert sorted(seen) == sorted((what, key) for what in now for key in KEYS)


def test_a_first_version_puts_nothing_out_of_step_and_a_second_one_does() -> None:
    first = {"campaigns": {"A": "1", "B": "1"}, "sales_rules": {"A": "1", "B": "1"}}
    memory = Memory()
    assert list(memory.moved(memory.changes(first, limit=9), ["sales"])) == []
    memory = after(memory, first)
    second = {"campaigns": {"A": "1", "B": "2", "C": "1"}, "sales_rules": {"A": "2", "C": "1"}}
    changes = memory.changes(second, limit=9)
    assert set(memory.moved(changes, ["sales"])) == {
        Wanted("sales", "B", "campaign"),
        Wanted("sales", "A", "rules"),
    }
    assert set(memory.moved(changes, [])) == set()


def test_every_look_that_finds_a_change_has_a_number_of_its_own() -> None:
    memory = Memory()
    numbers = []
    for version in ("1", "2", "2", "1"):
        memory = after(memory, {"campaigns": {"A": version}})
        numbers.append(memory.generation)
    assert numbers == [1, 2, 2, 3]


def test_what_left_the_registry_is_forgotten_unless_it_is_kept() -> None:
    memory = after(Memory(), {"campaigns": {"A": "1", "B": "1"}})
    left = memory.after({}, {"campaigns": {}}, kept={"B"}, waiting=())
    assert left.versions == {"campaigns": {"B": "1"}}


def test_an_extract_anew_makes_up_for_changed_rules() -> None:
    rules, campaign = Wanted("sales", "A", "rules"), Wanted("sales", "A", "campaign")
    other = Wanted("notes", "A", "rules")
    assert merged([rules, campaign, other, rules]) == [other, campaign]
