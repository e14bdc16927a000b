"""The commands that list and check, and how errors are told.

At risk: a program that cannot parse a listing, and a person who gets a traceback instead of the
next thing to do.
"""

import io
import json
from pathlib import Path

import click
import pytest
from rich.console import Console

from etl_assets import cli
from etl_assets.display.loads import loads_table
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.dagster_fixtures import load
from etl_assets_tests.small import CAMPAIGNS, DATASET, Small

DAY = "2017-12-10"


@pytest.fixture
def command(small: Small) -> CommandLine:
    return CommandLine.of(small)


@pytest.fixture
def sample(sample_home: Path) -> CommandLine:
    """The command line over the sample, for what writes nothing."""
    return CommandLine(sample_home)


def keys(output: str) -> list[str]:
    return [campaign["key"] for campaign in json.loads(output)]


def test_the_busiest_day_of_the_sample_has_six_keys(sample: CommandLine) -> None:
    done = sample.run("campaigns", "--on", DAY, "--json")
    assert done.returncode == 0, done.stderr
    assert keys(done.stdout) == ["CJ15", "CJ18", "CJ19", "CJ20", "CJ21", "CJ22"]
    assert all(campaign["due"] for campaign in json.loads(done.stdout))


def test_without_a_date_every_campaign_is_listed(sample: CommandLine) -> None:
    listed = json.loads(sample.run("campaigns", "--json").stdout)
    assert len(listed) == 27
    assert listed[0] == {
        "key": "CJ01", "name": "Campaign 1 (Type B)", "start": "2017-03-03", "end": "2017-04-09",
        "time_zone": "UTC", "paused": False, "datasets": None, "compared_with": "CJ26",
        "parameters": {"campaign_id": 1},
        "due": False,
    }  # fmt: skip


def test_an_explicit_entry_of_the_calendar_wins_and_is_mentioned(
    command: CommandLine, small: Small
) -> None:
    small.write_calendar("calendar: {2017-12-10: [SP17], 2017-04-01: []}\n")
    assert keys(command.run("campaigns", "--on", DAY, "--json").stdout) == ["SP17"]
    assert keys(command.run("campaigns", "--on", "2017-04-01", "--json").stdout) == []
    shown = command.run("campaigns", "--on", DAY).stdout
    assert "The calendar has an entry for 2017-12-10; it wins over the seasons." in shown


def test_a_campaign_that_cannot_be_used_is_listed_with_its_problem(
    command: CommandLine, small: Small
) -> None:
    small.write_campaigns(CAMPAIGNS.replace("end: 2017-05-31", "ned: 2017-05-31"))
    done = command.run("campaigns", "--json")
    assert done.returncode == 1
    (bad,) = [c for c in json.loads(done.stdout) if "problem" in c]
    assert bad["key"] == "SP17"
    assert "`ned` is not a known field; did you mean `end`?" in bad["problem"]
    assert "SU17" in command.run("campaigns").stdout


def test_brackets_in_names_are_shown_as_they_are(command: CommandLine, small: Small) -> None:
    small.write_campaigns(
        'campaigns:\n  - {key: A, name: "[red]Sale[/] [x]", start: 2017-03-01, end: 2017-03-02}\n'
    )
    assert "[red]Sale[/] [x]" in command.run("campaigns").stdout


def test_an_empty_ledger_is_an_empty_list_and_a_hint(command: CommandLine) -> None:
    assert json.loads(command.run("loads", "--json").stdout) == []
    assert command.run("loads").stdout == "No load yet. `etl-assets refresh` makes the first.\n"


def test_the_ledgers_newest_rows_come_first(command: CommandLine, small: Small) -> None:
    load(small.settings(), "SP17", "SU17")
    shown = command.run("loads").stdout
    assert shown.index("SU17") < shown.index("SP17")
    (newest,) = json.loads(command.run("loads", "--json", "--limit", "1").stdout)
    assert (newest["campaign_key"], newest["kind"], newest["records"]) == ("SU17", "load", 16)


