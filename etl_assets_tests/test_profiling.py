"""What is shown of records, and what is counted as changed.

At risk: a plot that says nothing changed when something did, and days of another zone.
"""

from collections.abc import Iterator

import pytest

from etl_assets.core.columns import Column, ColumnType
from etl_assets.core.profile import SAMPLE_CHARACTERS, RecordChanges
from etl_assets.rules import profiling
from etl_assets.rules.engine import Connection, engine
from etl_assets.rules.profiling import count_changes, profile, read_parquet


@pytest.fixture
def connection() -> Iterator[Connection]:
    with engine() as opened:
        yield opened


def columns(**types: str) -> list[Column]:
    return [Column(name=name, type=ColumnType.parse(kind)) for name, kind in types.items()]


FEW = columns(id="bigint", a="text", n="integer")
BEFORE = "(VALUES (1, 'a', 1), (2, 'b', 2), (3, NULL, 3), (4, 'd', 4)) r(id, a, n)"
AFTER = "(VALUES (1, 'a', 1), (2, 'B', 5), (3, '', 3), (5, 'e', 5)) r(id, a, n)"


def changes(
    connection: Connection, before: str, after: str, key: tuple[str, ...] = ("id",)
) -> RecordChanges | None:
    return count_changes(connection, (before, FEW), (after, FEW), key, "x")


def test_records_and_values_that_differ_are_counted(connection: Connection) -> None:
    found = changes(connection, BEFORE, AFTER)
    assert found == RecordChanges(since="x", added=1, removed=1, changed=2, cells=3)


def test_the_same_records_in_another_order_do_not_differ(connection: Connection) -> None:
    found = changes(connection, BEFORE, f"(SELECT * FROM {BEFORE} ORDER BY id DESC) r")
    assert found == RecordChanges(since="x", added=0, removed=0, changed=0, cells=0)


def test_records_of_one_key_are_compared_each_with_one(connection: Connection) -> None:
    before = "(VALUES (1, 'a', 1), (1, 'b', 1), (NULL, 'c', 1)) r(id, a, n)"
    after = "(VALUES (1, 'b', 1), (1, 'a', 1), (1, 'a', 1), (NULL, 'x', 1)) r(id, a, n)"
    found = changes(connection, before, after)
    assert found
    assert (found.added, found.removed) == (1, 0)
    same = changes_again(before)
    assert (same.added, same.removed, same.changed) == (0, 0, 0)


def changes_again(relation: str) -> RecordChanges:
    with engine() as other:
        found = changes(other, relation, relation)
    assert found
    return found


def test_of_too_many_changed_records_the_values_are_not_counted(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "_MOST_CELLS", 5)
    found = changes(connection, BEFORE, AFTER)
    assert found == RecordChanges(since="x", added=1, removed=1, changed=2, cells=None)


def test_columns_of_one_side_are_not_compared_and_without_the_key_nothing_is(
    connection: Connection,
) -> None:
    wider = f"(SELECT *, id AS extra FROM {BEFORE}) r"
    added = [*FEW, *columns(extra="bigint")]
    found = count_changes(connection, (BEFORE, FEW), (wider, added), ["id"], "x")
    assert found == RecordChanges(since="x", added=0, removed=0, changed=0, cells=0)
    other = columns(id="text", a="text", n="integer")
    assert count_changes(connection, (BEFORE, FEW), (BEFORE, other), ["id"], "x") is None


def test_no_records_are_compared_with_some(connection: Connection) -> None:
    found = changes(connection, read_parquet([], FEW), AFTER)
    assert found == RecordChanges(since="x", added=4, removed=0, changed=0, cells=0)


def test_days_are_those_of_the_campaigns_time_zone(connection: Connection) -> None:
    moments = (
        "(SELECT unnest([TIMESTAMP '2017-11-01 18:14:59', TIMESTAMP '2017-11-01 18:15:00',"
        " TIMESTAMP '2017-11-02 10:00:00', NULL, TIMESTAMP '9999-12-31 23:00:00']) AS at) r"
    )
    found = profile(
        connection, moments, columns(at="timestamp"),
        preview=False, season_column="at", zone="Asia/Kathmandu",  # 5:45 before UTC
    )  # fmt: skip
    assert found.days == {"2017-11-01": 1, "2017-11-02": 2}
    assert found.sample == ()


def test_dates_are_counted_as_they_are_and_a_column_of_another_type_not_at_all(
    connection: Connection,
) -> None:
    days = "(SELECT DATE '2017-11-01' AS at FROM range(3)) r"
    for kind, expected in (("date", {"2017-11-01": 3}), ("text", {})):
        found = profile(
            connection, days, columns(at=kind), preview=True, season_column="at", zone="UTC"
        )
        assert found.days == expected
    assert found.sample == (("2017-11-01",),) * 3


def test_the_sample_is_bounded_in_records_columns_and_characters(connection: Connection) -> None:
    names = ", ".join(f"repeat('x', 5000) AS c{n}" for n in range(100))
    found = profile(
        connection, f"(SELECT {names} FROM range(500)) r",
        columns(**{f"c{n}": "text" for n in range(100)}),
        preview=True, season_column=None, zone="UTC",
    )  # fmt: skip
    assert len(found.sample) == 10
    assert {len(row) for row in found.sample} == {24}
    assert len(found.sample[0][0] or "") == SAMPLE_CHARACTERS + 1
