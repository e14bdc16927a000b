"""The chain of one dataset, step by step, over settings of a test."""

from dataclasses import dataclass
from typing import Any

import duckdb

from etl_assets import pipeline
from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.loading import Loaded, load
from etl_assets.settings import Settings


@dataclass(frozen=True)
class Chain:
    """Runs the steps for a key and looks at the table."""

    settings: Settings
    dataset: str = "sales"

    def extract(self, key: str = "SP17", previous: Extract | None = None) -> Extract:
        """Read a key's records from the source."""
        return pipeline.extract(
            self.settings.datasets[self.dataset],
            self.settings.open_registry().read().campaign(key),
            self.settings.open_source(),
            self.settings.open_staging(),
            source_name="source",
            previous=previous,
        )

    def stage(
        self, key: str = "SP17", extracted: Extract | None = None, previous: Stage | None = None
    ) -> Stage:
        """Apply the rules to an extract, a new one unless given."""
        registry = self.settings.open_registry().read()
        dataset = self.settings.datasets[self.dataset]
        return pipeline.stage(
            dataset,
            registry.campaign(key),
            extracted or self.extract(key),
            registry.rules_of(dataset),
            self.settings.open_staging(),
            previous=previous,
        )

    def load(self, staged: Stage, *, force: bool = False) -> Load:
        """Load what was staged."""
        row = self.load_as(staged, force=force).row
        assert row is not None
        return row

    def load_as(self, staged: Stage, *, force: bool = False) -> Loaded:
        """Load what was staged, and say what became of it."""
        return load(
            self.settings.datasets[self.dataset],
            staged,
            self.settings.open_staging(),
            self.settings.open_warehouse(),
            run_id="a-run",
            force=force,
        )

    def refresh(self, key: str = "SP17") -> Load:
        """Run the three steps."""
        return self.load(self.stage(key))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the warehouse as a reader would."""
        path = self.settings.warehouse_url.removeprefix("duckdb:///")
        with duckdb.connect(path, read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def counts(self) -> dict[str, int]:
        """Return the table's records by key."""
        table = self.settings.datasets[self.dataset].table
        return dict(self.query(f"SELECT campaign_key, count(*) FROM {table} GROUP BY 1"))
