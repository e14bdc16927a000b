"""Carry every value of the torture dataset from MariaDB to both warehouses, and look."""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from etl_assets import pipeline
from etl_assets.core.campaigns import Campaign
from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import SourceError
from etl_assets.core.manifest import Extract
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.sql import quote_identifier
from etl_assets.loading import load
from etl_assets.systems.warehouse_duckdb import DuckDBWarehouse
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.systems.mysql_cases import (
    VALUES,
    Case,
    PolicyCase,
    Refused,
    Value,
    Way,
    create_tables,
)
from etl_assets_tests.systems.mysql_reading import open_mysql
from etl_assets_tests.systems.redshift_server import BucketStaging, Redshift

CAMPAIGN = Campaign(key="T17", name="", start=dt.date(2017, 3, 1), end=dt.date(2017, 5, 31))
SERVER_OPTIONS = ("--default-time-zone=+05:30",)
"""A server whose own time is not UTC."""

SAME = "same"
_SAID = {
    "null": "NULL, counted",
    "text": "same, as text, counted",
    "strip": "without the character, counted",
    "clip": "cut at a character, counted",
    "reject": "record left out, listed and counted",
    "fail": "stops and names the record",
}
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Column:
    """A value on its way as a column of a dataset.

    Attributes:
        name: The column's name there.
        select: SQL of it in the value's table.
        kind: Our type for it, as it should be.
        expected: What should arrive; `...` when the record is left out.
        way: The policy, if one is declared.
    """

    value: Value
    name: str
    select: str
    kind: str
    expected: object
    way: Way | None = None


@dataclass(frozen=True)
class Arrived:
    """What became of a value, one way.

    Attributes:
        way: `policy: outcome`, what was selected instead, or nothing.
        kind: Our type for it; empty where the campaign stopped.
        duckdb: What arrived there, in words.
        redshift: What arrived there, in words.
        right: Whether all is as it should be.
    """

    value: Value
    way: str
    kind: str
    duckdb: str
    redshift: str
    right: bool


class Torture:
    """The servers, with a table for each value."""

    def __init__(self, server: MariaDBServer, redshift: Redshift, folder: Path) -> None:
        """Prepare; nothing is made yet."""
        self._source = open_mysql(server)
        self._redshift = redshift
        self._duckdb = folder / "torture.duckdb"
        self._staging = BucketStaging(folder / "staging", redshift.bucket, f"torture/{folder.name}")
        self._server = server

    def run(self, values: Sequence[Value] = VALUES) -> list[Arrived]:
        """Make the tables, carry every value every way, and return what arrived."""
        self._server.run(*create_tables(values))
        columns = [column for value in values for column in _columns(value)]
        made: list[Arrived] = []
        for case in sorted({value.case for value in values}):
            of_case = [c for c in columns if c.value.case == case]
            together = [c for c in of_case if c.expected is not ...]
            made += self._together(f"case_{case}", together)
            for column in of_case:
                if column.expected is ...:
                    made += self._together(f"{column.name}_alone", [column])
        made += [self._stopped(v, w) for v in values for w in _stopping(v)]
        order = [value.id for value in values]
        return sorted(made, key=lambda a: (order.index(a.value.id), _place(a)))

    def carry(self, dataset: Dataset) -> tuple[Extract, dict[str, Rows]]:
        """Extract, stage, load into both warehouses; return the extract and what both hold."""
        made = pipeline.extract(
            dataset, CAMPAIGN, self._source, self._staging, source_name="torture"
        )
        staged = pipeline.stage(dataset, CAMPAIGN, made, RuleSet(), self._staging)
        for warehouse in (DuckDBWarehouse(self._duckdb), self._redshift.warehouse()):
            load(dataset, staged, self._staging, warehouse, run_id=None)
        names = ", ".join(quote_identifier(c.name) for c in made.columns)
        query = f"SELECT {names} FROM {quote_identifier(dataset.table)} ORDER BY id"
        with duckdb.connect(str(self._duckdb), read_only=True) as connection:
            return made, {
                "duckdb": connection.execute(query).fetchall(),
                "redshift": [tuple(map(_plain, row)) for row in self._redshift.query(query)],
            }

    def _together(self, name: str, columns: Sequence[Column]) -> Iterator[Arrived]:
        """Carry columns side by side, so that none may shift another."""
        if not columns:
            return
        alone = columns[0].expected is ...
        made, found = self.carry(dataset_of(name, columns))
        kinds = {c.name: str(c.type) for c in made.columns}
        counts = {(t.column, t.policy, t.outcome): t.records for t in made.touched}
        for place, column in enumerate(columns, 1):
            policy, way = _policy(column.value), column.way
            counted = (column.name, policy, way.outcome) in counts if way else False
            right = kinds[column.name] == column.kind and counted == bool(way and way.touched)
            right &= made.rejected == alone
            said = {}
            for warehouse, rows in found.items():
                arrived = {row[0]: row[place] for row in rows}
                said[warehouse], fits = _compare(column, arrived)
                right &= fits
            yield Arrived(column.value, _way(column), kinds[column.name], **said, right=right)

    def _stopped(self, value: Value, way: Way | None) -> Arrived:
        """Extract what must stop the campaign."""
        name = f"`{value.column}`"
        policies = {_policy(value): way.outcome} if way else {}
        document = {"dataset": "stopped", "primary_key": ["id"], "policies": policies,
                    "query": f"SELECT id, {name} FROM {value.table}"}  # fmt: skip
        said, right = "arrived, and should have stopped", False
        pattern = value.message if isinstance(value, Refused) else "in the record id=1 of stopped"
        try:
            self.carry(Dataset.model_validate(document))
        except SourceError as error:
            right = bool(re.search(pattern, str(error)))
            stops = _SAID["fail"] if way else "stops before anything is read"
            said = stops if right else f"stops otherwise: {error.message}"
        label = f"{_policy(value)}: {way.outcome}" if way else ""
        return Arrived(value, label, "", said, said, right)


