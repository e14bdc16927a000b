"""Which rules may stand in for the current ones when these fail."""

from collections.abc import Iterator, Sequence

from etl_assets.core.errors import DocumentError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import RuleVersion


def stand_ins(
    current: RuleSet, versions: Sequence[RuleVersion], *, loaded: int | None, own: RuleSet
) -> Iterator[RuleSet]:
    """Yield the rules that may stand in for the current ones, the likeliest first.

    A version that cannot be read any more is passed over.

    Args:
        current: What failed.
        versions: All there are, newest first.
        loaded: The version of the last load, which worked; None when there is no load.
        own: The rules of the dataset's own document: version 0, for what was loaded with them.
            Nobody meant them for what never was.
    """
    if loaded == own.version:
        yield own
    yield from _readable([one for one in versions if one.version == loaded])
    yield from _readable(
        [one for one in versions if one.version <= current.version and not one.current]
    )


def _readable(versions: Sequence[RuleVersion]) -> Iterator[RuleSet]:
    for one in versions:
        try:
            rules = one.rule_set
        except DocumentError:
            continue
        yield rules
