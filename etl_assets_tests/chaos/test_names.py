"""No name, key, rule or argument may reach beyond its path, its statement or its table.

Expressions and the texts of rules have fences of their own (`core/test_expression_fence.py`,
`core/test_rule_fence.py`), as has the key (`core/test_campaigns.py`). Here hostile texts stand
in every place of the documents, and in every argument of the command line; then what lies
beside the platform and what readers see is compared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from etl_assets.cli import cli
from etl_assets.core.datasets import parse_dataset
from etl_assets.core.errors import EtlError
from etl_assets.systems.registry_files import FileRegistry
from etl_assets_tests.chain import Chain
from etl_assets_tests.chaos.figures import Figures
from etl_assets_tests.dagster_fixtures import load
from etl_assets_tests.small import CAMPAIGNS, COUNTS, DATASET, Small

PIECES = [
    "..", "/", "\\", "../../beside", "/etc/x", "~", "%2e%2e", "'", '"', "`", "''", ";", "--", "/*",
    "\0", "\n", "\r", "\t", " ", "%s", "%(a)s", "{}", "{0}", "${HOME}", "$(id)", "`id`", ":key", "?",
    "sales", "SP17", "a", "A", "_", "-", "1", "loads", "etl_assets", "DROP TABLE sales", "OR 1=1",
    "\u0430", "\uff53ales", "\u2215", "\uff0e\uff0e", "\u202e", "\u200b", "\u2028", "e\u0301", "\u0131", "ß", "[bold]", "[/]", "*", "&a", "!!python/name:os.system",
    "{{ 7*7 }}", "\ud83d\ude00", "CON", "a" * 70, "#", "@file", "-h", "--force", "=", "|", "\x1b[31m",
]  # fmt: skip
hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join), st.text(max_size=12)
).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))
argument = hostile.filter(lambda text: "\0" not in text)
"""What a process can be given as an argument: its system ends them with that character."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
DATASET_PLACES = ("dataset", "table", "primary_key", "distribution_key", "sort_keys", "columns",
                  "owner", "rule id", "rule column", "map value", "comment", "reporting", "unknown field")  # fmt: skip


@dataclass(frozen=True)
class Guarded:
    """A loaded platform beside which something lies that nobody may touch."""

    small: Small
    folder: Path

    def state(self) -> tuple[object, ...]:
        """Return what lies beside the platform, what it holds, and what readers see."""
        with duckdb.connect(str(self.small.home / "warehouse.duckdb")) as connection:
            tables = connection.execute(
                "SELECT schema_name, table_name, estimated_size FROM duckdb_tables() ORDER BY ALL"
            ).fetchall()
            rows = connection.execute(
                "SELECT campaign_key, count(*), sum(amount) FROM sales GROUP BY 1 ORDER BY 1"
            ).fetchall()
        beside = {
            str(path): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and self.small.home not in path.parents
        }
        return tables, rows, beside, sorted(p.name for p in self.folder.iterdir())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A platform with SP17 and SU17 loaded; commands of this process find it."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "beside").write_text("untouched", encoding="utf-8")
    small = Small(folder / "deep" / "home").build()
    load(small.settings(), "SP17", "SU17")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ETL_ASSETS_HOME", str(small.home))
        patch.setenv("ETL_ASSETS_DATASETS", str(small.home / "datasets"))
        patch.chdir(folder / "deep")
        yield Guarded(small, folder)