def test_the_id_of_a_load_is_whole_however_narrow_the_terminal(small: Small) -> None:
    settings = small.settings()
    load(settings, "SP17")
    rows = settings.open_warehouse().loads()
    console = Console(width=60, file=io.StringIO())
    console.print(loads_table(rows, {}))
    assert isinstance(console.file, io.StringIO)
    assert rows[0].load_id in console.file.getvalue()


def test_a_question_that_ends_a_sentence_ends_it(command: CommandLine, small: Small) -> None:
    small.write_calendar("calendar: {2017-12-10: [SP71]}\n")
    said = command.run("campaigns").stderr
    assert "no campaign has the key SP71; did you mean `SP17`? Correct the document" in said


def test_doctor_finds_four_systems_that_work(command: CommandLine, small: Small) -> None:
    done = command.run("doctor", "--json")
    found = json.loads(done.stdout)
    bad = [check for checks in found.values() for check in checks if not check["ok"]]
    assert (bad, done.returncode) == ([], 0)
    assert list(found) == ["registry", "source", "staging", "warehouse"]
    assert "SQLite 3." in found["source"][0]["detail"]
    assert "DuckDB v" in found["warehouse"][0]["detail"]
    assert str(small.home / "staging") in str(found["staging"])


def test_doctor_reads_the_ledger_of_raw_inputs_where_a_source_has_a_contract(
    command: CommandLine, small: Small
) -> None:
    (small.home / "contracts").mkdir()
    contract = "source: shops\nprimary_key: [shop]\ncolumns: {shop: {type: bigint}}\n"
    (small.home / "contracts" / "shops.yaml").write_text(contract, encoding="utf-8")
    (found,) = json.loads(command.run("doctor", "--json").stdout)["inputs"]
    assert (found["ok"], found["detail"]) == (True, "1 sources, 0 files loaded, 0 pending")
    (small.home / "text").write_text("This is no database.\n" * 99, encoding="utf-8")
    done = command.run("doctor", "--json", ETL_ASSETS_INPUTS=f"sqlite:///{small.home}/text")
    (found,) = json.loads(done.stdout)["inputs"]
    assert (done.returncode, found["ok"]) == (1, False)
    assert found["detail"].startswith("The ledger of inputs cannot be read")


@pytest.mark.parametrize(
    ("system", "variable", "url", "remedy"),
    [
        ("registry", "ETL_ASSETS_REGISTRY", "file:{}/gone", "Check ETL_ASSETS_REGISTRY"),
        ("source", "ETL_ASSETS_SOURCE", "sqlite:///{}/gone.sqlite", "Set ETL_ASSETS_SOURCE"),
        ("source", "ETL_ASSETS_SOURCE", "sqlite:///{}/text", "Check the file"),
        ("staging", "ETL_ASSETS_STAGING", "file:{}/text", "set ETL_ASSETS_STAGING"),
        ("warehouse", "ETL_ASSETS_WAREHOUSE", "duckdb:///{}/text", "Check that"),
        ("warehouse", "ETL_ASSETS_WAREHOUSE", "oracle://host/db", "Write duckdb:///FILE"),
    ],
)
def test_doctor_says_what_is_broken_and_what_to_do(
    command: CommandLine, small: Small, system: str, variable: str, url: str, remedy: str
) -> None:
    (small.home / "text").write_text("This is no database.\n" * 99, encoding="utf-8")
    done = command.run("doctor", "--json", **{variable: url.format(small.home)})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = json.loads(done.stdout)
    bad = {name: c for name, checks in found.items() for c in checks if not c["ok"]}
    assert list(bad) == [system]
    assert remedy in bad[system]["remedy"]


