"""`etl-assets lineage`, as people run it: the terminal, JSON, the page, and what is not there.

At risk: an answer that takes the source, Dagster, or a program that cannot read it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.small import DATASET, Small


@pytest.fixture
def command(small: Small) -> CommandLine:
    """The command line over a platform whose source cannot be read."""
    small.write_dataset(f"{DATASET}readers:\n  - {{name: weekly, kind: tableau}}\n")
    (small.home / "source.sqlite").unlink()
    return CommandLine.of(small)


def test_the_terminal_shows_both_ways_without_reading_a_record(command: CommandLine) -> None:
    done = command.run("lineage", "sold_on")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == """\
sold_on, table sales

Where it comes from
sold_on
└── sold_on  rule sold-on: CAST(sold_at AS DATE)
    └── sold_at  extract of sales
        └── sold_at  source table sales

What decides which records there are
  the query of sales sales.sold_at, :starts_at, :ends_before
  rule sold-on cannot compute `CAST(sold_at AS DATE)` as date: sold_at (of sales.sold_at) [checks]

What is made of it
sold_on
├── sold_on  view sales_by_campaign
│   └── weekly  reader
└── sold_on  view sales_deduplicated

What it reaches
  view sales_by_campaign: sold_on
  view sales_deduplicated: sold_on
  reader weekly
"""
    )


def test_one_way_can_be_asked_for_and_what_else_has_the_name_is_said(command: CommandLine) -> None:
    up, down = (command.run("lineage", "amount", way) for way in ("--up", "--down"))
    assert "Where it comes from" in up.stdout
    assert "What is made of it" not in up.stdout
    assert "What is made of it" in down.stdout
    assert "Where it comes from" not in down.stdout
    assert "extract/sales.amount, source/sales.amount, too" in up.stderr


def test_json_has_every_column_with_how(command: CommandLine) -> None:
    done = command.run("lineage", "source/sales.sold_at", "--json")
    (told,) = json.loads(done.stdout)["columns"]
    assert told["column"] == {"kind": "source", "place": "sales", "column": "sold_at"}
    ends = {(n["kind"], n["place"], n["column"]): n["how"] for n in told["downstream"]}
    assert ends["table", "sales", "sold_on"] == "value"
    assert ends["table", "sales", None] == "decides"
    assert told["upstream"] == []


def test_the_page_shows_both_ways_and_escapes_what_it_is_given(
    small: Small, command: CommandLine, tmp_path: Path
) -> None:
    small.write_rules(
        "version: 1\nrules:\n  - {id: tag, kind: derive, column: tag, type: text,"
        " expression: \"concat(note, '<script>x</script>')\"}\n"
    )
    page = tmp_path / "tag.html"
    done = command.run("lineage", "tag", "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    for part in ("Where it comes from", "What breaks if it changes", "source table sales", "weekly",
                 '<html lang="en">', 'name="viewport"', "prefers-color-scheme: dark"):  # fmt: skip
        assert part in text
    assert not re.search(r"\b(src|href)=\"(?!#)", text), "it needs something from elsewhere"
    assert text.count("<ul>") == text.count("</ul>")


def test_an_unknown_column_is_one_sentence(command: CommandLine) -> None:
    done = command.run("lineage", "amonut")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no column, table, rule or reader `amonut`")
    assert done.stderr.count("\n") == 1


def test_a_key_that_is_not_in_the_registry_is_said(command: CommandLine) -> None:
    done = command.run("lineage", "amount", "--key", "XX99")
    assert done.returncode == 1
    assert "Campaign XX99 is not in the registry" in done.stderr


def test_no_part_of_it_imports_dagster() -> None:
    code = (
        "import sys, etl_assets.commands.lineage, etl_assets.lineage_graph,"
        " etl_assets.display.lineage\nprint('dagster' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
