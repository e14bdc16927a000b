"""What has gone wrong for others must be known to go well here, and the page must not say more."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import attrgetter
from types import SimpleNamespace

import pytest

from etl_assets.core.errors import PermanentError
from etl_assets.rules import transform
from etl_assets_tests.servers import MariaDBServer, ensure_packages
from etl_assets_tests.systems.mysql_cases import CASES, POLICY_CASES, REFUSED, VALUES, Way
from etl_assets_tests.systems.mysql_reading import make_dataset
from etl_assets_tests.systems.redshift_server import Redshift
from etl_assets_tests.torture.cases import TORTURE, TortureCase
from etl_assets_tests.torture.chain import SERVER_OPTIONS, Arrived, Torture
from etl_assets_tests.torture.page import PAGE, ROOT, Peers, render

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

VALUED = [case for case in TORTURE if case.values]


@pytest.fixture(scope="module")
def torture(
    redshift_server: Redshift, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Torture]:
    """A MariaDB of its own, whose time is not UTC, and the stand-in."""
    ensure_packages("mariadbd", "mariadb-install-db")
    redshift_server.clean()
    with MariaDBServer(*SERVER_OPTIONS) as server:
        yield Torture(server, redshift_server, tmp_path_factory.mktemp("torture"))


@pytest.fixture(scope="module")
def arrived(torture: Torture) -> list[Arrived]:
    """What became of every value, every way."""
    return torture.run()


@pytest.mark.parametrize("case", VALUED, ids=attrgetter("id"))
def test_every_value_arrives_as_declared(arrived: list[Arrived], case: TortureCase) -> None:
    of_case = [a for a in arrived if a.value.case == case.number]
    assert {a.value.id for a in of_case} == {v.id for v in case.values}
    assert [a for a in of_case if not a.right] == []


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (replace(CASES[0], id="planted-1", expected=None), "changed to"),
        (replace(CASES[0], id="planted-2", kind="timestamp"), "same"),
        (replace(POLICY_CASES[0], id="planted-3", value="'2017-01-01'", ways=(Way("fail"),)), "should have"),
        (replace(POLICY_CASES[0], id="planted-4", ways=(Way("null", "date", touched=False),)), "same"),
        (replace(POLICY_CASES[0], id="planted-5", value="'2017-01-01'",
                 ways=(Way("reject", "date", ...),)), "changed to"),
        (replace(REFUSED[0], id="planted-6", message="other words"), "stops otherwise"),
    ],
    ids=lambda planted: getattr(planted, "id", ""),
)  # fmt: skip
def test_what_does_not_arrive_as_it_should_is_found(
    torture: Torture, planted: object, said: str
) -> None:
    assert isinstance(planted, type(CASES[0]) | type(POLICY_CASES[0]) | type(REFUSED[0]))
    found = [a for a in torture.run([planted]) if not a.right]
    assert len(found) == 1
    assert said in found[0].duckdb
    assert said in found[0].redshift


def test_bytes_that_spell_the_word_for_none_survive(
    torture: Torture, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter(["aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr(transform, "secrets", SimpleNamespace(token_hex=lambda _: next(drawn)))
    values = [b"~Naaaaaaaa~", b"", b"x~Nbbbbbbbb~", None]
    selected = " UNION ALL ".join(
        f"SELECT {n} AS id, {'NULL' if v is None else f'''X'{v.hex()}' '''} AS v"
        for n, v in enumerate(values)
    )
    _, found = torture.carry(make_dataset(selected, dataset="spelling"))
    assert found["duckdb"] == found["redshift"] == list(enumerate(values))


def test_600_texts_are_no_longer_in_redshift_than_they_may_be(
    torture: Torture, redshift_server: Redshift
) -> None:
    texts = [f"t{n}" for n in range(600)]
    selected = ", ".join(f"CAST('é{n}' AS CHAR(20)) AS {name}" for n, name in enumerate(texts))
    _, found = torture.carry(make_dataset(f"SELECT 1 AS id, {selected}", dataset="texts"))
    row = (1, *(f"é{n}" for n in range(600)))
    assert found["duckdb"] == found["redshift"] == [row]
    lengths = redshift_server.query(
        "SELECT character_maximum_length, count(*) FROM svv_columns"
        " WHERE table_name = 'texts' AND column_name LIKE 't%%' GROUP BY 1"
    )
    assert lengths == [(80, 600)]


def test_more_columns_than_redshift_takes_are_refused_before_the_copy(torture: Torture) -> None:
    selected = ", ".join(f"{n} AS c{n}" for n in range(1_600))
    with pytest.raises(PermanentError, match=r"1,604 columns .* can have 1,600"):
        torture.carry(make_dataset(f"SELECT 1 AS id, {selected}", dataset="columns"))


def missing_tests(names: Sequence[str]) -> list[str]:
    """Return the pytest node ids among these that are of no test."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *names], cwd=ROOT, capture_output=True, text=True, check=False)
    found = [line for line in done.stderr.splitlines() if line.startswith("ERROR: not found: ")]
    assert done.returncode == (4 if found else 0), done.stdout + done.stderr
    return [line.rpartition("/etl_assets_tests/")[2] for line in found]


def test_every_test_that_a_case_names_exists() -> None:
    assert missing_tests(sorted({name for case in TORTURE for name in case.tests})) == []
    planted = ["etl_assets_tests/test_cli.py::test_nothing", f"{VALUED[0].tests[0]}s"]
    assert missing_tests([*planted, VALUED[0].tests[0]]) == [
        "test_cli.py::test_nothing",
        "torture/test_torture.py::test_every_value_arrives_as_declared",
    ]


def test_the_cases_are_44_and_each_is_held_by_something() -> None:
    assert [case.number for case in TORTURE] == list(range(1, 45))
    assert len({case.id for case in TORTURE}) == 44
    assert all(case.tests for case in TORTURE)
    assert {value.case for value in VALUES} <= set(range(1, 45))
    assert len({value.id for value in VALUES}) == len(VALUES)


def test_the_other_tools_were_given_every_value() -> None:
    for way in Peers.read().ways.values():
        assert isinstance(way["outcomes"], dict)
        assert list(way["outcomes"]) == [value.id for value in VALUES]


def test_the_page_says_what_the_run_gives(arrived: list[Arrived]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(arrived, Peers.read()), "run `python -m etl_assets_tests.torture`"
    other = [replace(arrived[0], redshift="lost", right=False), *arrived[1:]]
    assert page != render(other, Peers.read())
