"""A partition or slice removed by mistake is gone; one too many only costs a moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.changes import keys_to_prune, partition_changes
from etl_assets.core.errors import MassRemovalError

KEYS = st.lists(st.sampled_from([f"K{n}" for n in range(12)]))


@given(registered=KEYS, existing=KEYS, in_flight=KEYS, allowed=st.booleans())
def test_partitions_come_to_match_the_registry_save_those_kept_back(
    *, registered: list[str], existing: list[str], in_flight: list[str], allowed: bool
) -> None:
    changes = partition_changes(
        registered=registered, existing=existing, in_flight=in_flight, allow_mass_removal=allowed
    )
    after = (set(existing) | set(changes.add)) - set(changes.remove)
    assert after == set(registered) | set(changes.deferred) | set(changes.refused)
    assert not set(changes.add) & set(existing)
    assert not set(changes.remove) & (set(registered) | set(in_flight))
    assert set(changes.deferred) <= set(in_flight) - set(registered)
    for keys in (changes.add, changes.remove, changes.deferred, changes.refused):
        assert list(keys) == sorted(set(keys))


@given(registered=KEYS, existing=KEYS, in_flight=KEYS)
def test_more_than_half_of_the_partitions_go_only_when_allowed(
    registered: list[str], existing: list[str], in_flight: list[str]
) -> None:
    gone = set(existing) - set(registered)
    guarded = partition_changes(
        registered=registered, existing=existing, in_flight=in_flight, allow_mass_removal=False
    )
    allowed = partition_changes(
        registered=registered, existing=existing, in_flight=in_flight, allow_mass_removal=True
    )
    many = 2 * len(gone) > len(set(existing))
    assert (guarded.remove, guarded.refused) == (
        ((), allowed.remove) if many else (allowed.remove, ())
    )
    assert guarded.add == allowed.add
    assert guarded.deferred == allowed.deferred


def test_matching_again_changes_nothing() -> None:
    changes = partition_changes(
        registered=["A"], existing=["A"], in_flight=["A"], allow_mass_removal=False
    )
    assert not changes


def test_a_registry_that_lost_everything_removes_nothing() -> None:
    changes = partition_changes(
        registered=[], existing=["A", "B", "C"], in_flight=["B"], allow_mass_removal=False
    )
    assert (changes.remove, changes.deferred, changes.refused) == ((), ("B",), ("A", "C"))


@given(loaded=KEYS, due=KEYS, uncertain=KEYS)
def test_what_is_pruned_was_loaded_and_is_certainly_not_due(
    loaded: list[str], due: list[str], uncertain: list[str]
) -> None:
    pruned = keys_to_prune(loaded=loaded, due=due, uncertain=uncertain, allow_mass_removal=True)
    assert set(pruned) == set(loaded) - set(due) - set(uncertain)
    assert pruned == sorted(set(pruned))


@given(loaded=KEYS, due=KEYS)
def test_more_than_half_of_a_table_goes_only_when_allowed(
    loaded: list[str], due: list[str]
) -> None:
    gone = set(loaded) - set(due)
    if 2 * len(gone) > len(set(loaded)):
        with pytest.raises(MassRemovalError, match=f"{len(gone)} of {len(set(loaded))} keys"):
            keys_to_prune(loaded=loaded, due=due, uncertain=[], allow_mass_removal=False)
    else:
        pruned = keys_to_prune(loaded=loaded, due=due, uncertain=[], allow_mass_removal=False)
        assert set(pruned) == gone
