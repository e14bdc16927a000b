"""Guards: what is unlikely enough in a load that a person should say yes to it first."""

import datetime as dt
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from etl_assets.core.manifest import Stage

_SHOWN = 6


class Guards(BaseModel):
    """When a load is held for approval instead of replacing the slice.

    Attributes:
        shrink_percent: It would have fewer records than the slice has, by more than this.
        grow_percent: It would have more records than the slice has, by more than this.
        emptied: It has no record, and the slice has some.
        all_null: A column has no value in it, and has some in the slice.
        ended_days: The season ended more than so many days ago.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shrink_percent: float | None = Field(default=None, ge=0, lt=100)
    grow_percent: float | None = Field(default=None, ge=0)
    emptied: bool = True
    all_null: bool = True
    ended_days: int | None = Field(default=None, ge=0)


def objections(
    guards: Guards,
    staged: Stage,
    *,
    records: int,
    non_nulls: Mapping[str, int],
    staged_non_nulls: Mapping[str, int],
    on: dt.date,
) -> list[str]:
    """Return why a load should wait for approval, as parts of a sentence; none when it need not.

    Args:
        guards: The dataset's.
        staged: What would be loaded.
        records: Those of the slice as it is; 0 when there is none, which is compared with nothing.
        non_nulls: By column, the values of the slice, where they are known.
        staged_non_nulls: By column, the values that would be loaded, where they are known.
        on: The day of the load, in the campaign's time zone.
    """
    found = []
    if records and not staged.records:
        found += [f"it has no record, and the slice has {records:,}"] if guards.emptied else []
    elif records:
        found += _sizes(guards, staged.records, records)
        if guards.all_null:
            found += _turned_null(non_nulls, staged_non_nulls)
    if guards.ended_days is not None and staged.season_end is not None:
        days = (on - staged.season_end).days
        if days > guards.ended_days:
            found.append(
                f"the season ended {days:,} days ago, more than the {guards.ended_days:,} allowed"
            )
    return found


def _sizes(guards: Guards, staged: int, records: int) -> list[str]:
    change = 100 * (staged - records) / records
    figures = f"{records:,} to {staged:,} records"
    if guards.shrink_percent is not None and -change > guards.shrink_percent:
        return [f"it shrinks from {figures}, by more than {guards.shrink_percent:g} %"]
    if guards.grow_percent is not None and change > guards.grow_percent:
        return [f"it grows from {figures}, by more than {guards.grow_percent:g} %"]
    return []


def _turned_null(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    turned = [name for name, values in before.items() if values and after.get(name) == 0]
    if not turned:
        return []
    listed = ", ".join(f"`{name}`" for name in turned[:_SHOWN])
    more = f" and {len(turned) - _SHOWN} more" if len(turned) > _SHOWN else ""
    return [f"{listed}{more} {'is' if len(turned) == 1 else 'are'} NULL in every record of it"]
