"""A document that comes back other than it was stored refreshes other records than meant."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etl_assets.core.errors import RegistryError
from etl_assets.core.registry_items import Stored, from_stored, registry_of, to_stored
from etl_assets.core.registry_push import Change, Seen, after, digest, plan_push

SCALARS = (
    st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**63)
    | st.floats(-(2.0**63), 2.0**63)
)  # fmt: skip
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def through_decimals(value: object) -> object:
    """Return what DynamoDB gives back: every number a decimal, without trailing zeros."""
    if isinstance(value, dict):
        return {name: through_decimals(item) for name, item in value.items()}
    if isinstance(value, list):
        return [through_decimals(item) for item in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        exact = Decimal(value)
        assert len(exact.normalize().as_tuple().digits) <= 38
        assert exact == 0 or Decimal("1E-130") <= abs(exact) <= Decimal("9.9E125")
        return exact.normalize()
    assert not isinstance(value, float)
    return value


def marked(value: object) -> bool:
    """Return whether a document itself holds what marks a float."""
    if isinstance(value, dict):
        return set(value) == {"float"} or any(marked(item) for item in value.values())
    return isinstance(value, list) and any(marked(item) for item in value)


def test_a_comparison_that_cannot_be_stops_its_campaign_alone_and_names_the_item() -> None:
    seasons = {
        "SP17": {"start": "2017-03-01", "end": "2017-05-31"},
        "SU17": {"start": "2017-05-15", "end": "2017-08-31", "compared_with": "SP17"},
        "AU17": {"start": "2017-09-01", "end": "2017-11-30", "compared_with": "WI17"},
        "WI16": {"start": "2016-12-01", "end": "2017-02-28", "compared_with": "SU17"},
    }
    stored = [Stored(f"CAMPAIGN#{key}", document) for key, document in seasons.items()]
    found = registry_of(stored, ["sales"], "the table")
    assert sorted(found.campaigns) == ["SP17", "SU17"]
    assert found.campaigns["SU17"].compared_with == "SP17"
    assert found.problems == {
        "AU17": "item CAMPAIGN#AU17 of the table: `compared_with`: no campaign has the key WI17"
        "; did you mean `WI16`?",
        "WI16": "item CAMPAIGN#WI16 of the table: `compared_with`: the season of SU17 begins on"
        " 2017-05-15, which is not before 2016-12-01",
    }


@given(DOCUMENTS)
def test_a_document_comes_back_exactly_as_it_was(document: object) -> None:
    assume(not marked(document))
    back = from_stored(through_decimals(to_stored(document)))
    assert repr(back) == repr(document)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Decimal("0.12345678901234567890"), "`document` is 0.1234.*more digits than a float"),
        ({"a": [1, {"b": {"x"}}]}, "`document.a.1.b` is a set"),
        ({"a": b"x"}, "`document.a` is a bytes"),
        ({"a": {"float": "one"}}, "`document.a.float` is 'one', which is no number"),
        ({"a": {"float": [1]}}, r"`document.a.float` is \[1\], which is no number"),
    ],
)
def test_a_value_no_document_can_hold_is_named_with_its_field(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        from_stored(value)


def stored(document: object, version: int, *, removed: bool = False, fault: str = "") -> Stored:
    return Stored("A", document, version, version, "anna", "noon", removed, fault)


def seen(document: object, version: int) -> dict[str, Seen]:
    return {"A": Seen(version, digest(document))}


NOTHING: dict[str, Seen] = {}
GONE = stored(None, 3, removed=True)

CASES: list[tuple[str, dict[str, object], Stored | None, dict[str, Seen], object]] = [
    ("a new document", {"A": 1}, None, NOTHING, Change("A", 1, 0)),
    ("changed here", {"A": 2}, stored(1, 3), seen(1, 3), Change("A", 2, 3)),
    ("removed here", {}, stored(1, 3), seen(1, 3), Change("A", None, 3)),
    ("the same", {"A": 1}, stored(1, 3), seen(1, 3), None),
    ("the same, never seen", {"A": 1}, stored(1, 3), NOTHING, None),
    ("changed alike by both", {"A": 2}, stored(2, 4), seen(1, 3), None),
    ("changed there only", {"A": 1}, stored(2, 4), seen(1, 3), None),
    ("removed there only", {"A": 1}, GONE, seen(1, 2), None),
    ("removed by both", {}, GONE, seen(1, 2), None),
    ("removed there before it was written here", {"A": 1}, GONE, NOTHING, Change("A", 1, 3)),
    ("added there", {}, stored(1, 3), NOTHING, "left"),
    ("a fault nobody here saw", {}, stored(None, 3, fault="x"), NOTHING, "left"),
    ("changed by both", {"A": 2}, stored(3, 4), seen(1, 3), "version 4 by anna at noon"),
    ("changed here, removed there", {"A": 2}, GONE, seen(1, 2), "has version 2"),
    ("removed here, changed there", {}, stored(2, 4), seen(1, 3), "has version 3"),
    ("added by both", {"A": 2}, stored(1, 3), NOTHING, "never saw it"),
    ("a fault over it", {"A": 1}, stored(None, 4, fault="x"), NOTHING, "never saw it"),
]


@pytest.mark.parametrize(("wanted", "now", "base", "expected"), [c[1:] for c in CASES],
                         ids=[case[0] for case in CASES])  # fmt: skip
def test_a_push_writes_what_was_changed_here_and_never_over_what_others_did(
    wanted: dict[str, object], now: Stored | None, base: dict[str, Seen], expected: object
) -> None:
    current = {"A": now} if now else {}
    if isinstance(expected, str) and expected != "left":
        with pytest.raises(RegistryError, match=expected) as caught:
            plan_push(wanted, current, base)
        assert "registry pull" in caught.value.remedy
        return
    push = plan_push(wanted, current, base)
    assert push.left == (["A"] if expected == "left" else [])
    assert push.changes == ([expected] if isinstance(expected, Change) else [])


def test_many_lost_documents_are_counted() -> None:
    wanted: dict[str, object] = {f"D{n}": 1 for n in range(8)}
    current = {id_: Stored(id_, 2, 5, 5, "anna", "noon") for id_ in wanted}
    with pytest.raises(RegistryError, match=r"D4.* and 3 more") as caught:
        plan_push(wanted, current, {})
    assert "D5" not in str(caught.value)


def test_what_a_push_makes_of_the_documents_is_known_before_it_is_written() -> None:
    current = {"A": Stored("A", 1, 1), "B": Stored("B", 1, 1)}
    found = {d.id: d for d in after(current, [Change("B", None, 1), Change("C", 3, 0)])}
    assert (found["A"].document, found["B"].removed, found["C"].document) == (1, True, 3)
