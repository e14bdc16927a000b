"""How `normalize` becomes a step of a chain: one for each of its columns."""

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.errors import RuleError
from etl_assets.core.rules.chain import Chain
from etl_assets.core.rules.kinds import Normalize
from etl_assets.core.rules.normalize import plain_date, plain_number
from etl_assets.core.sql import quote_identifier, quote_literal

_ISO_DATE_CHARACTERS = 10
_BLANKS = r"[\s\p{Z}]+"
"""White space, the blanks of Unicode included."""


def add_normalize(chain: Chain, rule: Normalize) -> None:
    """Write texts in one form, column by column."""
    columns = chain.matching(rule.columns, rule.id)
    for column in columns:
        if not column.type.is_text:
            raise RuleError(
                f"Rule `{rule.id}` normalizes `{column.name}`, which is {column.type}.",
                "Choose columns of text.",
            )
    for column in columns:
        _normalize(chain, rule, column)


def _normalize(chain: Chain, rule: Normalize, column: Column) -> None:
    name = quote_identifier(column.name)
    text = _tidied(rule, name)
    bad = None
    if rule.number or rule.date:
        plain, fits = (
            plain_number(text, rule.number) if rule.number else plain_date(text, rule.date or ())
        )
        empty = f"{text} = ''"
        bad = f"{name} IS NOT NULL AND NOT ({empty}) AND ({fits}) IS NOT TRUE"
        rest = text if rule.on_error == "keep" else "NULL"
        text = f"CASE WHEN {bad} THEN {rest} WHEN {empty} THEN {text} ELSE {plain} END"
    if rule.empty == "null":
        text = f"nullif({text}, '')"
    kind = column.type
    if rule.date and kind.name == "varchar" and kind.precision < _ISO_DATE_CHARACTERS:
        kind = ColumnType("varchar", _ISO_DATE_CHARACTERS)
    chain.assign(rule.id, {column.name: (kind, text)}, bad=bad, policy=rule.on_error)


def _tidied(rule: Normalize, name: str) -> str:
    text = f"nfc_normalize({name})" if rule.unicode else name
    if rule.trim or rule.number or rule.date:
        text = f"regexp_replace({text}, {quote_literal(f'^{_BLANKS}|{_BLANKS}$')}, '', 'g')"
    if rule.collapse:
        text = f"regexp_replace({text}, {quote_literal(_BLANKS)}, ' ', 'g')"
    if rule.case:
        text = f"{rule.case}({text})"
    return text
