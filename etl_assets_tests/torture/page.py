"""The page that shows the torture dataset: docs/torture.md."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_assets_tests.systems.mysql_cases import PolicyCase, Refused, Value
from etl_assets_tests.torture.cases import TORTURE, TortureCase
from etl_assets_tests.torture.chain import SAME, Arrived

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "torture.md"
RESULTS = ROOT / "benchmarks" / "torture.json"

_HEAD = """\
# The torture dataset

Forty-four cases in which copying data from MySQL to Redshift has gone wrong for somebody, and what becomes of each here. `python -m etl_assets_tests.torture` runs the tests that are named below, carries every value from MariaDB through extract, stage and load into DuckDB and into the Redshift stand-in, reads both tables back (Redshift's by psycopg2), compares to the last digit and byte, and writes this page. `make test` fails when a new run would write another.

What other tools do with the same values comes from `benchmarks/torture.json`, which `make bench-torture` writes. The numbers of reports are those of the projects' issues or pull requests; they say that it happened to somebody, not that it still does.

## Values

Each value is in a table of its own, beside a NULL where the column takes one. The server's time zone is +05:30. A cell says how many of a case's values arrived; the tables below say what became of each. Here a value counts when every outcome that a dataset can declare for it is the one that came about, also where the default is to stop the campaign.

"""

_PEERS_HEAD = """
### How the others were run

Every tool copied each value by itself, with the options a new user has, and none that only one who knows of the problem would set. To arrive is to be the same value, in whatever form: a number as its text, bytes as hexadecimal, midnight for a DATE, a FLOAT as any number that is the same float. DuckDB and PostgreSQL take what Redshift does not, such as text over 65,535 bytes, so a value that arrived there has not arrived in Redshift yet. The Redshift is the [stand-in](standin.md), which is no cluster.

"""

_TESTS_HEAD = """
## Loads, keys and rules

These have no value to copy, or more than one; the tests hold them. The other tools were not run.

"""


@dataclass(frozen=True)
class Peers:
    """What the benchmark found.

    Attributes:
        versions: By package.
        ways: Heading, options and outcomes (by value id) of each way, by its name.
    """

    versions: Mapping[str, str]
    ways: Mapping[str, Mapping[str, object]]

    @classmethod
    def read(cls, file: Path = RESULTS) -> "Peers":
        """Return what the file says."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))

    @property
    def headings(self) -> list[str]:
        """What the columns are called."""
        return [str(way["heading"]) for way in self.ways.values()]

    def outcomes(self, value: Value) -> list[str]:
        """Return what became of a value, each way."""
        found = []
        for way in self.ways.values():
            outcomes = way["outcomes"]
            assert isinstance(outcomes, dict)
            found.append(str(outcomes.get(value.id, "not run")))
        return found


def render(arrived: Sequence[Arrived], peers: Peers) -> str:
    """Return the page."""
    by_value: dict[str, list[Arrived]] = {}
    for one in arrived:
        by_value.setdefault(one.value.id, []).append(one)
    valued = [case for case in TORTURE if case.values]
    tested = [case for case in TORTURE if not case.values]
    return "".join(
        [
            _HEAD,
            *_matrix(valued, by_value, peers),
            _PEERS_HEAD,
            *_options(peers),
            *(line for case in valued for line in _details(case, by_value, peers)),
            _TESTS_HEAD,
            *_tested(tested),
        ]
    )


def _matrix(
    cases: Sequence[TortureCase], by_value: Mapping[str, list[Arrived]], peers: Peers
) -> Iterable[str]:
    ours = ["here", "DuckDB", "Redshift stand-in"]
    yield from _table_head("", "case", "what comes in", "elsewhere", *ours, *peers.headings)
    for case in cases:
        right = [all(a.right for a in by_value[v.id]) for v in case.values]
        columns = zip(*(peers.outcomes(v) for v in case.values), strict=True)
        others = [_count(o.startswith(SAME) for o in outcomes) for outcomes in columns]
        link = f"[{case.id}](#{case.number}-{case.id})"
        counts = [_count(right)] * 2
        yield _row(
            str(case.number), link, case.title, _elsewhere(case), case.outcome, *counts, *others
        )


def _options(peers: Peers) -> Iterable[str]:
    yield from _table_head("way", "what was run")
    for way in peers.ways.values():
        yield _row(str(way["heading"]), str(way["options"]))
    versions = ", ".join(f"{name} {version}" for name, version in peers.versions.items())
    yield f"\nVersions: {versions}.\n"


def _details(
    case: TortureCase, by_value: Mapping[str, list[Arrived]], peers: Peers
) -> Iterable[str]:
    yield f"\n### {case.number} {case.id}\n\nHeld by {_names(case.tests)}.\n\n"
    yield from _table_head("value", "MySQL", "here", *peers.headings)
    for value in case.values:
        ours = "; ".join(map(_ours, by_value[value.id]))
        named = f" named `{value.column}`" if value.column != "v" else ""
        yield _row(value.id, f"{value.declared}{named}", ours, *peers.outcomes(value))


def _ours(one: Arrived) -> str:
    said = one.duckdb
    if one.duckdb != one.redshift:
        said = f"DuckDB {one.duckdb}, Redshift {one.redshift}"
    kind = f", `{one.kind}`" if one.kind and said == SAME else ""
    if isinstance(one.value, Refused) and one.way:
        return f"as `{one.way.strip(chr(96))}` {said}{kind}"
    if isinstance(one.value, PolicyCase):
        return f"`{one.way.partition(': ')[2]}`: {said}{kind}"
    return f"{said}{kind}"


def _tested(cases: Sequence[TortureCase]) -> Iterable[str]:
    yield from _table_head("", "case", "what comes in", "elsewhere", "here", "held by")
    for case in cases:
        here = case.outcome + (f". Not held: {case.partly}" if case.partly else "")
        yield _row(
            str(case.number), case.id, case.title, _elsewhere(case), here, _names(case.tests)
        )


def _elsewhere(case: TortureCase) -> str:
    return case.elsewhere + (f" ({case.reported})" if case.reported else "")


def _names(tests: Sequence[str]) -> str:
    return ", ".join(f"`{name.removeprefix('etl_assets_tests/')}`" for name in tests)


def _count(right: Iterable[bool]) -> str:
    marks = list(right)
    return f"{sum(marks)} of {len(marks)}"


def _table_head(*names: str) -> Iterable[str]:
    yield _row(*names)
    yield "|" + "---|" * len(names) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
