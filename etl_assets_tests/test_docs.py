"""What README and docs say is compared with the code, so that they cannot rot.

Each comparison is a function from the documents to the list of what is wrong in them. One
test holds our documents to it; another plants a fault and sees it found.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import click
import pytest

from etl_assets.cli import cli
from etl_assets.core.columns import TYPES
from etl_assets.core.datasets import parse_dataset
from etl_assets.core.documents import Document
from etl_assets.core.errors import EtlError
from etl_assets.core.registry import parse_campaigns, parse_entries
from etl_assets.core.rules.expressions import FUNCTIONS
from etl_assets.core.rules.kinds import Rule
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.schema import rule_set_schema
from etl_assets.home import open_instance
from etl_assets.refresh import Refresh
from etl_assets.settings import PACKAGED_DATASETS, VARIABLES, Settings

ROOT = Path(__file__).parent.parent
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


def yaml_blocks(text: str) -> list[tuple[str, str]]:
    """Return the YAML examples: the file their first line names, and the text."""
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return [(block.partition("\n")[0].removeprefix("# "), block) for block in blocks]


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


def missing_commands(readme: str, root: click.Command) -> list[str]:
    """Return commands and options that the README's table leaves out."""
    missing = []
    for name, command in commands_of(root).items():
        row = re.search(rf"^\| `etl-assets {name}\b[^|]*", readme, re.MULTILINE)
        options = [o for o in _options(command) if o != "--help"]
        if row is None:
            missing.append(name)
        else:
            missing += [f"{name} {o}" for o in options if not re.search(rf"{o}\b", row[0])]
    return missing


def wrong_variables(pages: Pages) -> list[str]:
    """Return environment variables named that do not exist, or that README leaves out."""
    named = {v for text in pages.values() for v in re.findall(r"\bETL_ASSETS_[A-Z_]+", text)}
    in_table = set(re.findall(r"^\| `(ETL_ASSETS_[A-Z_]+)`", pages["README.md"], re.MULTILINE))
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


def missing_rule_kinds(readme: str) -> list[str]:
    """Return rule kinds without a row in the README's table."""
    kinds = [get_args(m.model_fields["kind"].annotation)[0] for m in get_args(get_args(Rule)[0])]
    return [kind for kind in kinds if f"\n| `{kind}` |" not in readme]


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


def wrong_examples(readme: str) -> list[str]:
    """Return what the real parsers say against the YAML examples."""
    wrong = []
    for name, text in yaml_blocks(readme):
        try:
            wrong += _parse_example(name, text)
        except EtlError as error:
            wrong.append(f"{name}: {error}")
    return wrong


def _parse_example(name: str, text: str) -> list[str]:
    """Parse one example as what its file name says; return what is wrong short of an error."""
    if name.startswith("etl_assets/datasets/"):
        dataset = parse_dataset(text, name)
        return [] if dataset.name == Path(name).stem else [f"{name} has {dataset.name}"]
    document = Document(text, name)
    if name.endswith("registry/campaigns.yaml"):
        _, problems = parse_campaigns(document, [p.stem for p in PACKAGED_DATASETS.glob("*.yaml")])
        return [f"{name}: {problem}" for problem in problems.values()]
    if name.endswith("registry/calendar.yaml"):
        parse_entries(document, [f"CJ{n:02}" for n in range(1, 28)])
        return []
    if "registry/rules/" in name:
        document.validate(RuleSet, document.data)
        return []
    return [f"{name!r} is no file that an example can be of"]


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


def test_every_command_and_option_is_in_the_table_of_the_readme() -> None:
    readme = our_pages()["README.md"]
    assert missing_commands(readme, cli) == []
    assert missing_commands(readme.replace("[--force] ", "", 1), cli) == ["refresh --force"]
    assert missing_commands(readme.replace("| `etl-assets doctor", "| `"), cli) == ["doctor"]


def test_the_environment_variables_are_those_of_the_settings() -> None:
    pages = our_pages()
    assert wrong_variables(pages) == []
    invented = {**pages, "docs/new.md": "Set ETL_ASSETS_COLOUR."}
    assert wrong_variables(invented) == ["ETL_ASSETS_COLOUR"]
    forgotten = {**pages, "README.md": pages["README.md"].replace("| `ETL_ASSETS_HOME`", "| ")}
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


