"""What the UI is answered: its GraphQL, over a test's instance and without a webserver."""

import asyncio
import itertools
import sys
from typing import Any

import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.schema import create_schema

from etl_assets_tests.dagster_fixtures import CHAIN, Platform

STALE = """query($asset: AssetKeyInput!, $key: String!) {
  assetNodeOrError(assetKey: $asset) { ... on AssetNode {
    staleStatus(partition: $key) staleCauses(partition: $key) { reason key { path } } } } }"""


def ask(platform: Platform, queries: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the data of each answer; the definitions are loaded once, as they are now."""
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(
            executable_path=sys.executable, module_name="etl_assets.definitions", attribute="defs"
        ),
        location_name="etl_assets",
    )
    settings = platform.settings
    schema = create_schema()
    found = []
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ETL_ASSETS_HOME", str(settings.home))
        environment.setenv("ETL_ASSETS_DATASETS", str(settings.datasets_folder))
        target = InProcessWorkspaceLoadTarget(origin)
        with WorkspaceProcessContext(platform.instance, target) as process:
            for query, variables in queries:
                answer = asyncio.run(
                    schema.execute_async(
                        query,
                        context_value=process.create_request_context(),
                        variable_values=variables,
                    )
                )
                assert not answer.errors, answer.errors
                found.append(dict(answer.data or {}))
    return found


def out_of_step(platform: Platform, *keys: str, why: bool = False) -> dict[str, list[str]]:
    """Return by key which assets the UI calls "Unsynced", as `dataset/asset`.

    Args:
        platform: The instance and the definitions.
        keys: Partitions to look at.
        why: Whether to return, in place of the assets, what they are out of step with.
    """
    assets = [[name, asset] for name in platform.settings.datasets for asset in CHAIN]
    pairs = list(itertools.product(keys, assets))
    answers = ask(platform, [(STALE, {"asset": {"path": a}, "key": k}) for k, a in pairs])
    found: dict[str, list[str]] = {key: [] for key in keys}
    for (key, asset), answer in zip(pairs, answers, strict=True):
        node = answer["assetNodeOrError"]
        if node["staleStatus"] == "STALE":
            causes = ["/".join(cause["key"]["path"]) for cause in node["staleCauses"]]
            found[key] += causes if why else ["/".join(asset)]
    return found
