"""What README and docs say is compared with the code, so that they cannot rot.

Each comparison is a function from the documents to the list of what is wrong in them. One
test holds our documents to it; another plants a fault and sees it found.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import click
import pytest

from etl_assets.cli import cli
from etl_assets.core.columns import TYPES
from etl_assets.core.rules.expressions import FUNCTIONS
from etl_assets.core.rules.kinds import Rule
from etl_assets.core.rules.schema import rule_set_schema
from etl_assets.settings import VARIABLES

ROOT = Path(__file__).parent.parent
SETTINGS = "docs/reference/settings.md"
Pages = Mapping[str, str]
"""Path below the root: text."""


def our_pages() -> Pages:
    """Return README, change log and everything below docs."""
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return {str(f.relative_to(ROOT)): f.read_text(encoding="utf-8") for f in files}


def code_pieces(text: str) -> Iterator[str]:
    """Yield what is set as code: lines of fenced blocks, and spans within lines."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


def wrong_make_targets(pages: Pages, makefile: str) -> list[str]:
    """Return `make` targets that are named but do not exist."""
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {
        found
        for text in pages.values()
        for piece in code_pieces(text)
        for found in re.findall(r"\bmake ((?!it\b)[a-z]+)", piece)
    }
    return sorted(named - targets)


def wrong_commands(pages: Pages, root: click.Command) -> list[str]:
    """Return `etl-assets` commands and options that are named but do not exist."""
    return [
        problem
        for text in pages.values()
        for piece in code_pieces(text)
        for call in re.findall(r"\betl-assets ([^`\n]+)", piece)
        for problem in _wrong_call(call, root)
    ]


def _wrong_call(call: str, root: click.Command) -> list[str]:
    words = shlex.split(call.partition(" #")[0].replace("[", " ").replace("]", " "))
    named = [word for word in words if word.startswith("--")]
    command = words[0]
    group = commands_of_group(root).get(command)
    if isinstance(group, click.Group) and len(words) == 1:
        return []  # the group as such
    if isinstance(group, click.Group) and not (
        group.invoke_without_command and words[1].startswith("--")
    ):
        command = " ".join(words[:2])
    known = set(_options(root))
    if command in commands_of(root):
        known |= set(_options(commands_of(root)[command]))
    elif not command.startswith("--") and command != "COMMAND":
        return [f"etl-assets {command}"]
    return [f"etl-assets {command} {option}" for option in named if option not in known]


def commands_of(root: click.Command) -> Mapping[str, click.Command]:
    """Return the commands of a group, those of a group in it by both names."""
    found: dict[str, click.Command] = {}
    for name, command in commands_of_group(root).items():
        inner = commands_of_group(command)
        found |= {f"{name} {inside}": made for inside, made in inner.items()}
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[name] = command
    return found


def commands_of_group(root: click.Command) -> Mapping[str, click.Command]:
    """Return the commands directly in a group."""
    return root.commands if isinstance(root, click.Group) else {}


def _options(command: click.Command) -> list[str]:
    return [o for p in command.params for o in p.opts if o.startswith("--")] + ["--help"]


def wrong_variables(pages: Pages) -> list[str]:
    """Return environment variables named that do not exist, or that the reference leaves out."""
    named = {v for text in pages.values() for v in re.findall(r"\bETL_ASSETS_[A-Z_]+", text)}
    in_table = set(re.findall(r"^\| `(ETL_ASSETS_[A-Z_]+)`", pages[SETTINGS], re.MULTILINE))
    return sorted((named - {*VARIABLES.values()}) | ({*VARIABLES.values()} - in_table))


def broken_links(pages: Pages, root: Path) -> list[str]:
    """Return relative links and images whose file or heading does not exist."""
    broken = []
    for page, text in pages.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (root / page).parent / path if path else root / page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append(f"{page}: {target}")
    return broken


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def missing_files(pages: Pages, root: Path) -> list[str]:
    """Return modules that are named but do not exist."""
    named = {
        piece
        for text in pages.values()
        for piece in code_pieces(text)
        if re.fullmatch(r"[\w/]+\.py", piece)
    }
    places = (root, root / "etl_assets", root / "etl_assets" / "systems")
    return sorted(name for name in named if not any((place / name).exists() for place in places))


def missing_rule_kinds(page: str) -> list[str]:
    """Return rule kinds without a row in the page's table."""
    kinds = [get_args(m.model_fields["kind"].annotation)[0] for m in get_args(get_args(Rule)[0])]
    return [kind for kind in kinds if f"\n| `{kind}` |" not in page]


