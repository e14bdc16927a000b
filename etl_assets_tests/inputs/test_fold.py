"""The table is at any time what the files that are not undone make of it, whatever happened before.

Random deliveries, out of order and some of them broken or repeated, loads, undos and loads again,
held against a model of a dozen lines.
"""

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_assets.core.errors import PermanentError
from etl_assets_tests.inputs.deliveries import Deliveries

ROW = st.tuples(st.integers(1, 4), st.integers(0, 3))
LOAD = st.tuples(st.just("load"), st.lists(ROW, max_size=4), st.integers(0, 5))
UNDO = st.tuples(st.just("undo"), st.integers(0, 7), st.booleans())
STEPS = st.lists(st.one_of(LOAD, LOAD, UNDO), max_size=9)
CONTRACT = """\
source: orders
primary_key: [id]
columns: {id: {type: integer}, amount: {type: 'decimal(12,2)'}, note: {type: varchar(40)}}
"""


@dataclasses.dataclass
class Model:
    """Files that were loaded: place in the order, rows, and whether they count."""

    files: list[list[Any]] = dataclasses.field(default_factory=list)

    def load(self, place: tuple[Any, ...], content: str, rows: list[tuple[int, int]]) -> str:
        if any(file[1] == content for file in self.files):
            return "repeated"
        self.files.append([place, content, dict(rows), True])
        return "loaded"

    def table(self) -> dict[int, tuple[int, str]]:
        made: dict[int, tuple[int, str]] = {}
        for place, _, rows, live in sorted(self.files, key=lambda file: file[0]):
            if live:
                made |= {key: (value, place[1]) for key, value in rows.items()}
        return made


def _play(deliveries: Deliveries, steps: list[tuple[Any, ...]], tag: int) -> None:
    model = Model()
    named = itertools.count()
    files: list[Any] = []
    for kind, first, second in steps:
        if kind == "load":
            name = f"{next(named)}.csv"
            content = "id,amount,note\n" + "".join(f"{k},{v},\n" for k, v in first)
            file = deliveries.deliver(name, content, minutes=second, source=f"s{tag}")
            row = deliveries.inputs.load(file)
            place = (second, file.path, row.id)
            assert row.status == model.load(place, content, first)
            assert row.accepted == row.inserted + row.updated + row.unchanged + row.outdated
            files.append(file)
        elif first < len(model.files):
            mine = model.files[first]
            path = mine[0][1]
            if mine[3]:
                deliveries.inputs.undo(f"s{tag}", path)
                mine[3] = False
            elif second:
                file = next(f for f in files if f.path == path)
                row = deliveries.inputs.load(file, again=True)
                mine[0], mine[3] = (*mine[0][:2], row.id), True
            else:
                with pytest.raises(PermanentError):
                    deliveries.inputs.undo(f"s{tag}", path)
        if model.files:
            found = deliveries.query(f"SELECT id, amount, input_file FROM s{tag}")
            assert {row[0]: (int(row[1]), row[2]) for row in found} == model.table()


@pytest.mark.parametrize("kind", ["embedded", "served"])
def test_the_table_is_the_fold_of_the_files_that_are_not_undone(
    request: pytest.FixtureRequest, kind: str
) -> None:
    deliveries: Deliveries = request.getfixturevalue(kind)
    tags = itertools.count()

    @settings(
        max_examples=25 if kind == "embedded" else 5,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(STEPS)
    def play(steps: list[tuple[Any, ...]]) -> None:
        tag = next(tags)
        deliveries.contract = CONTRACT.replace("orders", f"s{tag}")
        _play(deliveries, steps, tag)

    play()
