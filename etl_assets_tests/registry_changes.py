"""What tests of changes in the registry share: what changes, and what a look at it leads to."""

from typing import Any

import dagster as dg

from etl_assets_tests.dagster_fixtures import Platform
from etl_assets_tests.small import CAMPAIGNS

RULES = "version: {}\nrules:\n  - {{id: some, kind: filter, keep: quantity > {}}}\n"
OVERRIDE = "overrides:\n  SP17:\n    - {disable: some}\n"
APPLY = "on_rule_change: apply\n"
ALL = ["AU17", "SP17", "SU17"]


def move_window(platform: Platform) -> None:
    """Let the season of SP17 end a day later."""
    platform.small.write_campaigns(CAMPAIGNS.replace("2017-05-31", "2017-06-01"))


def observed(tick: Any) -> dict[str, list[str]]:  # noqa: ANN401
    """Return the keys that a look reported, by asset."""
    found: dict[str, list[str]] = {}
    for event in tick.asset_events:
        assert isinstance(event, dg.AssetObservation)
        found.setdefault(event.asset_key.to_user_string(), []).append(str(event.partition))
    return found


def asked_for(tick: Any) -> dict[str, list[str]]:  # noqa: ANN401
    """Return, by key, the assets of the runs that a look asked for."""
    return {
        request.partition_key: [key.to_user_string() for key in request.asset_selection]
        for request in tick.run_requests
    }
