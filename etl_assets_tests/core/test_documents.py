"""YAML's conveniences hide typos; an error without a place sends its reader searching."""

import pytest

from etl_assets.core.datasets import parse_dataset
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError

HEAD = "dataset: sales\nprimary_key: [a]\nquery: SELECT a FROM t\n"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a"),
        ("x:\n  - {a: 1,\n     a: 2}\n", 3, "a"),
        ("a: 1\n'a': 2\n", 2, "a"),
        ("x: {true: 1, True: 2}\n", 1, "True"),
        ("x: {1: a, +1: b}\n", 1, r"\+1"),
    ],
)
def test_a_mapping_key_written_twice_is_refused(text: str, line: int, key: str) -> None:
    with pytest.raises(DocumentError, match=f"line {line}: `{key}` is written twice"):
        Document(text, "some.yaml")


def test_dates_stay_text_until_a_model_reads_them() -> None:
    assert Document("2017-02-30: 2017-12-25\n", "some.yaml").data == {"2017-02-30": "2017-12-25"}


def test_only_true_and_false_are_booleans() -> None:
    """Norway's code was false, and the `on` of a lookup a key that nobody wrote."""
    text = "{on: [NO, yes, Off, y], off: [true, False, TRUE]}\n"
    read = Document(text, "some.yaml").data
    assert read == {"on": ["NO", "yes", "Off", "y"], "off": [True, False, True]}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("7", 7), ("-12", -12), ("0", 0), ("1.50", 1.5), (".5", 0.5), ("5.", 5.0), ("-1.5e+3", -1500.0),
        ("007", "007"), ("0o17", "0o17"), ("0x1F", "0x1F"), ("12:30", "12:30"), ("1_000", "1_000"),
        ("00.5", "00.5"), ("1e3", "1e3"), (".", "."), ("trueish", "trueish"), ("1.2.3", "1.2.3"),
        ("'7'", "7"), ("+49", 49), ("v1", "v1"),
    ],
)  # fmt: skip
def test_a_number_is_one_as_people_read_it_and_everything_else_a_text(
    written: str, read: object
) -> None:
    """A shop's code `007` became 7 in a map, and 12:30 became 750."""
    found = Document(f"a: {written}\n", "it").data["a"]
    assert found == read
    assert type(found) is type(read)


def test_anchors_and_merged_mappings_work() -> None:
    text = "base: &b {x: 1}\nitem: {<<: *b, y: 2}\nagain: *b\n"
    assert Document(text, "some.yaml").data["item"] == {"x": 1, "y": 2}


def test_aliases_of_aliases_are_walked_once() -> None:
    """Ten lines of aliases stood for a billion nodes."""
    rows = [f"r{n}: &r{n} [{', '.join([f'*r{n - 1}'] * 10)}]" for n in range(1, 30)]
    text = "\n".join(["r0: &r0 [x]", *rows])
    assert Document(text, "some.yaml").line(("r29",)) == 30


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 'x",
        "\tb: 1",
        "a: !!python/object:os.system x",
        "? [a]\n: b",
        "a: *b",
        "%",
        "\x07",
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_the_name_of_the_document(text: str) -> None:
    with pytest.raises(DocumentError, match=r"some\.yaml is not valid"):
        Document(text, "some.yaml")


@pytest.mark.parametrize(
    ("rule", "problems"),
    [
        (
            "{id: x, kind: cast, colum: a,\n     type: text}",
            ["line 5: `rules.0.colum` is not a known field; did you mean `column`"],
        ),
        (
            "{id: x, kind: cast, column: a,\n     type: txt}",
            ["line 6: `rules.0.type`: 'txt' is not a column type; types are boolean"],
        ),
        ("{id: x, kind: casts}", ["line 5: `rules.0`: `kind` must be one of `select`"]),
        ("{id: x, knid: cast}", ["line 5: `rules.0`: `kind` is missing"]),
        ("cast", ["line 5: `rules.0`"]),
        ("{id: X Y, kind: filter, keep: a}", ["line 5: `rules.0.id`"]),
        ("{id: x, kind: filter}", ["line 5: `rules.0.keep` is missing"]),
        (
            "{id: x, kind: filter, keep: a, kep: b}",
            ["line 5: `rules.0.kep` is not a known field; did you mean `keep`"],
        ),
        ("{id: x, kind: filter, keep: a}\n  - {id: x, kind: filter, keep: a}", ["two rules"]),
        ("{id: x, kind: select, columns: [A]}", ["line 5: `rules.0.columns.0`"]),
        ("{id: x, kind: select, columns: []}", ["line 5: `rules.0.columns`"]),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_line_and_field(
    rule: str, problems: list[str]
) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_dataset(f"{HEAD}rules:\n  - {rule}\n", "sales.yaml")
    for problem in problems:
        assert problem in str(caught.value)


def test_every_mistake_is_counted_and_the_first_are_shown() -> None:
    fields = "".join(f"wrong{n}: 1\n" for n in range(8))
    with pytest.raises(DocumentError, match="and 3 more") as caught:
        parse_dataset(HEAD + fields, "sales.yaml")
    assert len(caught.value.problems) == 8


def test_the_word_null_needs_no_quotes_where_it_says_what_happens_to_a_value() -> None:
    """`on_error: null` was refused: YAML reads it as nothing."""
    rules = (
        "rules:\n  - {id: x, kind: cast, column: a, type: text, on_error: null}\n"
        "  - {id: y, kind: map, column: a, values: {b: c}, unmapped: null}\n"
    )
    quoted = rules.replace("null", "'null'")
    assert parse_dataset(HEAD + rules, "x").rules == parse_dataset(HEAD + quoted, "x").rules
