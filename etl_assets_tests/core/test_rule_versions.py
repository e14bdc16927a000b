"""Two authors must not undo each other, and no number may mean two things."""

import datetime as dt
from dataclasses import replace

import pytest

from etl_assets.core.errors import DocumentError, PermanentError, RegistryError
from etl_assets.core.rules.versions import (
    RuleVersion,
    base_of,
    current_of,
    find_version,
    next_version,
    read_rules,
)

TEXT = "version: {}\nrules:\n  - {{id: some, kind: filter, keep: quantity > {}}}\n"
ONE = RuleVersion("sales", 1, TEXT.format(1, 1), "", None, "")
TWO = RuleVersion(
    "sales", 2, TEXT.format(2, 2), "anna", dt.datetime(2026, 11, 24, 23, tzinfo=dt.UTC), "More.",
    current=True,
)  # fmt: skip
AT = dt.datetime(2026, 11, 25, 1, 2, 3, 456, tzinfo=dt.timezone(dt.timedelta(hours=1)))


def publish(
    versions: list[RuleVersion], over: int, text: str = TEXT.format(0, 3), by: str = "bert"
) -> RuleVersion:
    return next_version(versions, "sales", text, over=over, by=by, at=AT, comment="Größer: 3")


def test_the_next_version_is_the_text_with_number_and_comment() -> None:
    made = publish([TWO, ONE], over=2)
    assert made == RuleVersion(
        "sales", 3, TEXT.format(3, 3).replace("version: 3\n", "comment: 'Größer: 3'\nversion: 3\n"),
        "bert", dt.datetime(2026, 11, 25, 0, 2, 3, tzinfo=dt.UTC), "Größer: 3", current=True,
    )  # fmt: skip
    assert (made.rule_set.version, made.rule_set.comment) == (3, "Größer: 3")
    assert made.digest != TWO.digest
    assert replace(made, text=TWO.text).digest == TWO.digest


@pytest.mark.parametrize(("over", "versions"), [(1, [TWO, ONE]), (3, [TWO, ONE]), (1, [])])
def test_an_edit_that_began_with_another_version_is_refused(
    over: int, versions: list[RuleVersion]
) -> None:
    with pytest.raises(RegistryError, match=f"began with version {over}, and by now") as caught:
        publish(versions, over)
    shown = "version 2 counts, published by anna at 2026-11-24 23:00:00 UTC (More.)"
    assert (shown in str(caught.value)) is bool(versions)
    assert "`etl-assets rules show sales`" in caught.value.remedy


def test_numbers_go_on_when_no_version_counts_any_more() -> None:
    removed = [replace(TWO, current=False), ONE]
    assert current_of(removed) is None
    assert (base_of(removed), base_of([])) == (2, 0)
    with pytest.raises(RegistryError, match="none counts, and the last had the number 2"):
        publish(removed, over=0)
    assert publish(removed, over=2).version == 3
    assert publish([], over=0).version == 1


def test_rules_put_back_by_hand_do_not_give_a_number_a_second_meaning() -> None:
    versions = [replace(TWO, current=False), replace(ONE, current=True)]
    with pytest.raises(
        RegistryError, match="there was a version 2 already, published by anna"
    ) as c:
        publish(versions, over=1)
    assert "to 3," in c.value.remedy


def test_a_damaged_version_that_counts_can_be_replaced() -> None:
    damaged = replace(TWO, version=0, text="", fault="its text is gone")
    assert base_of([damaged, ONE]) == 1
    assert publish([damaged, ONE], over=1).version == 2
    with pytest.raises(DocumentError, match="its text is gone"):
        damaged.rule_set  # noqa: B018


def test_a_version_is_found_by_its_number_and_the_one_that_counts_first() -> None:
    edited = replace(TWO, text="version: 2\nrules: []\n", by="", at=None, comment="")
    older = replace(TWO, current=False)
    assert find_version([edited, older, ONE], "sales", 2) is edited
    assert find_version([older, ONE], "sales", 1) is ONE
    assert (edited.written, ONE.written) == ("written by hand", "written by hand")
    with pytest.raises(PermanentError, match="There is no version 4 of the rules of sales") as c:
        find_version([older, ONE], "sales", 4)
    assert "rules history sales" in c.value.remedy
    with pytest.raises(PermanentError, match=r"Version 1 .* cannot be read: it is damaged"):
        find_version([replace(ONE, fault="it is damaged")], "sales", 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules: {}", "`rules`"),
        ("rules:\n  - {id: some, kind: filter, kep: x}", "line 4: .* did you mean `keep`"),
        ("? rules\n: []", "line"),
        ("rules: []\n---\nrules: []", "another document"),
    ],
)
def test_a_text_that_is_not_valid_is_not_published(text: str, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem):
        publish([], over=0, text=text)


@pytest.mark.parametrize(
    ("by", "kept"),
    [("Åsa Ünal", "Åsa Ünal"), ("a\n# b\tc\u2028d\x07", "a # b c d"), ("", "?"), (" \n", "?")],
)
def test_who_published_is_one_line(by: str, kept: str) -> None:
    assert publish([], over=0, by=by).by == kept


def test_a_text_is_read_once_and_what_is_wrong_with_it_is_named_each_time() -> None:
    text = TEXT.format(7, 7)
    assert read_rules(text, "here") is read_rules(text, "there")
    assert read_rules(TEXT.format(7, 8), "here") != read_rules(text, "here")
    for source in ("here", "there"):
        with pytest.raises(DocumentError, match=rf"{source} is not valid: line 3: .*.kep`"):
            read_rules(text.replace("keep", "kep"), source)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n"])
def test_an_empty_text_is_no_rule_set(text: str) -> None:
    with pytest.raises(DocumentError, match="it is empty; write `rules: \\[\\]` if that is meant"):
        read_rules(text, "here")
