"""The pools: what opens a connection is in one, and they hold what a backfill opens.

At risk: a backfill of a thousand keys that takes every connection of the operational database.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from etl_assets.definitions import build_defs
from etl_assets_tests.command_line import PATIENCE_SECONDS
from etl_assets_tests.held_ui import IN_SNAPSHOT, HeldUI
from etl_assets_tests.live_ui import until
from etl_assets_tests.servers import MariaDBServer, ensure_packages
from etl_assets_tests.small import DATASET, Small

SYSTEMS = {"source", "registry", "warehouse"}
KEYS = ("K1", "K2", "K3", "K4")
LIMIT = 2
NO_POOL = "observe_registry"
"""Dagster gives an observable asset no pool; a run of it, by hand, reads the registry once."""


def pools_of(defs: dg.Definitions) -> dict[str, tuple[set[str], set[str]]]:
    """Return the pools and the systems of every step and check, by its name."""
    repository = defs.get_repository_def()
    ops = {node.name: node for job in repository.get_all_jobs() for node in job.all_node_defs}
    for definition in defs.resolve_asset_graph().assets_defs:
        if definition.is_executable:
            ops[definition.node_def.name] = definition.node_def
    return {
        name: (set(op.pools), set(op.required_resource_keys) & SYSTEMS)
        for name, op in ops.items()
        if isinstance(op, dg.OpDefinition)
    }


def unbounded(found: Mapping[str, tuple[set[str], set[str]]]) -> list[str]:
    """Return what opens a system and is not in the pool of one that it opens."""
    return sorted(
        name
        for name, (pools, systems) in found.items()
        if systems and not pools & systems and name != NO_POOL
    )


@pytest.mark.parametrize("fallback", ["", "fallback: last_good_rules\n"])
def test_every_step_and_check_that_opens_a_system_is_in_its_pool(
    small: Small, fallback: str
) -> None:
    small.write_dataset(fallback + DATASET)
    small.write_dataset("together: hold_set\n" + DATASET.replace("sales\n", "other\n", 1), "other")
    found = pools_of(build_defs(small.settings()))
    assert unbounded(found) == []
    assert found["sales__rds_extract"] == ({"source"}, {"source", "registry"})
    asks_ledger = "warehouse" if fallback else "registry"
    assert found["sales__s3_staging_csv"][0] == {asks_ledger}
    for name, (pools, systems) in found.items():
        if "warehouse" in systems and not name.endswith("s3_staging_csv"):
            assert pools == {"warehouse"}, name
    assert {"prune_tables", "clean_staging", "refresh_keys_together"} <= set(found)


def test_a_step_that_is_in_no_pool_is_found(small: Small) -> None:
    """The planted failure."""

    @dg.op(required_resource_keys={"source"})
    def unheard_of() -> None: ...

    @dg.job(resource_defs={"source": dg.ResourceDefinition.none_resource()})
    def planted() -> None:
        unheard_of()

    defs = dg.Definitions.merge(build_defs(small.settings()), dg.Definitions(jobs=[planted]))
    assert unbounded(pools_of(defs)) == ["unheard_of"]


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    """A server that nobody else connects to."""
    ensure_packages("mariadbd", "mariadb-install-db")
    with MariaDBServer() as started:
        started.run(
            "CREATE TABLE sales (sale_id INT PRIMARY KEY, sold_at DATETIME NOT NULL)",
            "INSERT INTO sales VALUES (1, '2017-03-05'), (2, '2017-03-06')",
        )
        yield started


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory, server: MariaDBServer) -> Iterator[HeldUI]:
    """The UI over that server, with a limit of two for each pool."""
    small = Small(tmp_path_factory.mktemp("pools") / "small")
    small.write_dataset(
        "dataset: sales\nprimary_key: [sale_id]\nquery: SELECT sale_id, sold_at FROM sales"
        " WHERE sold_at >= :starts_at AND sold_at < :ends_before\n"
    )
    rows = [f"  - {{key: {key}, start: 2017-03-01, end: 2017-05-31}}\n" for key in KEYS]
    small.write_campaigns("campaigns:\n" + "".join(rows))
    template = Path("etl_assets/dagster.yaml").read_text(encoding="utf-8")
    assert "default_limit: 4" in template
    config = small.settings().dagster_home / "dagster.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(template.replace("default_limit: 4", f"default_limit: {LIMIT}"))
    source = {"ETL_ASSETS_SOURCE": server.url, "ETL_ASSETS_SOURCE_PASSWORD": server.password}
    with HeldUI(small, **source) as held:
        yield held


def most_connections(server: MariaDBServer) -> int:
    """Return how many connections there were at once since the last reset, but for ours."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Max_used_connections'")
        ((_, most),) = cursor.fetchall()
    return int(most) - 1


def backfill_at_once(ui: HeldUI, server: MariaDBServer, arrive: int) -> int:
    """Backfill all keys, held in the snapshot until so many are there; return the most."""
    server.run("FLUSH STATUS")
    with ui.held_at(IN_SNAPSHOT) as reached:
        backfill = subprocess.Popen(
            [sys.executable, "-m", "etl_assets.cli", "backfill", "--all", "--force", "--wait"],
            env=ui.command.environment(), stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: len(reached.read_text(encoding="utf-8").splitlines()) == arrive)
        most = most_connections(server)
    _, err = backfill.communicate(timeout=PATIENCE_SECONDS)
    assert backfill.returncode == 0, err
    return max(most, most_connections(server))


def test_a_backfill_opens_no_more_connections_than_the_pool_of_the_source_has(
    ui: HeldUI, server: MariaDBServer
) -> None:
    assert backfill_at_once(ui, server, LIMIT) == LIMIT


def test_without_the_limit_every_key_opens_one(ui: HeldUI, server: MariaDBServer) -> None:
    """The planted failure: the same backfill with room for all."""
    with ui.command.instance() as instance:
        instance.event_log_storage.set_concurrency_slots("source", len(KEYS))
    assert backfill_at_once(ui, server, len(KEYS)) == len(KEYS)
