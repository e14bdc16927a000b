"""Which partitions to add and remove, and the guard against removing most of them."""

from collections.abc import Collection
from dataclasses import dataclass

from etl_assets.core.errors import MassRemovalError

_SHOWN = 6


@dataclass(frozen=True)
class PartitionChanges:
    """The difference between the registry and the partitions there are; each list is sorted.

    Attributes:
        add: Keys that have no partition yet.
        remove: Partitions whose key left the registry.
        deferred: As `remove`, but a run of theirs is in flight: they go next time.
        refused: As `remove`, but they are more than half of all partitions.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)


def partition_changes(
    *,
    registered: Collection[str],
    existing: Collection[str],
    in_flight: Collection[str],
    allow_mass_removal: bool,
) -> PartitionChanges:
    """Return what makes the partitions match the registry.

    A partition with a run in flight is not removed (deleting it would fail that run), and
    more than half of the partitions are not removed at once unless that is allowed.
    """
    gone = sorted(set(existing) - set(registered))
    add = tuple(sorted(set(registered) - set(existing)))
    deferred = tuple(key for key in gone if key in in_flight)
    remove = tuple(key for key in gone if key not in in_flight)
    if is_mass_removal(len(gone), len(set(existing))) and not allow_mass_removal:
        return PartitionChanges(add=add, deferred=deferred, refused=remove)
    return PartitionChanges(add=add, remove=remove, deferred=deferred)


def keys_to_prune(
    *,
    loaded: Collection[str],
    due: Collection[str],
    uncertain: Collection[str],
    allow_mass_removal: bool,
) -> list[str]:
    """Return the keys whose slice leaves a table, sorted.

    Args:
        loaded: Keys the table holds records of.
        due: Keys the calendar says.
        uncertain: Keys whose campaign cannot be read; they stay.
        allow_mass_removal: Whether more than half of the keys may go at once.

    Raises:
        MassRemovalError: When more than half would go and that is not allowed.
    """
    gone = sorted(set(loaded) - set(due) - set(uncertain))
    if is_mass_removal(len(gone), len(set(loaded))) and not allow_mass_removal:
        raise MassRemovalError(
            f"{len(gone)} of {len(set(loaded))} keys would be removed from the table at once"
            f" ({', '.join(gone[:_SHOWN])}{', …' if len(gone) > _SHOWN else ''}); none was.",
            "Set ETL_ASSETS_ALLOW_MASS_REMOVAL=true or pass --allow-mass-removal if that is meant;"
            " --keep-expired keeps them.",
        )
    return gone


def is_mass_removal(removed: int, total: int) -> bool:
    """Return whether `removed` is more than half of `total`."""
    return 2 * removed > total
