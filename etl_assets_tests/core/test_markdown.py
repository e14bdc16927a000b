"""Values in Markdown tables.

At risk: a value of the data that breaks the table, becomes a picture or link, or hides another.
"""

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.markdown import escaped, table

HOSTILE = "<img src=x onerror=alert(1)> | ![a](b) `c` *d* \\| [e](javascript:f) # & &lt;"


def test_nothing_of_a_value_is_markup() -> None:
    shown = escaped(HOSTILE, 200)
    assert not set(re.sub(r"&#\d+;", "", shown)) & set("<>|`*_\\[]()#!~&")
    assert html.unescape(shown) == HOSTILE


@given(st.text(max_size=60))
def test_whatever_a_value_is_it_stays_in_its_cell(text: str) -> None:
    lines = table(["a", "b"], [[text, "end"]], width=60).split("\n")
    assert len(lines) == 3
    assert lines[2].startswith("| ")
    assert lines[2].endswith(" | end |")
    assert lines[2].count("|") == 3


def test_what_cannot_be_seen_is_shown() -> None:
    assert html.unescape(escaped(" a\nb\t\0\u202ec\u2028 ", 20)) == "␣a␣b␣␣␣c␣␣"


def test_null_and_an_empty_text_are_told_apart_and_long_values_cut() -> None:
    lines = table(["a", "b", "c"], [[None, "", "x" * 50]], width=10).split("\n")
    assert lines[2] == f"| *NULL* |  | {'x' * 9}… |"
