"""Which rules a campaign is staged with when the current ones fail on its records.

A dataset that says `fallback: last_good_rules` would rather be loaded with yesterday's rules
than keep yesterday's records. Nothing of it is silent: the stage says why (`Stage.notice`), and
so do the materializations, an asset check and the command line.
"""

from collections.abc import Callable, Iterable, Iterator

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import DocumentError, RuleError, StagingError
from etl_assets.core.manifest import Fallback, Load, Stage
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules
from etl_assets.core.stand_ins import stand_ins
from etl_assets.kept import stage_of
from etl_assets.systems.protocols import RegistryStore, Staging, Warehouse

MOST_TRIED = 10
"""Each costs as much as a stage. What failed in so many versions is not a rule's fault."""

_LOOKED_AT = 50

Apply = Callable[[RuleSet, Fallback | None], Stage]


def stage_with_fallback(
    apply: Apply, key: str, current: RuleSet, others: Iterable[RuleSet]
) -> Stage:
    """Return the stage of the current rules, or of the first others that do not fail.

    Args:
        apply: Stages with a rule set; the second argument says why it is not the current one.
        key: The campaign.
        current: The rules to apply.
        others: What may stand in for them; not looked at unless they fail.

    Raises:
        RuleError: That of the current rules, when no others work either.
    """
    try:
        return apply(current, None)
    except RuleError as error:
        failed = current.for_campaign(key).digest
        why = Fallback(failed_version=current.version, failed_digest=failed, reason=error.message)
        tried = {failed}
        for rules in others:
            digest = rules.for_campaign(key).digest
            if digest in tried:
                continue
            tried.add(digest)
            try:
                return apply(rules, why)
            except RuleError:
                if len(tried) > MOST_TRIED:
                    break
        raise


def last_good_rules(
    dataset: Dataset,
    key: str,
    current: RuleSet,
    open_registry: Callable[[], RegistryStore],
    open_warehouse: Callable[[], Warehouse],
    staging: Staging,
) -> Iterator[RuleSet]:
    """Yield the rules of the campaign's last load, then earlier versions, the newest first.

    None, when the dataset wants none. The last load's rules are those kept beside its parts,
    whatever became of their version. Nothing is opened before it is needed.

    Raises:
        RegistryError: When the published versions cannot be read.
        WarehouseError: When the ledger cannot be read.
        TransientError: When either is busy; a retry is safe.
    """
    if dataset.fallback == "none":
        return
    loads = open_warehouse().loads(dataset=dataset.name, key=key, limit=_LOOKED_AT)
    load = next((load for load in loads if load.is_load), None)
    if load:
        yield from _kept_rules(load, staging)
    yield from stand_ins(
        current,
        open_registry().rule_versions(dataset.name),
        loaded=load.rule_version if load else None,
        own=dataset.own_rules,
    )


def _kept_rules(load: Load, staging: Staging) -> Iterator[RuleSet]:
    stage = stage_of(load, staging)
    if stage and stage.rules:
        try:
            yield read_rules(staging.read_text(stage.rules), staging.uri(stage.rules))
        except (StagingError, DocumentError):  # removed, or of a release that wrote other rules
            return
