"""The commands on versions of rules as their users run them, on both registries.

At risk: a rule that counts though nobody said yes, and an author whose change is gone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from etl_assets.cli import cli
from etl_assets.core.rules.schema import rule_set_schema
from etl_assets.registry_sync import push
from etl_assets.settings import Settings
from etl_assets.systems.registry_dynamodb import DynamoDBRegistry
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.small import Small
from etl_assets_tests.systems.registry_writes import AT

RULES = "# why\r\nversion: 1\r\ncomment: First [red].\r\nrules: []  # grün\r\n"
EDITED = RULES.replace("[]  # grün", "[{id: some, kind: filter, keep: quantity > 0}]")


@pytest.fixture
def command(small: Small) -> CommandLine:
    """The command line over a registry whose version 1 was written by hand."""
    (small.home / "registry" / "rules").mkdir()
    (small.home / "registry" / "rules" / "sales.yaml").write_bytes(RULES.encode())
    return CommandLine.of(small)


def edit(command: CommandLine, text: str = EDITED) -> str:
    """Write the file that is to be published; return its name."""
    file = command.home / "sales.yaml"
    file.write_bytes(text.encode())
    return str(file)


def publish(
    command: CommandLine, *more: str, text: str = EDITED
) -> subprocess.CompletedProcess[str]:
    arguments = ("rules", "publish", edit(command, text), "--comment", "Only [bold] ß.")
    return command.run(*arguments, *more)


def history(command: CommandLine) -> list[tuple[int, str | None, bool]]:
    rows = json.loads(command.run("rules", "history", "sales", "--json").stdout)
    return [(row["version"], row["by"], row["current"]) for row in rows]


def test_what_is_shown_is_the_text_itself(command: CommandLine) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "etl_assets.cli", "rules", "show", "sales"],
        env=command.environment(), capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout == RULES.encode()


def test_an_edit_is_published_listed_compared_and_taken_back(command: CommandLine) -> None:
    done = publish(command, "--yes", "--by", "Anna Ä")
    assert done.returncode == 0, done.stderr
    assert "-rules: []  # grün" in done.stdout
    assert "+rules: [{id: some, kind: filter, keep: quantity > 0}]" in done.stdout
    assert done.stderr == "Version 2 of the rules of sales counts, by Anna Ä.\n"
    shown = command.run("rules", "history", "sales").stdout.splitlines()
    assert shown[2].split()[:2] == ["2", "current"]
    assert "Anna Ä" in shown[2]
    assert "Only [bold] ß." in shown[2]
    assert "by hand" in shown[3]
    assert "First [red]." in shown[3]
    difference = command.run("rules", "diff", "sales", "2", "1").stdout
    assert difference.startswith("--- version 2, published by Anna Ä at ")
    assert "-rules: [{id: some" in difference
    taken = command.run("rules", "rollback", "sales", "1", "--comment", "Back.", "--yes")
    assert taken.returncode == 0, taken.stderr
    assert "Version 3 of the rules of sales will say what version 1 said.\n" in taken.stdout
    assert history(command)[0][::2] == (3, True)
    assert [row[0] for row in history(command)] == [3, 2, 1]
    assert command.run("rules", "show", "sales", "--version", "1").stdout == RULES.replace("\r", "")
    current = Settings(home=command.home, datasets_folder=command.home / "datasets")
    read = current.open_registry().read().rule_sets["sales"]
    assert (read.version, read.comment, read.rules) == (3, "Back.", ())


def test_the_same_commands_work_on_dynamodb(
    dynamodb_registry: DynamoDBRegistry, command: CommandLine
) -> None:
    push(dynamodb_registry, command.home / "registry", by="anna", at=AT)
    place = dynamodb_registry.place
    url = f"dynamodb://{place.name}?region={place.region}&endpoint_url={place.endpoint_url}"
    environment = {**command.environment(), "ETL_ASSETS_REGISTRY": url}

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["rules", *arguments], env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    assert run("show", "sales") == RULES.replace("\r", "")  # as click's runner reads
    run("publish", edit(command), "--comment", "More.", "--by", "bert", "--yes")
    run("rollback", "sales", "1", "--comment", "Back.", "--by", "carl", "--yes")
    rows = json.loads(run("history", "sales", "--json"))
    assert [(row["version"], row["by"], row["comment"], row["current"]) for row in rows] == [
        (3, "carl", "Back.", True), (2, "bert", "More.", False), (1, "anna", "First [red].", False),
    ]  # fmt: skip
    assert rows[0]["digest"] == rows[2]["digest"] != rows[1]["digest"]
    assert "+rules: [{id: some" in run("diff", "sales", "1", "2")


@pytest.mark.parametrize(("answer", "last"), [("n", 1), ("", 1), ("y", 2)])
def test_a_person_is_asked_after_what_changes_was_shown(
    command: CommandLine, answer: str, last: int
) -> None:
    """Through a terminal, as a person would: what is not a terminal is not asked."""
    ours, theirs = os.openpty()
    arguments = ("rules", "publish", edit(command), "--comment", "More.")
    with subprocess.Popen(
        [sys.executable, "-m", "etl_assets.cli", *arguments],
        env=command.environment(), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        os.write(ours, f"{answer}\n".encode())
        shown, _ = process.communicate()
    os.close(ours)
    os.close(theirs)
    assert shown.index("+rules: [{id: some") < shown.index("Publish it as version 2? [y/N]")
    assert (process.returncode, history(command)[0][0]) == (0 if last == 2 else 1, last)


def test_of_several_processes_that_publish_at_once_one_wins(command: CommandLine) -> None:
    names = ("anna", "bert", "carl")
    running = []
    for name in names:
        file = command.home / name / "sales.yaml"
        file.parent.mkdir()
        file.write_text(f"# {name}\n{EDITED}", encoding="utf-8")
        arguments = ("rules", "publish", str(file), "--comment", "So.", "--by", name)
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "etl_assets.cli", *arguments, "--yes"],
                env=command.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True,
            )
        )  # fmt: skip
    said = [process.communicate()[1] for process in running]
    codes = [process.returncode for process in running]
    assert sorted(codes) == [0, 1, 1]
    winner = names[codes.index(0)]
    lost = [text for text, code in zip(said, codes, strict=True) if code]
    assert all(f"version 2 counts, published by {winner}" in text for text in lost)
    assert history(command) == [(2, winner, True), (1, None, False)]


def test_an_edit_that_began_with_an_older_version_is_told_of_the_other(
    command: CommandLine,
) -> None:
    publish(command, "--yes", "--by", "anna")
    done = publish(command, "--yes", text=EDITED.replace("> 0", "> 1"))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "began with version 1, and by now version 2 counts, published by anna at" in line
    assert "(Only [bold] ß.)" in line
    assert "begin again with `etl-assets rules show sales`" in line


def test_what_was_published_is_told_as_json(command: CommandLine) -> None:
    done = publish(command, "--yes", "--json", "--by", "anna")
    told = json.loads(done.stdout)
    assert (told["dataset"], told["version"], told["current"]) == ("sales", 2, True)
    assert (told["by"], told["comment"], told["problem"]) == ("anna", "Only [bold] ß.", None)
    assert len(told["digest"]) == 64
    assert told["at"].endswith("+00:00")


def test_without_rules_in_the_registry_an_edit_begins_with_the_datasets_own(
    small: Small,
) -> None:
    command = CommandLine.of(small)
    text = command.run("rules", "show", "sales").stdout
    assert text.startswith("version: 0\n")
    assert "id: sold-on" in text
    assert (
        "The rules in the document of sales count"
        in command.run("rules", "history", "sales").stderr
    )
    done = publish(command, "--yes", text=text.replace("AS DATE", "AS  DATE"))
    assert done.returncode == 0, done.stderr
    assert "--- version 0, written by hand (The rules of the dataset's document.)" in done.stdout
    taken = command.run("rules", "rollback", "sales", "0", "--comment", "Back.", "--yes")
    assert taken.returncode == 0, taken.stderr
    assert "AS DATE" in command.run("rules", "show", "sales").stdout
    assert [row[0] for row in history(command)] == [2, 1]


def test_a_history_shows_what_is_wrong_with_a_version(command: CommandLine) -> None:
    publish(command, "--yes")
    kept = command.home / "registry" / "rules" / "history" / "sales" / "v000001.yaml"
    kept.write_text(kept.read_text(encoding="utf-8").replace("rules:", "rule:"), encoding="utf-8")
    rows = json.loads(command.run("rules", "history", "sales", "--json").stdout)
    assert rows[1]["digest"] is None
    assert "did you mean `rules`" in rows[1]["problem"]
    assert "did you mean `rules`" in " ".join(
        command.run("rules", "history", "sales").stdout.split()
    )
    done = command.run("rules", "rollback", "sales", "1", "--comment", "Back.", "--yes")
    assert "is not valid" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            EDITED.replace("keep:", "kep:"),
            "sales.yaml is not valid: line 4: `rules.0.keep` is missing",
        ),
        ("rules: [", "sales.yaml is not valid: line "),
        ("", "sales.yaml is not valid"),
    ],
)
def test_a_file_that_is_not_valid_is_named_with_its_line(
    command: CommandLine, text: str, said: str
) -> None:
    done = publish(command, "--yes", text=text)
    assert done.returncode == 1
    assert said in done.stderr
    assert history(command) == [(1, None, True)]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "sale"), 1, "There is no dataset sale; did you mean `sales`? The datasets are"),
        (("show", "sales", "--version", "7"), 1, "There is no version 7 of the rules of sales"),
        (("diff", "sales", "1", "7"), 1, "There is no version 7 of the rules of sales"),
        (("rollback", "sales", "7", "--comment", "x"), 1, "There is no version 7"),
        (("rollback", "sales", "1"), 2, "Missing option '--comment'"),
        (("rollback", "sales", "1", "--comment", " "), 2, "say why, in a sentence"),
        (("publish", "gone.yaml", "--comment", "x"), 2, "does not exist"),
        (("publish", "sales.yaml", "--comment", "x"), 1, "it is not UTF-8 text"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    command: CommandLine, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "sales.yaml").write_bytes(EDITED.encode("utf-8").replace(b"why", b"gr\xfcn"))
    done = command.run("rules", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_version_twice_says_the_same(command: CommandLine) -> None:
    assert command.run("rules", "diff", "sales", "1", "1").stdout == (
        "Versions 1 and 1 say the same.\n"
    )


def test_the_schema_is_printed_as_json(command: CommandLine) -> None:
    assert json.loads(command.run("rules", "schema").stdout) == rule_set_schema()