def test_every_kind_of_rule_has_a_row_in_the_readme() -> None:
    readme = our_pages()["README.md"]
    assert missing_rule_kinds(readme) == []
    assert missing_rule_kinds(readme.replace("| `cast` |", "| |")) == ["cast"]


def test_the_documented_types_are_those_of_the_type_table() -> None:
    page = our_pages()["docs/architecture.md"]
    assert wrong_type_rows(page) == []
    assert wrong_type_rows(page.replace("`NUMERIC(p,s)`", "`DECIMAL(p,s)`")) == ["decimal"]


def test_the_documented_functions_are_those_that_rules_may_call() -> None:
    page = our_pages()["docs/rules.md"]
    assert wrong_functions(page) == []
    assert wrong_functions(page.replace("`abs`", "`absolute`")) == ["abs", "absolute"]


def test_the_examples_of_the_readme_parse() -> None:
    readme = our_pages()["README.md"]
    assert len(yaml_blocks(readme)) == 4
    assert wrong_examples(readme) == []


@pytest.mark.parametrize(
    ("right", "wrong", "found"),
    [
        ("start: 2017-08-01", "start: 2017-02-30", "is not a date that exists"),
        ("  2017-12-26: [CJ15, CJ18]", "  2017-12-26: [CJ51]", "no campaign has the key CJ51"),
        ("kind: derive", "kind: drive", "var/registry/rules/campaign_sales.yaml"),
        ("primary_key: [coupon_upc", "primary_kee: [coupon_upc", "did you mean `primary_key`"),
        ("dataset: campaign_coupons", "dataset: coupons", "has coupons"),
        ("# var/registry/calendar.yaml", "# calendar", "no file that an example can be of"),
    ],
)
def test_an_example_that_does_not_parse_is_found(right: str, wrong: str, found: str) -> None:
    readme = our_pages()["README.md"]
    assert right in readme
    problems = wrong_examples(readme.replace(right, wrong))
    assert len(problems) == 1
    assert found in problems[0]


def test_the_examples_of_the_readme_do_what_it_says(settings: Settings, tmp_path: Path) -> None:
    """The three worked examples, applied to the sample as the README tells to."""
    readme = our_pages()["README.md"]
    datasets = tmp_path / "datasets"
    shutil.copytree(PACKAGED_DATASETS, datasets)
    for name, text in yaml_blocks(readme):
        if name.startswith("etl_assets/datasets/"):
            (datasets / Path(name).name).write_text(text, encoding="utf-8")
        elif not name.endswith("calendar.yaml"):
            apply_example(settings.home / Path(name).relative_to("var"), text)
    settings = Settings(
        home=settings.home, source_url=settings.source_url, datasets_folder=datasets
    )
    with open_instance(settings) as instance:
        refreshed = Refresh(settings, instance).run(["BTS17", "CJ15", "CJ18"])
        loaded = {(r.key, r.dataset): r.loaded_records for key in refreshed for r in key}
    for (key, dataset), shown in {
        ("BTS17", "campaign_sales"): r"BTS17: campaign_sales loaded ([\d,]+)",
        ("CJ18", "campaign_coupons"): r"CJ18: campaign_coupons loaded ([\d,]+)",
        ("CJ15", "campaign_sales"): r"CJ15: [^\n]* campaign_sales loaded ([\d,]+) \(2.5 s\)",
    }.items():
        (count,) = re.findall(shown, readme)
        assert loaded[key, dataset] == int(count.replace(",", ""))
    assert f"{_discounted(settings):,} of the 4,169 records have `discounted` true" in readme


def apply_example(file: Path, example: str) -> None:
    """Write an example over a document: its scalars win, the items of its list are appended."""
    text = file.read_text(encoding="utf-8")
    before, items = re.split(r"^ +# … the .+ that are there\n", example, flags=re.MULTILINE)
    for line in before.splitlines():
        field, _, value = line.partition(":")
        if value and not line.startswith("#"):
            text = re.sub(rf"^{field}:.*$", line, text, flags=re.MULTILINE)
    file.write_text(text + items, encoding="utf-8")


def _discounted(settings: Settings) -> int:
    import duckdb

    file = settings.warehouse_url.removeprefix("duckdb:///")
    with duckdb.connect(file, read_only=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM campaign_sales WHERE campaign_key = 'CJ15' AND discounted"
        ).fetchone()
    return int(row[0]) if row else 0
