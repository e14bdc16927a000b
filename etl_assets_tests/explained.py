"""Cells of a small platform, explained."""

from typing import Any

import yaml

from etl_assets.settings import Settings
from etl_assets.why.why import Why, why
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

DISCOUNT = {"kind": "derive", "column": "amount", "type": "decimal(10,2)",
            "expression": "amount * 2"}  # fmt: skip
"""A rule that sets `amount`."""


def explain(settings: Settings, record_id: str, column: str, dataset: str = "sales") -> Why:
    """Explain a cell of SP17."""
    return why(
        settings.datasets, dataset, settings.open_registry(), settings.open_staging(),
        settings.open_warehouse(), key="SP17", record_id=record_id, column=column,
    )  # fmt: skip


def loaded(small: Small, *rules: dict[str, Any], **document: object) -> Settings:
    """Load SP17 with rules."""
    numbered = [{"id": f"r{number}", **rule} for number, rule in enumerate(rules, 1)]
    small.write_rules(yaml.safe_dump({"version": 7, "rules": numbered, **document}))
    Chain(small.settings()).refresh()
    return small.settings()


def touches(found: Why) -> list[tuple[str, str, str, str | None, str | None]]:
    """Return what each rule did: (rule, column before, column after, value before, value after)."""
    return [(t.rule, t.was, t.column, t.before, t.after) for t in found.trace.touches]