def wrong_type_rows(architecture: str) -> list[str]:
    """Return types whose row in the documented table is not what the code's table says."""
    wrong = []
    for name, row in TYPES.items():
        arguments = {0: "", 1: "(n)", 2: "(p,s)"}[row.arguments]
        cells = [name + arguments, row.arrow, row.duckdb, row.redshift]
        wanted = "| " + " | ".join(f"`{cell}`" for cell in cells) + " |"
        if wanted.format(p="p", s="s", n="n", n4="4n") not in architecture:
            wrong.append(name)
    return wrong


def wrong_functions(rules: str) -> list[str]:
    """Return functions that the list of the page and that of the code do not share."""
    listed = re.search(r"and these functions:\s+<!-- functions -->\n([^<]+)<", rules)
    named = set(re.findall(r"`(\w+)`", listed[1])) if listed else set()
    return sorted(named ^ FUNCTIONS.keys())


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert wrong_make_targets(our_pages(), makefile) == []
    assert wrong_make_targets({"a": "Run `make demo` or `make dmo`."}, makefile) == ["dmo"]
    assert wrong_make_targets({"a": "```\nmake tst   # tests\n```"}, makefile) == ["tst"]


def test_every_command_and_option_that_is_named_exists() -> None:
    assert wrong_commands(our_pages(), cli) == []


@pytest.mark.parametrize(
    ("piece", "problem"),
    [
        ("etl-assets refesh --key CJ15", "etl-assets refesh"),
        ("etl-assets refresh --keys CJ15", "etl-assets refresh --keys"),
        ("etl-assets campaigns [--on DATE] [--jsn]", "etl-assets campaigns --jsn"),
        ("$ .venv/bin/etl-assets --verbose loads", "etl-assets --verbose --verbose"),
    ],
)
def test_a_command_or_option_that_does_not_exist_is_found(piece: str, problem: str) -> None:
    assert wrong_commands({"a": f"Try `{piece}`."}, cli) == [problem]


def test_the_environment_variables_are_those_of_the_settings() -> None:
    pages = our_pages()
    assert wrong_variables(pages) == []
    invented = {**pages, "docs/new.md": "Set ETL_ASSETS_COLOUR."}
    assert wrong_variables(invented) == ["ETL_ASSETS_COLOUR"]
    forgotten = {**pages, SETTINGS: pages[SETTINGS].replace("| `ETL_ASSETS_HOME`", "| ")}
    assert wrong_variables(forgotten) == ["ETL_ASSETS_HOME"]


def test_every_relative_link_and_image_leads_somewhere() -> None:
    assert broken_links(our_pages(), ROOT) == []
    planted = {"docs/a.md": "[a](../README.md) [b](b.md) ![c](images/c.png) [d](../README.md#nix)"}
    assert broken_links(planted, ROOT) == [
        "docs/a.md: b.md",
        "docs/a.md: images/c.png",
        "docs/a.md: ../README.md#nix",
    ]


def test_every_module_that_is_named_exists() -> None:
    assert missing_files(our_pages(), ROOT) == []
    assert missing_files({"a": "See `core/sql.py` and `core/sequel.py`."}, ROOT) == [
        "core/sequel.py"
    ]


def test_the_schema_for_editors_is_that_of_the_models() -> None:
    """When it is not: `etl-assets rules schema > docs/rules.schema.json`."""
    written = json.loads((ROOT / "docs" / "rules.schema.json").read_text(encoding="utf-8"))
    assert written == rule_set_schema()
    del written["$defs"]["Cast"]["properties"]["on_error"]
    assert written != rule_set_schema()


def test_every_kind_of_rule_has_a_row_in_its_table() -> None:
    page = our_pages()["docs/rules.md"]
    assert missing_rule_kinds(page) == []
    assert missing_rule_kinds(page.replace("| `cast` |", "| |")) == ["cast"]


def test_the_documented_types_are_those_of_the_type_table() -> None:
    page = our_pages()["docs/architecture.md"]
    assert wrong_type_rows(page) == []
    assert wrong_type_rows(page.replace("`NUMERIC(p,s)`", "`DECIMAL(p,s)`")) == ["decimal"]


def test_the_documented_functions_are_those_that_rules_may_call() -> None:
    page = our_pages()["docs/rules.md"]
    assert wrong_functions(page) == []
    assert wrong_functions(page.replace("`abs`", "`absolute`")) == ["abs", "absolute"]
