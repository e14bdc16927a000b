"""A campaign's rules as a text to keep beside what they made, and back."""

import re

import yaml

from etl_assets.core.errors import DocumentError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import read_rules

SHOWN_LINES = 60


def rules_text(rule_set: RuleSet) -> str:
    """Return a rule set as the YAML that a person would have written; `versions.read_rules` reads it."""
    text = _written(rule_set, readable=True)
    # PyYAML breaks lines at U+0085 where it does not read one; escaped, it reads every character.
    return text if _says(text, rule_set) else _written(rule_set, readable=False)


def rules_markdown(text: str) -> str:
    """Return a rule set's text as a block of Markdown; of a long one, the beginning."""
    lines = text.splitlines()
    more = len(lines) - SHOWN_LINES
    shown = "\n".join(lines[:SHOWN_LINES])
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)  # a rule may hold such marks itself
    rest = f"\n… and {more:,} more lines; `rules_uri` has them all." if more > 0 else ""
    return f"{fence}yaml\n{shown}\n{fence}{rest}"


def _says(text: str, rule_set: RuleSet) -> bool:
    try:
        return read_rules(text, "rules") == rule_set
    except DocumentError:
        return False


def _written(rule_set: RuleSet, *, readable: bool) -> str:
    content = rule_set.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text: str = yaml.safe_dump(
        {"version": rule_set.version, **content}, sort_keys=False, allow_unicode=readable, width=100
    )
    return text