def many(*, long_form: bool, long: int) -> examples:
    """Return how many examples are tried."""
    return examples(
        max_examples=long if long_form else 25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def planted_dataset(place: str, text: str) -> dict[str, Any]:
    """Return the document of the dataset `sales` with a text in a place."""
    document: dict[str, Any] = yaml.safe_load(DATASET)
    rules: list[dict[str, Any]] = document["rules"]
    match place:
        case "primary_key" | "sort_keys":
            document[place] = [text]
        case "columns":
            document["columns"] = {text: {"comment": "x"}}
        case "rule id":
            rules[0]["id"] = text
        case "rule column":
            rules[0]["column"] = text
        case "map value":
            rules.append({"id": "m", "kind": "map", "column": "note", "values": {text: text},
                          "unmapped": "keep", "idempotent": False})  # fmt: skip
        case "comment":
            rules[0]["comment"] = text
            document["columns"] = {"note": {"comment": text}}
        case "reporting":
            document["reporting"] = {"day": "sold_on", "measures": [text]}
        case "unknown field":
            document[text] = text
        case _:
            document[place] = text
    return document


def test_a_dataset_with_any_text_is_refused_or_stays_in_its_table(
    guarded: Guarded, figures: Figures, *, long_form: bool
) -> None:
    @many(long_form=long_form, long=1500)
    @given(st.sampled_from(DATASET_PLACES), hostile)
    @example("table", "sales; DROP TABLE sales")
    @example("dataset", "../sales")
    @example("comment", "'; DROP TABLE sales; --")
    @example("rule column", 'a"b')
    @example("reporting", 'a"b')
    def check(place: str, text: str) -> None:
        figures.add("hostile texts in documents")
        document = yaml.safe_dump(planted_dataset(place, text), allow_unicode=True)
        try:
            made = parse_dataset(document, "sales.yaml")
        except EtlError:
            return
        names = [made.name, made.table, *made.primary_key, *made.sort_keys, *made.columns]
        names += made.reporting.columns if made.reporting else ()
        assert all(NAME.fullmatch(name) for name in names), names
        if (made.name, made.table) != ("sales", "sales"):
            return  # a table of its own
        before = guarded.state()
        guarded.small.write_dataset(document)
        try:
            Chain(guarded.small.settings()).stage("SP17")
        except EtlError:
            pass
        finally:
            guarded.small.write_dataset(DATASET)
        assert guarded.state() == before

    check()


def test_a_registry_with_any_text_names_nothing_that_is_no_name(
    guarded: Guarded, tmp_path: Path, figures: Figures, *, long_form: bool
) -> None:
    folder, before = tmp_path / "registry", guarded.state()
    (folder / "rules").mkdir(parents=True)
    rules = yaml.safe_load(DATASET)["rules"]

    @many(long_form=long_form, long=1500)
    @given(
        st.sampled_from(("key", "datasets", "parameter", "override", "calendar", "zone")), hostile
    )
    @example("key", "../../beside")
    @example("override", "SP17'; --")
    def check(place: str, text: str) -> None:
        figures.add("hostile texts in documents")
        campaigns = yaml.safe_load(CAMPAIGNS)["campaigns"]
        first: dict[str, Any] = campaigns[0]
        rule_set: dict[str, Any] = {"version": 1, "rules": rules}
        calendar: dict[str, Any] = {"2017-04-01": ["SP17"]}
        match place:
            case "key":
                first["key"] = text
            case "datasets":
                first["datasets"] = [text]
            case "parameter":
                first["parameters"] = {text: text}
            case "override":
                rule_set["overrides"] = {text: {"disable": ["sold-on"]}}
            case "calendar":
                calendar["2017-04-02"] = [text]
            case _:
                first["time_zone"] = text
        for name, document in (("campaigns", {"campaigns": campaigns}),
                               ("calendar", {"calendar": calendar}),
                               ("rules/sales", rule_set)):  # fmt: skip
            file = folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        try:
            read = FileRegistry(folder, ["sales"]).read()
        except EtlError:
            return
        keys = [*read.campaigns, *(key for entry in read.entries.values() for key in entry)]
        named = [*keys, *(name for c in read.campaigns.values() for name in c.parameters)]
        assert all(NAME.fullmatch(name) for name in named), named

    check()
    assert guarded.state() == before


COMMANDS = (
    ("loads", "--key", "X"), ("loads", "--dataset", "X"), ("campaigns", "--on", "X"),
    ("refresh", "--key", "X"), ("refresh", "--on", "X"), ("rules", "show", "X"),
    ("rules", "history", "X"), ("rules", "diff", "X"), ("rules", "plan", "X"),
    ("rules", "publish", "X", "--comment", "X"), ("rules", "rollback", "X", "1", "--comment", "X"),
    ("rules", "rollback", "sales", "X", "--comment", "X"), ("registry", "push", "X"),
    ("why", "--key", "X", "--id", "1", "--column", "note"),
    ("loads", "diff", "X", "X"), ("loads", "rollback", "--key", "X", "--to", "X", "--yes"),
    ("loads", "approve", "--key", "X"), ("verify", "--key", "X"),
    ("lineage", "X"), ("overlaps", "--dataset", "X"),
 ("why", "sales", "SP17", "X"), ("X",), ("rules", "X"),
)  # fmt: skip
"""Commands with hostile arguments; `registry pull X` is told to write to X, and is left out."""


def test_no_argument_of_a_command_reaches_beyond_the_platform(
    guarded: Guarded, figures: Figures, *, long_form: bool
) -> None:
    before, loads = guarded.state(), guarded.small.settings().open_warehouse().loads()

    @many(long_form=long_form, long=1000)
    @given(st.sampled_from(COMMANDS), argument)
    @example(("loads", "--key", "X"), "' OR 1=1 --")
    @example(("rules", "show", "X"), "../../beside")
    @example(("why", "--key", "SP17", "--id", "X", "--column", "X"), "1 OR 1=1")
    def check(command: tuple[str, ...], text: str) -> None:
        figures.add("hostile arguments")
        arguments = [text if word == "X" else word for word in command]
        result = CliRunner().invoke(cli, arguments)
        refused = isinstance(result.exception, EtlError | SystemExit) or result.exception is None
        assert refused, (arguments, result.exception)
        assert guarded.state() == before, arguments

    check()
    assert guarded.small.settings().open_warehouse().loads() == loads


def test_what_is_touched_beside_or_in_the_table_is_noticed(guarded: Guarded) -> None:
    """Planted: a file beside the platform, another table, a record that is gone."""
    before = guarded.state()
    assert dict(row[:2] for row in before[1]) == {k: COUNTS[k] for k in ("SP17", "SU17")}  # type: ignore[attr-defined]
    planted = guarded.folder / "planted"
    planted.write_text("", encoding="utf-8")
    assert guarded.state() != before
    planted.unlink()
    assert guarded.state() == before
    with duckdb.connect(str(guarded.small.home / "warehouse.duckdb")) as connection:
        connection.execute("CREATE TABLE other (a INTEGER)")
        assert connection.execute("DELETE FROM sales WHERE sale_id = 3").fetchone() == (1,)
    assert guarded.state() != before
