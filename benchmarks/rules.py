"""Measure what rules cost: beside no rules, as a plan, and as a change that is loaded.

    rules      the sample's rule set over CJ18, beside the identity        ratio of seconds
    plan       a changed rule set over the six keys of 2017-12-10          seconds
    change     a rule changed, staged and loaded, beside a full refresh    ratio of seconds

Runs alternate, so that a busy machine hurts both alike; each figure is a median.
"""

import datetime as dt
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from etl_assets import pipeline
from etl_assets.core.manifest import Extract
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.demo import sample
from etl_assets.kept import latest_extract
from etl_assets.loading import load
from etl_assets.rules.plan import plan_rules
from etl_assets.rules.transform import transform
from etl_assets.settings import Settings

KEY = "CJ18"
RUNS = int(os.environ.get("RUNS", "5"))
CHANGE = {
    "id": "discounted",
    "kind": "derive",
    "column": "discounted",
    "type": "boolean",
    "expression": "retail_disc + coupon_disc + coupon_match_disc > 0",
}


def main() -> None:
    """Build the sample, load the six keys, measure, print a table and JSON."""
    with tempfile.TemporaryDirectory(prefix="etl_assets_bench_") as folder:
        settings = Settings(home=Path(folder))
        sample.build_source(settings.home / "source.sqlite")
        sample.build_registry(settings.home / "registry")
        bench = Bench(settings)
        for key in bench.keys:
            bench.refresh(key, bench.rules, run_id=f"first-{key}")
        measured = bench.measure()
    show(measured)


class Bench:
    """The sample's largest dataset, step by step."""

    def __init__(self, settings: Settings) -> None:
        """Read the registry."""
        self.settings = settings
        self.dataset = settings.datasets["campaign_sales"]
        self.registry = settings.open_registry().read()
        self.rules = self.registry.rules_of(self.dataset)
        self.changed = RuleSet.model_validate(
            {**self.rules.model_dump(mode="json", by_alias=True), "version": 2,
             "rules": [*(r.model_dump(mode="json", by_alias=True, exclude_none=True)
                         for r in self.rules.rules), CHANGE]}
        )  # fmt: skip
        day = dt.date.fromisoformat(sample.REFRESH_DAY)
        self.keys = self.registry.due_on(day)
        self.staging, self.warehouse = settings.open_staging(), settings.open_warehouse()

    def measure(self) -> dict[str, list[float]]:
        """Return seconds by what was done."""
        extract = latest_extract(self.dataset, KEY, self.warehouse, self.staging)
        if extract is None:
            raise SystemExit(f"{KEY} was not loaded.")
        found: dict[str, list[float]] = {}
        for number in range(RUNS):
            for name, rules in (("identity", RuleSet()), ("rules", self.rules)):
                found.setdefault(name, []).append(seconds(lambda r=rules: self.apply(r, extract)))
            found.setdefault("plan", []).append(seconds(self.plan))
            found.setdefault("full refresh", []).append(
                seconds(lambda n=number: self.refresh(KEY, self.rules, run_id=f"full-{n}"))
            )
            found.setdefault("rule change", []).append(
                seconds(lambda n=number: self.load(extract, self.changed, run_id=f"change-{n}"))
            )
        return found

    def apply(self, rules: RuleSet, extract: Extract) -> None:
        """Apply rules and write the parts."""
        with self.staging.scratch() as folder, self.staging.fetch(extract.parts) as files:
            transform(self.dataset, extract, rules, extract.bindings, files, folder)

    def plan(self) -> None:
        """Plan the changed rules for the six keys."""
        plan_rules(self.dataset, self.registry, self.changed, self.warehouse, self.staging)

    def refresh(self, key: str, rules: RuleSet, *, run_id: str) -> None:
        """Extract, stage and load a key, whatever is unchanged."""
        source = self.settings.open_source()
        campaign = self.registry.campaign(key)
        extract = pipeline.extract(
            self.dataset, campaign, source, self.staging, source_name=self.settings.source_url
        )
        self.load(extract, rules, run_id=run_id)

    def load(self, extract: Extract, rules: RuleSet, *, run_id: str) -> None:
        """Stage and load an extract, whatever is unchanged."""
        campaign = self.registry.campaign(extract.campaign_key)
        staged = pipeline.stage(self.dataset, campaign, extract, rules, self.staging)
        load(self.dataset, staged, self.staging, self.warehouse, run_id=run_id, force=True)


def seconds(work: Callable[[], None]) -> float:
    """Return how long some work took."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def show(measured: dict[str, list[float]]) -> None:
    """Print medians, ratios and what was aimed at."""
    median = {name: statistics.median(values) for name, values in measured.items()}
    table = Table("what", "seconds", "ratio", "aim")
    table.add_row("CJ18 without rules", f"{median['identity']:.2f}", "", "")
    ratio = median["rules"] / median["identity"]
    table.add_row(
        "CJ18 by the sample's rules", f"{median['rules']:.2f}", f"{ratio:.2f}", "1.5 at most"
    )
    table.add_row("plan of six keys", f"{median['plan']:.2f}", "", "under 10 s")
    table.add_row("full refresh of CJ18", f"{median['full refresh']:.2f}", "", "")
    ratio = median["rule change"] / median["full refresh"]
    table.add_row(
        "rule change of CJ18", f"{median['rule change']:.2f}", f"{ratio:.2f}", "under 0.5"
    )
    Console(width=100).print(table)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