def test_doctor_asks_the_source_for_the_columns_of_every_dataset(
    command: CommandLine, small: Small
) -> None:
    (found,) = json.loads(command.run("doctor", "--json").stdout)["source"][1:]
    assert (found["name"], found["ok"], found["detail"]) == ("sales", True, "5 columns from sales")
    small.write_dataset(DATASET.replace("FROM sales", "FROM gone"))
    done = command.run("doctor", "--json")
    (found,) = json.loads(done.stdout)["source"][1:]
    assert (done.returncode, found["ok"], found["remedy"]) == (
        1,
        False,
        "Correct the dataset's query.",
    )
    assert "no such table: gone" in found["detail"]


def test_doctors_table_shows_the_remedy(command: CommandLine, small: Small) -> None:
    done = command.run("doctor", ETL_ASSETS_SOURCE=f"sqlite:///{small.home}/gone")
    assert done.returncode == 1
    assert "Set ETL_ASSETS_SOURCE, or make the sample" in done.stdout


def test_an_error_is_one_line_with_its_remedy(command: CommandLine, tmp_path: Path) -> None:
    done = command.run("campaigns", ETL_ASSETS_REGISTRY=f"file:{tmp_path}/[bold]a" + "/long" * 30)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: The registry")
    assert f"{tmp_path}/[bold]a/long/long" in line
    assert "`etl-assets demo --no-refresh` makes a sample registry." in line


def test_debug_shows_the_traceback(command: CommandLine, tmp_path: Path) -> None:
    done = command.run("--debug", "campaigns", ETL_ASSETS_REGISTRY=f"file:{tmp_path}/gone")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "RegistryError" in done.stderr


def test_an_unknown_key_is_refused_before_anything_runs(command: CommandLine) -> None:
    done = command.run("refresh", "--key", "SP17", "--key", "XX99")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "Error: Campaign XX99 is not in the registry."
        " Add it there, or choose a key that `etl-assets campaigns` lists."
    )
    assert json.loads(command.run("loads", "--json").stdout) == []


@pytest.mark.parametrize("arguments", [("refresh",), ("demo",), ("demo", "--no-refresh"), ("ui",)])
def test_an_unwritable_home_is_one_sentence(
    command: CommandLine, small: Small, arguments: tuple[str, ...]
) -> None:
    (small.home / "file").write_text("", encoding="utf-8")
    done = command.run(*arguments, ETL_ASSETS_HOME=str(small.home / "file"))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: The folder {small.home}/file/dagster cannot be written")
    assert line.endswith("or set ETL_ASSETS_HOME to another folder.")


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("ETL_ASSETS_KEEP_EXPIRED", "maybe", "ETL_ASSETS_KEEP_EXPIRED is 'maybe'."),
        ("ETL_ASSETS_SOURCE", "mysql://u:s3cr3t@h/d", "ETL_ASSETS_SOURCE carries a password"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    command: CommandLine, variable: str, text: str, sentence: str
) -> None:
    done = command.run("campaigns", **{variable: text})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {sentence}")
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("reload",), "No such command 'reload'"),
        (("campaigns", "--on", "2017-02-30"), "'2017-02-30' does not match the format"),
        (("loads", "--limit", "0"), "0 is not in the range"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    command: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    done = command.run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_nobody_expected_is_short_too_unless_debugging(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    debug: bool,  # noqa: FBT001
) -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError("a mistake of ours\nwith details")

    monkeypatch.setitem(cli.cli.commands, "broken", broken)
    monkeypatch.setattr("sys.argv", ["etl-assets", *(["--debug"] if debug else []), "broken"])
    with pytest.raises(ZeroDivisionError if debug else SystemExit) as caught:
        cli.main()
    if not debug:
        assert isinstance(caught.value, SystemExit)
        assert caught.value.code == 1
        assert capsys.readouterr().err == (
            "Error: ZeroDivisionError: a mistake of ours This was not expected.\n"
            "Run the command with --debug before its name, and report what it prints.\n"
        )
