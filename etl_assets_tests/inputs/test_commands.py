"""`etl-assets inputs`, as a person uses it: what it prints, and what it exits with."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from etl_assets.cli import cli
from etl_assets.core.errors import DocumentError, EtlError, PermanentError
from etl_assets.settings import Settings
from etl_assets_tests.inputs.deliveries import CONTRACT

FIRST = "Order No,Amount,Note\n1,1.50,one\n2,2.50,two\n"
SECOND = "Order No,Amount,Note\n" + "".join(f"{n},{n},x\n" for n in range(2, 20)) + "x,1,bad\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one contract and two files."""
    monkeypatch.setenv("ETL_ASSETS_HOME", str(tmp_path))
    monkeypatch.setenv("ETL_ASSETS_CONTRACTS", str(tmp_path / "contracts"))
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/orders.yaml").write_text(CONTRACT, encoding="utf-8")
    drop(tmp_path, "first.csv", FIRST, minutes=3)
    drop(tmp_path, "second.csv", SECOND, minutes=2)
    return tmp_path


def drop(home: Path, name: str, content: str, *, minutes: int, source: str = "orders") -> None:
    path = home / "staging/inputs" / source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    at = path.stat().st_mtime - 60 * minutes
    os.utime(path, (at, at))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["inputs", *arguments], catch_exceptions=True)


def printed(*arguments: str) -> Any:  # noqa: ANN401
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_files_are_listed_loaded_once_and_taken_out_again(home: Path) -> None:
    assert printed("list")[0]["pending"] == 2
    done = run("load")
    assert (done.exit_code, done.stdout.splitlines()) == (0, [
        "inputs/orders/first.csv: 2 rows: 2 new",
        "inputs/orders/second.csv: 19 rows: 17 new, 1 changed, 1 rejected; rejects: "
        + printed("list", "orders")["files"][0]["rejects"],
    ])  # fmt: skip
    assert run("load").stdout == "Nothing has arrived that was not loaded.\n"
    row = printed("list")[0]
    assert (row["pending"], row["loaded"], row["rows"], row["rejected"]) == (0, 2, 20, 1)
    assert run("rejects", "orders", "second.csv").stdout.splitlines() == [
        "row,column,value,reason", "20,id,x,is not a number",
    ]  # fmt: skip
    done = run("undo", "orders", "second.csv")
    assert done.stdout == "inputs/orders/second.csv: undone, 17 rows removed, 1 restored\n"
    again = printed("load", "orders", "--file", "second.csv", "--again")
    assert [(one["status"], one["inserted"]) for one in again] == [("loaded", 17)]
    with sqlite3.connect(home / "source.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (19,)
    connection.close()
    shown = run("list", "orders").stdout
    assert "undone since" in shown
    assert "17 rows removed, 1 row restored" not in shown
    assert "orders" in run("list").stdout


def test_a_quarantined_file_exits_with_1_and_is_shown_with_its_reason(home: Path) -> None:
    drop(home, "third.csv", "Nr,Amount,Note\n1,1,x\n", minutes=1)
    done = run("load", "orders")
    assert done.exit_code == 1
    assert "third.csv: quarantined: It has no column `id` (header `Order No`)" in done.stdout
    assert printed("list")[0]["quarantined"] == 1
    assert "quarantined" in run("list", "orders").stdout
    assert run("load", "orders").exit_code == 0
    assert run("load", "orders", "--file", "third.csv").exit_code == 1


def test_a_check_says_what_would_be_rejected_and_loads_nothing(home: Path) -> None:
    done = run("check", "orders", str(home / "staging/inputs/orders/second.csv"))
    assert (done.exit_code, done.stdout.splitlines()) == (1, [
        "19 rows: 18 good, 1 bad", "row 20 id: 'x' is not a number",
    ])  # fmt: skip
    assert run("check", "orders", str(home / "staging/inputs/orders/first.csv")).exit_code == 0
    (home / "bad").write_text("x\n", encoding="utf-8")
    assert (
        "It would be quarantined: It has no column"
        in run("check", "orders", str(home / "bad")).stdout
    )
    assert printed("list")[0]["pending"] == 2


def test_a_contract_that_was_inferred_loads_its_file(home: Path) -> None:
    drop(home, "Umsatz 2017.csv", "Nr;Betrag\n1;2,50\n2;1.000,00\n", minutes=1, source="umsatz")
    assert "no contract of that source" in run("list").stderr
    done = run("infer", str(home / "staging/inputs/umsatz/Umsatz 2017.csv"))
    assert "Save it as umsatz.yaml" in done.stderr
    (home / "contracts/umsatz.yaml").write_text(done.stdout, encoding="utf-8")
    assert run("load", "umsatz").stdout == "inputs/umsatz/Umsatz 2017.csv: 2 rows: 2 new\n"
    with sqlite3.connect(home / "source.sqlite") as connection:
        found = connection.execute("SELECT nr, betrag FROM umsatz ORDER BY nr").fetchall()
    connection.close()
    assert found == [(1, 2.5), (2, 1000)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("load", "nope"), "There is no contract of the source 'nope'; there are orders."),
        (
            ("load", "orders", "--file", "x.csv"),
            "There is no file x.csv of orders that has arrived.",
        ),
        (("undo", "orders", "x.csv"), "cannot be undone: it is not in the ledger"),
        (("rejects", "orders", "x.csv"), "x.csv of orders is not in the ledger"),
    ],
)
def test_what_is_not_there_is_said(home: Path, arguments: tuple[str, ...], said: str) -> None:
    assert home.is_dir()
    done = run(*arguments)
    assert isinstance(done.exception, EtlError)
    assert said in str(done.exception)


def test_again_without_a_file_is_a_mistake(home: Path) -> None:
    assert home.exists()
    assert run("load", "--again").exit_code == 2
    assert run("load", "--file", "x").exit_code == 2


def test_without_contracts_the_list_says_how_to_begin(home: Path) -> None:
    (home / "contracts/orders.yaml").unlink()
    assert "inputs infer FILE" in run("list").stdout


def test_a_contract_has_the_name_of_its_file(home: Path) -> None:
    (home / "contracts/orders.yaml").rename(home / "contracts/other.yaml")
    settings = Settings.from_environment()
    with pytest.raises(DocumentError, match="`source` is `orders`; it must be the file's name"):
        _ = settings.contracts


def test_inputs_are_loaded_into_the_source_unless_another_database_is_named(home: Path) -> None:
    assert Settings(home=home).inputs_url == f"sqlite:///{home}/source.sqlite"
    named = Settings(home=home, source_url="mysql+pymysql://u@h/d", source_password="x")  # noqa: S106
    assert (named.inputs_url, named.inputs_password) == ("mysql+pymysql://u@h/d", "x")
    other = Settings(home=home, inputs_url="mysql+pymysql://w@h/d", source_password="x")  # noqa: S106
    assert (other.inputs_url, other.inputs_password) == ("mysql+pymysql://w@h/d", "")
    with pytest.raises(PermanentError, match="ETL_ASSETS_INPUTS carries a password"):
        Settings(home=home, inputs_url="mysql+pymysql://w:x@h/d")
    with pytest.raises(PermanentError, match="ETL_ASSETS_INPUTS names no system"):
        Settings(home=home, inputs_url="oracle://h/d").open_inputs()
