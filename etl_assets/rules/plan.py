"""What other rules would change: old and new rules over the kept extracts, compared.

Nothing is read from the source and nothing is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from etl_assets.core.columns import Column
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import EtlError
from etl_assets.core.manifest import Extract
from etl_assets.core.registry import Registry
from etl_assets.core.rules.compile import CompiledRules, compile_rules
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.kept import latest_extract
from etl_assets.rules.check import check_types
from etl_assets.rules.diff import Difference, compare, forget, keep_records
from etl_assets.rules.engine import Connection, Ran, engine, make_relations, read_extract, run
from etl_assets.rules.transform import check_refused, explain
from etl_assets.systems.protocols import Staging, Warehouse

_AT_ONCE = 2


@dataclass(frozen=True)
class Side:
    """What one rule set makes of a campaign's extract.

    Attributes:
        records: How many would be loaded.
        outcomes: Records by outcome and rule, such as `rejected old-prices`.
        columns: Names and types.
        error: Why the campaign would not be loaded; empty when it would.
    """

    records: int
    outcomes: Mapping[str, int]
    columns: tuple[Column, ...]
    error: str

    @property
    def rejected(self) -> int:
        """Records that rules reject."""
        return sum(n for name, n in self.outcomes.items() if name.startswith("rejected "))


@dataclass(frozen=True)
class KeyPlan:
    """What changes for one campaign.

    Attributes:
        extract_id: The extract both rule sets were applied to.
        before: By the rules that count now.
        after: By the new ones.
        difference: Of the records; None when one of the two fails.
    """

    key: str
    extract_id: str
    before: Side
    after: Side
    difference: Difference | None


@dataclass(frozen=True)
class Plan:
    """What publishing a rule set would change.

    Attributes:
        old_version: The version that counts now.
        keys: The campaigns whose rules change, each with what changes.
        untouched: The campaigns whose rules stay what they are.
        without_extract: Those of which no extract is kept: what changes shows their refresh.
        schema: What changes in the target table, as sentences.
    """

    dataset: str
    table: str
    old_version: int
    keys: tuple[KeyPlan, ...]
    untouched: tuple[str, ...]
    without_extract: tuple[str, ...]
    schema: tuple[str, ...]

    @property
    def failing(self) -> list[KeyPlan]:
        """The campaigns that the new rules would fail."""
        return [key for key in self.keys if key.after.error]

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON would have it."""
        made = asdict(self)
        for key, plan in zip(made["keys"], self.keys, strict=True):
            for side in ("before", "after"):
                columns = getattr(plan, side).columns
                key[side]["columns"] = {c.name: str(c.type) for c in columns}
        return made


