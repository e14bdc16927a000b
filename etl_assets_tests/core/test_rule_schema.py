"""An editor that underlines what is right teaches its user to ignore it."""

import jsonschema
import pytest

from etl_assets.core.columns import TYPES
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.schema import rule_set_schema

EDITOR = jsonschema.Draft7Validator(rule_set_schema())

EVERYTHING = """\
version: 3
comment: All kinds, in all the ways they may be written.
tables:
  regions:
    columns: {code: varchar(2), number: INTEGER, share: "decimal( 5 , 2 )"}
    rows: [[DE, 1, 0.5], [FR, 2, null], [yes, '3', 1]]
rules:
  - {id: a, kind: select, columns: [a, b_*, 'c?']}
  - {id: b, kind: drop, columns: ['*_id']}
  - {id: c, kind: rename, columns: {old: new}}
  - {id: d, kind: derive, column: x, type: Boolean, expression: true, on_error: null}
  - id: e
    comment: Why.
    kind: map
    column: x
    values: {'1': one, '2.5': 3, 'yes': yes, a: null, '': ~}
    unmapped: null
    examples:
      - {in: {x: 1, y: null, z: 2017-01-01}, out: {x: one}}
      - {in: {x: 7}, out: rejected}
      - {in: [{x: 1}, {x: 2}], out: [{x: one}]}
  - {id: f, kind: filter, keep: 1}
  - {id: g, kind: cast, column: x, type: 'decimal(12,2)', on_error: reject}
  - {id: h, kind: normalize, columns: [x], number: de_DE, empty: null, on_error: null}
  - {id: i, kind: normalize, columns: [x], number: {decimal: ',', group: .}, on_error: keep}
  - {id: j, kind: normalize, columns: [x], date: ['%d.%m.%Y', '%Y%m%d'], unicode: NFC, trim: true}
  - {id: k, kind: normalize, columns: [x], date: de_DE, case: lower, collapse: true}
  - {id: l, kind: dedupe, keys: [a], order: [b desc, c], keep: last}
  - {id: m, kind: lookup, table: regions, on: {a: code}, columns: {n: number}, missing: null}
  - {id: n, kind: lookup, dataset: others, on: {a: a}, columns: {b: b}}
  - {id: o, kind: fill, column: x, value: 0}
  - {id: p, kind: fill, column: x, from: y}
  - {id: q, kind: fill, column: x, previous: {by: [a], order: [b]}}
  - {id: r, kind: unpivot, columns: ['m*'], name: month, value: amount, nulls: drop}
  - {id: s, kind: aggregate, by: [a], metrics: {n: {function: count}, m: {function: sum, column: b}}}
  - {id: t, kind: assert, that: a > 0}
  - {id: u, kind: assert, range: {column: a, min: 0, max: ':end'}, on_failure: warn}
  - {id: v, kind: assert, pattern: {column: a, regex: '[a-z]+'}, on_failure: reject}
  - {id: w, kind: assert, accepted: {column: a, values: [1, true, no]}}
  - {id: x, kind: assert, unique: [a, b]}
  - {id: y, kind: assert, row_count: {min: 1}}
  - {id: z, kind: flag, tag: grün, when: a = 'ä'}
overrides:
  SP17:
    - {disable: a}
    - {replace: {id: b, kind: filter, keep: a}}
    - {add: {id: aa, kind: filter, keep: a}, after: c}
"""


def parsed(text: str) -> object:
    return Document(text, "rules").data


def complaints(text: str) -> list[str]:
    return [error.message for error in EDITOR.iter_errors(parsed(text))]


def refused(text: str) -> bool:
    try:
        Document(text, "rules").validate(RuleSet, parsed(text))
    except DocumentError:
        return True
    return False


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(rule_set_schema())


def test_what_the_models_accept_is_accepted_by_editors() -> None:
    assert not refused(EVERYTHING)
    assert complaints(EVERYTHING) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("kind: select", "kind: selct"),
        ("kind: drop, ", ""),
        ("keep: 1", "kep: 1"),
        ("type: 'decimal(12,2)'", "type: 'decimal(12)'"),
        ("type: 'decimal(12,2)'", "type: number"),
        ("type: Boolean", "type: boolean(1)"),
        ("keep: last", "keep: newest"),
        ("id: a,", "id: A,"),
        ("column: x, type", "column: X, type"),
        ("unmapped: null", "unmapped: drop"),
        ("missing: null", "missing: 0"),
        ("version: 3", "version: -3"),
        ("version: 3", "version: three"),
        ("rules:", "rule:"),
        ("- {disable: a}", "- {disabled: a}"),
        ("function: sum", "function: median"),
        ("out: rejected", "out: gone"),
        ("columns: [a, b_*, 'c?']", "columns: []"),
    ],
)
def test_what_an_editor_can_see_to_be_wrong_is_underlined(right: str, wrong: str) -> None:
    text = EVERYTHING.replace(right, wrong, 1)
    assert text != EVERYTHING
    assert refused(text)
    assert complaints(text)


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_offered_or_matched(name: str) -> None:
    written = name + {0: "", 1: "(3)", 2: "(3,1)"}[TYPES[name].arguments]
    rule = "rules: [{{id: a, kind: cast, column: a, type: {}}}]"
    assert complaints(rule.format(repr(written))) == []
    assert complaints(rule.format(repr(written.upper()))) == []
    assert complaints(rule.format(repr(written + "s")))


def test_fields_and_kinds_carry_what_their_models_say() -> None:
    schema = rule_set_schema()
    assert schema["description"] == "The ordered rules of a dataset, as one version."
    assert schema["properties"]["comment"]["description"] == "Why this version was published."
    assert schema["$defs"]["Filter"]["description"].startswith("Keep the records for which")
    assert "or its" not in schema["$defs"]["Override"]["description"]
    assert all(model["description"] for model in schema["$defs"].values())
