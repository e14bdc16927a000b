"""Files become rows, once each, and can be taken out again; in SQLite and in MariaDB alike.

At risk: a file that is loaded twice or half, a table that holds something else than what the files
say, and a correction that leaves the wrong row behind.
"""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from etl_assets.core.errors import PermanentError, SourceError, TransientError
from etl_assets.systems.connect import open_inputs
from etl_assets_tests.inputs.deliveries import CONTRACT, START, Deliveries
from etl_assets_tests.servers import MariaDBServer

FIRST = "Order No,Amount,Note\n1,1.50,one\n2,2.50,two\n"


def amounts(deliveries: Deliveries) -> dict[int, Decimal]:
    return {row[0]: Decimal(str(row[1])) for row in deliveries.rows()}


def test_a_file_is_loaded_with_its_place_and_its_arrival(deliveries: Deliveries) -> None:
    loaded = deliveries.load("first.csv", FIRST)
    assert (loaded.status, loaded.rows, loaded.accepted, loaded.inserted) == ("loaded", 2, 2, 2)
    found = deliveries.rows("id, input_id, input_file, input_row, arrived_at")
    at = START + dt.timedelta(minutes=1)
    assert [(*row[:4], str(row[4])[:19]) for row in found] == [
        (1, loaded.id, "inputs/orders/first.csv", 2, f"{at:%Y-%m-%d %H:%M:%S}"),
        (2, loaded.id, "inputs/orders/first.csv", 3, f"{at:%Y-%m-%d %H:%M:%S}"),
    ]
    assert deliveries.inputs.history() == [loaded]
    assert deliveries.inputs.pending("orders") == []


def test_a_later_file_replaces_rows_by_key_and_every_row_is_counted(
    deliveries: Deliveries,
) -> None:
    deliveries.load("first.csv", FIRST)
    second = deliveries.load(
        "second.csv", "order_no;amount;NOTE\n2;2.50;two\n1;9;\n3;3;three\n3;4;again\nx;1;bad\n"
    )
    assert second.status == "quarantined"  # a fifth is more than a tenth
    deliveries.contract = CONTRACT + "most_rejected_percent: 20\n"
    assert [row.status for row in deliveries.load_pending()] == ["loaded"]
    second = deliveries.inputs.history()[0]
    assert (second.rows, second.accepted, second.rejected, second.duplicates) == (5, 3, 1, 1)
    assert (second.inserted, second.updated, second.unchanged, second.outdated) == (1, 1, 1, 0)
    assert amounts(deliveries) == {1: Decimal(9), 2: Decimal("2.5"), 3: Decimal(4)}
    assert deliveries.rows("id, note") == [(1, None), (2, "two"), (3, "again")]
    assert deliveries.rejects(second) == ["6,id,x,is not a number"]


def test_the_same_bytes_change_nothing_whatever_the_file_is_called(
    deliveries: Deliveries,
) -> None:
    first = deliveries.load("first.csv", FIRST)
    again = deliveries.load("copy of first.csv", FIRST)
    assert (again.status, again.about, again.rows) == ("repeated", first.id, 0)
    assert again.reason == "the same bytes came as inputs/orders/first.csv"
    assert (
        deliveries.inputs.load(replace(deliveries.deliver("first.csv", FIRST))).status == "repeated"
    )
    assert deliveries.inputs.pending("orders") == []
    assert len(deliveries.rows(table="orders__received")) == 2


def test_files_are_pending_in_order_of_arrival_then_by_name(deliveries: Deliveries) -> None:
    deliveries.deliver("z.csv", "Order No,Amount,Note\n1,1,z\n", minutes=5)
    deliveries.deliver("b.csv", "Order No,Amount,Note\n1,1,b\n", minutes=7)
    deliveries.deliver("a.csv", "Order No,Amount,Note\n1,1,a\n", minutes=7)
    assert [file.name for file in deliveries.inputs.pending("orders")] == [
        "z.csv",
        "a.csv",
        "b.csv",
    ]
    deliveries.load_pending()
    assert deliveries.rows("id, note") == [(1, "b")]


def test_an_older_file_that_is_loaded_later_does_not_overwrite_a_newer_one(
    deliveries: Deliveries,
) -> None:
    deliveries.load("new.csv", "Order No,Amount,Note\n1,2,new\n", minutes=9)
    old = deliveries.load("old.csv", "Order No,Amount,Note\n1,1,old\n2,1,old\n", minutes=3)
    assert (old.inserted, old.outdated) == (1, 1)
    assert deliveries.rows("id, note") == [(1, "new"), (2, "old")]