def dataset_of(name: str, columns: Sequence[Column]) -> Dataset:
    """Return a dataset of two records: the values, and NULLs."""
    joined = " ".join(
        f"LEFT JOIN (SELECT id, {c.select} AS `{c.name}` FROM {c.value.table}) t{n} ON t{n}.id = n.id"
        for n, c in enumerate(columns)
    )
    selected = ", ".join(f"t{n}.`{c.name}`" for n, c in enumerate(columns))
    specs = {
        c.name: {"policies": {_policy(c.value): c.way.outcome}}
        for c in columns
        if c.way is not None
    }
    query = f"SELECT n.id, {selected} FROM (SELECT 1 AS id UNION ALL SELECT 2) n {joined}"
    return Dataset.model_validate(
        {"dataset": name, "primary_key": ["id"], "query": query, "columns": specs}
    )


def _columns(value: Value) -> Iterator[Column]:
    name = value.table.removeprefix("value_")
    plain = f"`{value.column}`"
    match value:
        case PolicyCase():
            for way in value.ways:
                if way.kind is not None:
                    named = f"{name}_{way.outcome}"
                    yield Column(value, named, plain, way.kind, way.expected, way)
        case Refused():
            yield Column(value, name, value.instead, value.kind, value.expected)
        case Case():
            own = name if value.column == "v" else value.column
            yield Column(value, own, plain, value.kind, value.expected)


def _stopping(value: Value) -> Iterator[Way | None]:
    if isinstance(value, PolicyCase):
        yield from (way for way in value.ways if way.kind is None)
    elif isinstance(value, Refused):
        yield None


def _compare(column: Column, arrived: dict[int, object]) -> tuple[str, bool]:
    """Say what arrived, and whether that and the NULL beside it is what should have."""
    wanted = {2: None} if column.expected is ... else {1: column.expected, 2: None}
    if [*map(_exactly, wanted.items())] != [*map(_exactly, arrived.items())]:
        return f"changed to {arrived!r:.80}", False
    if column.way is None or not column.way.touched:
        return SAME, True
    return _SAID[column.way.outcome], True


def _exactly(item: tuple[int, object]) -> tuple[object, ...]:
    """Return what two values share only when they are the same to the last digit."""
    number, value = item
    return number, type(value), value.hex() if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    return value.tobytes() if isinstance(value, memoryview) else value


def _place(arrived: Arrived) -> int:
    """Return the place of a way among those of its value; the default comes first."""
    if isinstance(arrived.value, PolicyCase):
        return [f"{_policy(arrived.value)}: {w.outcome}" for w in arrived.value.ways].index(
            arrived.way
        )
    return bool(arrived.way)


def _policy(value: Value) -> str:
    return value.policy if isinstance(value, PolicyCase) else ""


def _way(column: Column) -> str:
    if column.way is not None:
        return f"{_policy(column.value)}: {column.way.outcome}"
    return column.select if isinstance(column.value, Refused) else ""
