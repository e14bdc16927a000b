"""An author's text must come out of publishing as it went in, but for two values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.datasets import parse_dataset
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.texts import OWN, own_rules_text, said, stamped
from etl_assets.settings import PACKAGED_DATASETS

SHAPES = [
    "# why\nversion: 3  # the third\ncomment: so # and so\nrules: []  # grün\n",
    "rules: []",
    "# yaml-language-server: $schema=rules.schema.json\n---\nrules: []\n",
    "version: 3\r\nrules: []\r\n",
    "rules: []\r\n# end\r\n",
    "  rules: []\n  comment: |\n    a\n    b\n\n  version: 1\n  # end\n",
    "comment:\nrules: []\nversion:\n",
    "version: 1\ncomment: >-\n  a\n  b\n# why\nrules: []",
    'comment: "a\n  b"\nversion: 0\nrules: []\n...\n',
    "version: !!int '3'\ncomment: &words so\nrules: []\n",
    "\ufeffrules: []\n",
    "{}",
    "{ # why\n rules: []\n}\n",
    "{rules: [], version: 1}",
    '{"version": 1, "rules": [], "comment": "so"}',
    "version: 3\nrules: &none []\ncomment: *what\n",
]
COMMENTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("text", SHAPES)
@given(comment=COMMENTS)
def test_version_and_comment_are_set_and_read_back_in_any_shape(text: str, comment: str) -> None:
    made = stamped(text, 14, comment, "x")
    assert Document(made, "x").data == {"rules": [], "version": 14, "comment": comment} or (
        text == "{}" and Document(made, "x").data == {"version": 14, "comment": comment}
    )
    assert said(made, "x") == (14, comment)


@pytest.mark.parametrize("text", SHAPES)
def test_everything_else_stays_as_it_was_byte_for_byte(text: str) -> None:
    """What was set can be cut out again, and the rest is what the author wrote."""
    made = stamped(text, 14, "why so", "x")
    again = stamped(made, 15, "why else", "x")
    assert again.replace("15", "14").replace("why else", "why so") == made


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (SHAPES[0], "# why\nversion: 4  # the third\ncomment: new # and so\nrules: []  # grün\n"),
        (SHAPES[1], "version: 4\ncomment: new\nrules: []"),
        (SHAPES[2], SHAPES[2].replace("rules: [", "version: 4\ncomment: new\nrules: [")),
        (SHAPES[3], "comment: new\r\nversion: 4\r\nrules: []\r\n"),
        (SHAPES[4], "version: 4\r\ncomment: new\r\nrules: []\r\n# end\r\n"),
        (SHAPES[5], "  rules: []\n  comment: new\n\n  version: 4\n  # end\n"),
        (SHAPES[6], "comment: new\nrules: []\nversion: 4\n"),
        (SHAPES[7], "version: 4\ncomment: new\n# why\nrules: []"),
        (SHAPES[12], '{"version": 4, "comment": "new",  # why\n rules: []\n}\n'),
        (SHAPES[14], '{"version": 4, "rules": [], "comment": "new"}'),
    ],
)
def test_only_the_two_values_change(text: str, made: str) -> None:
    assert stamped(text, 4, "new", "x") == made


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "expected a mapping"),
        ("", "expected a mapping"),
        ("rules: [", "line 1"),
        ("rules: []\n\x07", "special characters are not allowed"),
        ("rules: *what\nversion: 1\n", "undefined alias"),
        ("version: &one 1\nrules: *one\n", "undefined alias"),
    ],
)
def test_what_is_no_rule_set_at_all_is_refused(text: str, problem: str) -> None:
    with pytest.raises(DocumentError, match=problem):
        Document(stamped(text, 2, "", "rules of sales"), "rules of sales")


def test_a_text_that_says_nothing_of_its_version_has_none() -> None:
    assert said("rules: []", "x") == (0, "")


@pytest.mark.parametrize("version", ["one", "-1", "0x2", "[1]", "", "&a {b: c}"])
def test_a_version_that_is_no_plain_number_is_refused(version: str) -> None:
    with pytest.raises(DocumentError, match="`version` is not a number"):
        said(f"version: {version}\nrules: []", "x")


def test_of_a_long_text_only_the_first_lines_are_read() -> None:
    """The rest is not even YAML: a history of long texts is listed without parsing them."""
    assert said("version: 7\ncomment: so\nrules: [}{", "x") == (7, "so")


@pytest.mark.parametrize("path", sorted(PACKAGED_DATASETS.glob("*.yaml")), ids=lambda p: p.stem)
def test_an_edit_can_begin_with_the_rules_of_a_datasets_document(path: object) -> None:
    text = getattr(path, "read_text")(encoding="utf-8")  # noqa: B009
    document = Document(own_rules_text(text, 3), "x")
    assert document.validate(RuleSet, document.data) == RuleSet(
        version=3, comment=OWN, rules=parse_dataset(text, "x").rules
    )


def test_the_rules_of_a_document_are_taken_without_what_follows_them() -> None:
    before = "dataset: sales\nprimary_key: [a]\nquery: SELECT a FROM b\n"
    rules = "rules:  # all\n  # the one\n  - {id: a, kind: filter, keep: a > 0}\n"
    head = "version: 0\ncomment: The rules of the dataset's document.\n"
    after = "\n# of\n\n# more\nowner: team:x\n"
    assert own_rules_text(before + rules + after, 0) == head + rules
    assert own_rules_text(before, 0) == f"{head}rules: []\n"
    assert own_rules_text("{dataset: sales, rules: [], query: x}", 0) == f"{head}rules: []\n"
