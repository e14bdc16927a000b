"""The calendar: the registry's campaigns, the ledger's loads and the checks of each key, together."""

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._utils.schedules import get_next_cron_tick

from etl_assets.core.errors import EtlError
from etl_assets.core.freshness import Freshness
from etl_assets.core.manifest import Load
from etl_assets.core.registry import Registry
from etl_assets.core.seasons import Calendar, Season, calendar_of, season_of, slice_of
from etl_assets.health import look_closely
from etl_assets.settings import Settings

Rows = Mapping[tuple[str, str], Sequence[Load]]


def read_calendar(
    settings: Settings,
    registry: Registry,
    instance: dg.DagsterInstance | None,
    at: dt.datetime,
    first: dt.date,
    last: dt.date,
) -> Calendar:
    """Return the seasons around a moment.

    Args:
        settings: Datasets, schedule, warehouse.
        registry: As read.
        instance: What knows when each key was refreshed; None to leave that out, as for
            another day than today.
        at: The moment, with a time zone.
        first: The first day to show.
        last: The last day to show.
    """
    at = at.astimezone(ZoneInfo(settings.schedule_time_zone))
    now = dt.datetime.now(dt.UTC)
    found = calendar_of(_seasons(settings, registry, at), at, now, first, last)
    rows, notes = _ledger(settings)
    fresh: dict[tuple[str, str], Freshness] = {}
    if instance:
        for looked in look_closely(settings, registry, instance, now):
            fresh |= {(looked.health.dataset, one.key): one for one in looked.keys}
    seasons = [
        replace(one, slices=tuple(
            slice_of(name, rows.get((name, one.campaign.key), []),
                     fresh.get((name, one.campaign.key)))
            for name in settings.datasets
            if one.campaign.takes_part_in(name)
        ))
        for one in found.seasons
    ]  # fmt: skip
    problems = tuple(sorted(registry.problems.items()))
    return replace(found, seasons=tuple(seasons), problems=problems, notes=tuple(notes))


def _seasons(settings: Settings, registry: Registry, at: dt.datetime) -> list[Season]:
    zone = settings.schedule_time_zone

    def tick(moment: dt.datetime) -> dt.datetime:
        return get_next_cron_tick(settings.schedule, moment, zone).astimezone(ZoneInfo(zone))

    return [season_of(campaign, registry, at, tick) for campaign in registry.campaigns.values()]


def _ledger(settings: Settings) -> tuple[Rows, list[str]]:
    """Return the ledger's rows, newest first, by dataset and key; and why they are not known."""
    found: dict[tuple[str, str], list[Load]] = defaultdict(list)
    try:
        for row in settings.open_warehouse().loads():
            found[row.dataset, row.campaign_key].append(row)
    except EtlError as error:
        return {}, [f"The loads are not known: {error}"]
    return found, []