def plan_rules(
    dataset: Dataset,
    registry: Registry,
    new: RuleSet,
    warehouse: Warehouse,
    staging: Staging,
    *,
    keys: Sequence[str] = (),
    datasets: Mapping[str, Dataset] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Return what changes when `new` takes the place of the dataset's rules.

    Args:
        dataset: Whose rules they are.
        registry: Says what counts now.
        new: The rule set, linted.
        warehouse: Its ledger says which extracts the loads were made from.
        staging: Where those are kept.
        keys: Only these campaigns; all that the table holds, unless given.
        datasets: The others, in whose extracts rules look values up.
        progress: Told what is done.

    Raises:
        PermanentError: When a key is not in the registry.
        StagingError: When an extract was changed.
        TransientError: When the warehouse is busy; a retry is safe.
    """
    old = registry.rules_of(dataset)
    for key in keys:
        registry.campaign(key)
    loaded = keys or [k for k in warehouse.slices(dataset) if k in registry.campaigns]
    wanted = sorted(set(loaded))
    changed = [k for k in wanted if old.for_campaign(k).digest != new.for_campaign(k).digest]
    extracts = {key: latest_extract(dataset, key, warehouse, staging) for key in changed}
    kept = {key: extract for key, extract in extracts.items() if extract}

    def plan(item: tuple[str, Extract]) -> KeyPlan:
        key, extract = item
        progress(f"{key}: applying both rule sets to {extract.records:,} records …")
        looked_up = {
            name: found
            for name in {*old.looked_up_datasets, *new.looked_up_datasets}
            if (other := (datasets or {}).get(name))
            and (found := latest_extract(other, key, warehouse, staging))
        }
        return _plan_key(dataset, registry, (old, new), extract, looked_up, staging)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        largest = sorted(kept.items(), key=lambda item: -item[1].records)
        planned = sorted(pool.map(plan, largest), key=lambda made: made.key)
    return Plan(
        dataset=dataset.name,
        table=dataset.table,
        old_version=old.version,
        keys=tuple(planned),
        untouched=tuple(key for key in wanted if key not in changed),
        without_extract=tuple(key for key in changed if key not in kept),
        schema=tuple(_schema(planned)),
    )


def _plan_key(
    dataset: Dataset,
    registry: Registry,
    rule_sets: tuple[RuleSet, RuleSet],
    extract: Extract,
    lookups: Mapping[str, Extract],
    staging: Staging,
) -> KeyPlan:
    with ExitStack() as stack:
        folder = stack.enter_context(staging.scratch())
        files = stack.enter_context(staging.fetch(extract.parts))
        others = {
            name: stack.enter_context(staging.fetch(found.parts)) for name, found in lookups.items()
        }
        connection = stack.enter_context(engine(folder))
        read_extract(connection, extract.columns, files)
        sides = []
        for name, rules in zip(("before", "after"), rule_sets, strict=True):
            campaign = registry.campaign(extract.campaign_key)
            side = _side(connection, name, dataset, rules.for_campaign(campaign.key), extract,
                         {n: (lookups[n].columns, f) for n, f in others.items()})  # fmt: skip
            sides.append(side)
        before, after = sides
        difference = None
        if not before.error and not after.error:
            difference = compare(connection, before.columns, after.columns)
    return KeyPlan(extract.campaign_key, extract.extract_id, before, after, difference)


def _side(
    connection: Connection,
    name: str,
    dataset: Dataset,
    rules: RuleSet,
    extract: Extract,
    lookups: Mapping[str, tuple[Sequence[Column], Sequence[Path]]],
) -> Side:
    """Apply rules, and keep the records as a table of that name."""
    what = f"The rules of {dataset.name} for campaign {extract.campaign_key}"
    compiled: CompiledRules | None = None
    try:
        compiled = compile_rules(
            rules, extract.columns, dataset.primary_key, extract.bindings,
            datasets={n: columns for n, (columns, _) in lookups.items()},
        )  # fmt: skip
        check_types(connection, compiled, what)
        make_relations(connection, compiled, {n: files for n, (_, files) in lookups.items()})
        ran = run(connection, compiled)
        check_refused(connection, compiled, ran, dataset, what, extract.rejected)
        select = compiled.last.records(named=True)
        records, _ = keep_records(connection, name, select, compiled.columns)
        return Side(records, _outcomes(ran), compiled.columns, "")
    except EtlError as error:
        return Side(0, {}, compiled.columns if compiled else (), error.message)
    except duckdb.Error as error:
        assert compiled is not None  # noqa: S101  (nothing runs before)
        return Side(0, {}, compiled.columns, explain(connection, compiled, error, what).message)
    finally:
        if compiled:
            forget(connection, compiled)


def _outcomes(ran: Ran) -> dict[str, int]:
    counted: dict[str, int] = {}
    for count in ran.counts:
        name = f"{count.outcome} {count.rule}"
        counted[name] = counted.get(name, 0) + count.records
    return counted


def _schema(planned: Sequence[KeyPlan]) -> list[str]:
    """Return what changes in the target table, over all campaigns."""
    said: dict[str, None] = {}
    for plan in planned:
        before = {c.name: c.type for c in plan.before.columns}
        after = {c.name: c.type for c in plan.after.columns}
        if not before or not after:
            continue
        for name in after.keys() - before.keys():
            said[f"`{name}` ({after[name]}) is added."] = None
        for name in before.keys() - after.keys():
            said[f"`{name}` is filled no more; the table keeps the column, with NULL."] = None
        for name in after.keys() & before.keys():
            if after[name] != before[name]:
                said[f"`{name}` changes from {before[name]} to {after[name]}: a load would be"
                     " refused unless the table takes it."] = None  # fmt: skip
    return sorted(said)
