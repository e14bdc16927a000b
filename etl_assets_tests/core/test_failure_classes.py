"""The table of codes: what is tried again, and what is not.

At risk: a mistake that is tried again for ever, a blip that costs half a day, and two modules
that disagree about one code.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

import etl_assets
from etl_assets.core.failure_classes import TABLE, System, meaning_in, meaning_of

SYSTEMS = Path(etl_assets.__file__).parent / "systems"


@pytest.mark.parametrize(
    ("system", "code", "transient"),
    [
        ("MySQL", 2013, True),
        ("MySQL", 1213, True),
        ("MySQL", 1064, False),
        ("Redshift", "XX000/1023", True),
        ("Redshift", "XX000", False),
        ("Redshift", "57014", True),
        ("AWS", "SlowDown", True),
        ("AWS", "5xx", True),
        ("AWS", "AccessDenied", False),
        ("AWS", "ExpiredToken", False),
        ("SQLite", 5, True),
        ("SQLite", 11, False),
    ],
)
def test_a_code_has_its_class(system: System, code: object, *, transient: bool) -> None:
    meaning = meaning_of(system, code)
    assert meaning is not None
    assert meaning.transient is transient


@pytest.mark.parametrize(
    ("system", "code"), [("MySQL", 9999), ("Redshift", "22012"), ("AWS", "Odd"), ("SQLite", 99)]
)
def test_a_code_that_is_not_in_the_table_means_nothing_so_nothing_is_tried_again(
    system: System, code: object
) -> None:
    assert meaning_of(system, code) is None


def test_the_most_exact_code_counts() -> None:
    exact = meaning_of("Redshift", "XX000/1023", "XX000")
    rest = meaning_of("Redshift", "XX000/9999", "XX000")
    assert exact is not None
    assert rest is not None
    assert (exact.transient, rest.transient) == (True, False)


def test_a_system_without_codes_is_read_by_its_message() -> None:
    held = meaning_in("DuckDB", 'IO Error: Could not set lock on file "x": Conflicting lock')
    full = meaning_in("DuckDB", "IO Error: Could not write: No space left on device")
    assert held is not None
    assert full is not None
    assert (held.transient, full.transient) == (True, False)
    assert meaning_in("DuckDB", "Parser Error") is None


def test_a_connection_that_tls_lost_is_not_taken_for_one_that_tls_refused() -> None:
    lost = meaning_in("Redshift connection", "SSL connection has been closed unexpectedly")
    refused = meaning_in("Redshift connection", "SSL error: certificate verify failed")
    assert lost is not None
    assert refused is not None
    assert (lost.transient, refused.transient) == (True, False)


def test_no_code_stands_twice() -> None:
    counted = Counter((row.system, code) for row in TABLE for code in row.codes)
    assert [code for code, times in counted.items() if times > 1] == []


def test_every_row_has_a_reason_or_leaves_the_word_to_the_system() -> None:
    assert [row.codes for row in TABLE if not row.reason and row.transient] == []


def own_tables(source: str) -> list[str]:
    """Return the names of a module's collections of MySQL's, Redshift's or AWS's codes."""
    known = {code for row in TABLE if row.system != "SQLite" for code in row.codes} - {"0"}
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Set):
            values = {str(e.value) for e in node.value.elts if isinstance(e, ast.Constant)}
            found += [ast.unparse(node).partition("=")[0].strip()] if values & known else []
    return found


@pytest.mark.parametrize("path", sorted(SYSTEMS.glob("*.py")), ids=lambda path: path.name)
def test_no_system_keeps_a_set_of_codes_of_its_own(path: Path) -> None:
    assert own_tables(path.read_text(encoding="utf-8")) == []


def test_a_set_of_codes_beside_the_table_is_found() -> None:
    assert own_tables('_WAIT = {"ThrottlingException", "Odd"}') == ["_WAIT"]
    assert own_tables("_LOST = {2006, 2013}") == ["_LOST"]