def test_undo_puts_the_rows_of_the_file_before_back_and_removes_the_others(
    deliveries: Deliveries,
) -> None:
    deliveries.load("first.csv", FIRST)
    wrong = deliveries.load("wrong.csv", "Order No,Amount,Note\n2,99,wrong\n3,99,wrong\n")
    undone = deliveries.inputs.undo("orders", "wrong.csv")
    assert (undone.status, undone.about) == ("undone", wrong.id)
    assert (undone.restored, undone.removed) == (1, 1)
    assert amounts(deliveries) == {1: Decimal("1.5"), 2: Decimal("2.5")}
    assert [row.live for row in deliveries.inputs.history()] == [False, False, True]
    assert deliveries.inputs.pending("orders") == []


def test_an_undone_file_is_loaded_again_only_when_told(deliveries: Deliveries) -> None:
    file = deliveries.deliver("first.csv", FIRST)
    deliveries.inputs.load(file)
    deliveries.inputs.undo("orders", "inputs/orders/first.csv")
    assert amounts(deliveries) == {}
    refused = deliveries.load("other name.csv", FIRST)
    assert refused.status == "repeated"
    assert "--again" in refused.reason
    assert deliveries.inputs.load(file, again=True).inserted == 2
    assert len(amounts(deliveries)) == 2
    assert deliveries.inputs.load(file, again=True).status == "repeated"


def test_what_is_not_loaded_cannot_be_undone(deliveries: Deliveries) -> None:
    with pytest.raises(PermanentError, match=r"x\.csv of orders cannot be undone: it is not in"):
        deliveries.inputs.undo("orders", "x.csv")
    deliveries.load("first.csv", FIRST)
    deliveries.inputs.undo("orders", "first.csv")
    with pytest.raises(PermanentError, match="cannot be undone: it was undone"):
        deliveries.inputs.undo("orders", "first.csv")


def test_a_quarantined_file_is_tried_again_when_it_or_the_contract_changed(
    deliveries: Deliveries,
) -> None:
    bad = deliveries.load("bad.csv", "Order Number,Amount,Note\n1,1,x\n")
    assert bad.status == "quarantined"
    assert "no column `id` (header `Order No`); it has `Order Number` instead" in bad.reason
    assert deliveries.inputs.pending("orders") == []
    deliveries.contract = CONTRACT.replace("Order No}", "Order No, aliases: [Order Number]}")
    assert [row.status for row in deliveries.load_pending()] == ["loaded"]
    deliveries.load("worse.csv", "nothing\n")
    deliveries.deliver("worse.csv", "Order No,Amount,Note\n5,5,five\n")
    assert [row.inserted for row in deliveries.load_pending()] == [1]


def test_a_table_that_is_somebody_elses_is_left_alone(deliveries: Deliveries) -> None:
    deliveries.load("first.csv", FIRST)
    deliveries.contract = CONTRACT.replace("source: orders", "source: others\ntable: orders")
    file = deliveries.deliver("first.csv", FIRST, source="others")
    with pytest.raises(SourceError, match="`orders` is there already, and was not made for"):
        deliveries.inputs.load(file)
    assert len(deliveries.rows()) == 2


def test_a_contract_may_add_columns_and_widen_them(deliveries: Deliveries) -> None:
    deliveries.load("first.csv", FIRST)
    deliveries.contract = (
        CONTRACT.replace("integer", "bigint")
        .replace("decimal(12,2)", "decimal(20,4)")
        .replace("varchar(20)", "text")
    ) + "  day: {type: date, optional: true, comment: The day}\n"
    wide = "Order No,Amount,Note,Day\n2,2.50,two,2017-01-02\n3000000000,1234567890123456.7891,x,\n"
    loaded = deliveries.load("wide.csv", wide)
    assert (loaded.inserted, loaded.updated) == (1, 1)
    assert [(r[0], Decimal(str(r[1]))) for r in deliveries.rows()] == [
        (1, Decimal("1.5")), (2, Decimal("2.5")), (3000000000, Decimal("1234567890123456.7891")),
    ]  # fmt: skip
    assert [str(row[1]) for row in deliveries.rows("id, day")] == ["None", "2017-01-02", "None"]
    deliveries.inputs.undo("orders", "wide.csv")
    assert amounts(deliveries) == {1: Decimal("1.5"), 2: Decimal("2.5")}


