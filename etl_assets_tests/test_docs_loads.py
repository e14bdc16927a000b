"""The README's section on taking a load back: its commands, run on the sample as it tells to."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.test_docs import apply_example, our_pages, yaml_blocks

LOAD = r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}"
RULES = "var/registry/rules/campaign_sales.yaml"


def section(title: str) -> str:
    """Return what stands below a heading of the README."""
    found = re.search(
        rf"^## {title}\n(.*?)^## ", our_pages()["README.md"], re.MULTILINE | re.DOTALL
    )
    assert found
    return found[1]


def sessions(text: str) -> list[tuple[list[str], list[str]]]:
    """Return the commands of a section's terminal, each with the lines that it prints."""
    found: list[tuple[list[str], list[str]]] = []
    for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ .venv/bin/etl-assets "):
                found.append((shlex.split(line)[2:], []))
            elif line:
                found[-1][1].append(line)
    return found


def plain(line: str) -> str:
    """Return a line without what differs from one day to the next."""
    for pattern, word in (
        (LOAD, "LOAD"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d", "MOMENT"),
        (r"\(\d+\.\d s\)", "(SECONDS)"),
        (r"  +", "  "),
    ):
        line = re.sub(pattern, word, line)
    return line.strip()


@pytest.fixture
def command(sample_home: Path, tmp_path: Path) -> CommandLine:
    """The command line over the sample, where CJ15 was loaded before and after the rule."""
    home = tmp_path / "home"
    shutil.copytree(sample_home / "registry", home / "registry")
    made = CommandLine(home, {"ETL_ASSETS_SOURCE": f"sqlite:///{sample_home}/source.sqlite"})
    assert made.run("refresh", "--key", "CJ15").returncode == 0
    (rule,) = [text for name, text in yaml_blocks(our_pages()["README.md"]) if name == RULES]
    apply_example(home / Path(RULES).relative_to("var"), rule)
    assert made.run("refresh", "--key", "CJ15").returncode == 0
    return made


def test_the_commands_that_take_a_load_back_print_what_the_readme_shows(
    command: CommandLine,
) -> None:
    written = sessions(section("Take a load back"))
    assert [words[0] for words, _ in written] == ["loads", "refresh", "loads"]
    shown = command.run("loads", "--key", "CJ15", "--dataset", "campaign_sales").stdout
    loads = dict(zip(("v2", "v1"), re.findall(rf"^{LOAD}", shown, re.MULTILINE), strict=True))
    for words, lines in written:
        there = [loads["v1"] if re.fullmatch(LOAD, word) else word for word in words]
        done = command.run(*there)
        assert done.returncode == 0, done.stderr
        printed = [plain(line) for line in (done.stdout + done.stderr).splitlines()]
        assert [line for line in lines if plain(line) not in printed] == []
        said = [
            line.split()[1] for line in done.stdout.splitlines() if re.match("before|after", line)
        ]
        if said:
            assert said == [loads["v2"], loads["v1"]]