def test_a_column_that_the_contract_does_not_name_any_more_stays(deliveries: Deliveries) -> None:
    deliveries.load("first.csv", FIRST)
    deliveries.contract = CONTRACT.replace("  note: {type: varchar(20)}\n", "")
    deliveries.load("second.csv", "Order No,Amount,Note\n1,7,ignored\n")
    assert deliveries.rows("id, note") == [(1, None), (2, "two")]
    deliveries.inputs.undo("orders", "second.csv")
    assert deliveries.rows("id, note") == [(1, "one"), (2, "two")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("varchar(20)", "varchar(19)"), r"`note` of `orders` is varchar\(20\), and varchar\(19\)"),
        (("integer", "date"), "`id` of `orders` is integer, and date would not hold"),
        (("primary_key: [id]", "primary_key: [id, note]"), "has the primary key id; the contract"),
        (
            ("source: orders", "source: orders\ntable: other"),
            "has the table `orders`; its contract",
        ),
    ],
)
def test_what_a_table_cannot_follow_is_refused_and_nothing_changes(
    deliveries: Deliveries, change: tuple[str, str], said: str
) -> None:
    deliveries.load("first.csv", FIRST)
    deliveries.contract = CONTRACT.replace(*change)
    file = deliveries.deliver("n.csv", "Order No,Amount,Note\n2017-01-01,1,x\n")
    with pytest.raises(SourceError, match=said):
        deliveries.database.load(
            deliveries.inputs.contracts["orders"], deliveries.inputs.history()[0], []
        )
    assert file.bytes
    assert len(deliveries.rows()) == 2


def test_a_load_that_fails_leaves_nothing(deliveries: Deliveries) -> None:
    deliveries.load("first.csv", FIRST)
    before = deliveries.rows(), deliveries.inputs.history()

    def broken() -> object:
        yield from ()
        raise OSError("the disk is gone")

    contract = deliveries.inputs.contracts["orders"]
    made = replace(before[1][0], id=0, sha256="other")
    with pytest.raises(OSError, match="disk"):
        deliveries.database.load(contract, made, broken())  # type: ignore[arg-type]
    assert (deliveries.rows(), deliveries.inputs.history()) == before


def test_a_file_that_changes_while_it_is_read_is_not_loaded(deliveries: Deliveries) -> None:
    file = deliveries.deliver("first.csv", FIRST)
    deliveries.deliver("first.csv", FIRST + "3,3,three\n")
    with pytest.raises(TransientError, match=r"first\.csv was changed while it was read"):
        deliveries.inputs.load(file)
    assert deliveries.inputs.history() == []


def test_a_load_waits_for_another_one_and_is_told_when_that_takes_too_long(
    embedded: Deliveries, served: Deliveries
) -> None:
    for deliveries in (embedded, served):
        deliveries.load("first.csv", FIRST)
        engine = deliveries.database._engine
        engine._patience = 0.1  # type: ignore[attr-defined]
        file = deliveries.deliver("second.csv", FIRST + "3,3,three\n")
        with engine.writing("orders"), pytest.raises(TransientError):
            deliveries.inputs.load(file)
        assert deliveries.inputs.load(file).inserted == 1


def test_a_user_without_rights_is_told_which_are_needed(
    served: Deliveries, mariadb: MariaDBServer
) -> None:
    name = served.query("SELECT DATABASE()")[0][0]
    mariadb.run(f"GRANT SELECT ON {name}.* TO '{mariadb.reader}'@'%'")
    url = f"mysql+pymysql://{mariadb.reader}@127.0.0.1:{mariadb.port}/{name}"
    reader = replace(served, database=open_inputs(url, mariadb.password))
    assert reader.inputs.history() == []
    with pytest.raises(SourceError, match="Grant the user SELECT, INSERT, UPDATE, DELETE, CREATE"):
        reader.load("first.csv", FIRST)


def test_a_row_that_mysql_cannot_hold_is_told_with_the_remedy(served: Deliveries) -> None:
    served.contract = CONTRACT + "".join(
        f"  c{n}: {{type: varchar(5000), optional: true}}\n" for n in range(4)
    )
    with pytest.raises(SourceError, match="Declare the longest columns as `text`"):
        served.load("first.csv", FIRST)
    served.contract = CONTRACT
    assert served.inputs.pending("orders")
    assert [row.status for row in served.load_pending()] == ["loaded"]
