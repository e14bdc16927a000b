"""What the platform extracts from a source's table is exactly what the contract's types say.

At risk: a decimal that went through a double, a time that lost its microseconds, a text that was
folded or cut, on one of the two databases.
"""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from etl_assets.core.datasets import parse_dataset
from etl_assets.systems.protocols import Source
from etl_assets.systems.source_mysql import MysqlSource
from etl_assets.systems.source_sqlite import SqliteSource
from etl_assets_tests.inputs.deliveries import Deliveries
from etl_assets_tests.servers import MariaDBServer

CONTRACT = """\
source: orders
primary_key: [code, big]
columns:
  code: {type: varchar(12)}
  big: {type: 'decimal(38,10)'}
  cents: {type: 'decimal(15,2)'}
  just: {type: 'decimal(16,2)'}
  small: {type: smallint}
  whole: {type: integer}
  large: {type: bigint}
  ratio: {type: double}
  flag: {type: boolean}
  day: {type: date}
  moment: {type: timestamp}
  note: {type: text}
  rank: {type: integer, comment: "A word that SQL reserves; it's 100% fine"}
"""
HEAD = "code,big,cents,just,small,whole,large,ratio,flag,day,moment,note,rank\n"
LINES = (
    "a,1234567890123456789012345678.0123456789,9999999999999.99,99999999999999.99,-32768,"
    '2147483647,-9223372036854775808,0.1,true,0001-01-01,9999-12-31 23:59:59.999999,"ü, ""x""\n",1\n'
    "A,-0.0000000001,-0.01,0.1,1,-1,9223372036854775807,1e-300,false,9999-12-31,"
    "2017-01-01,\U0001f600,2\n"
    "ä,0,0.1,0.2,,,,,,,,,\n"
    "a,1,0.3,12345678901234.5,,,,1.7976931348623157e308,,,2017-01-01 00:00:01,'; DROP,\n"
)
DATASET = """\
dataset: orders
primary_key: [code, big]
query: |
  SELECT code, big, cents, `just`, small, `whole`, `large`, ratio, flag, `day`, moment, note, `rank`,
         input_row
  FROM orders
columns: {flag: {type: boolean}}
source_proof: all
"""
MIDNIGHT = dt.datetime(2017, 1, 1)  # noqa: DTZ001
EXPECTED = [
    ("a", Decimal("1234567890123456789012345678.0123456789"), Decimal("9999999999999.99"),
     Decimal("99999999999999.99"), -32768, 2147483647, -9223372036854775808, 0.1, True,
     dt.date(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), 'ü, "x"', 1),  # noqa: DTZ001
    ("A", Decimal("-0.0000000001"), Decimal("-0.01"), Decimal("0.10"), 1, -1, 9223372036854775807,
     1e-300, False, dt.date(9999, 12, 31), MIDNIGHT, "\U0001f600", 2),
    ("ä", Decimal(0), Decimal("0.10"), Decimal("0.20"), *[None] * 9),
    ("a", Decimal(1), Decimal("0.30"), Decimal("12345678901234.50"), None, None, None,
     1.7976931348623157e308, None, None, MIDNIGHT + dt.timedelta(seconds=1), "'; DROP", None),
]  # fmt: skip


@pytest.fixture(params=["sqlite", "mysql"])
def both(
    request: pytest.FixtureRequest, mariadb: MariaDBServer, tmp_path: Path
) -> Iterator[tuple[Deliveries, Source]]:
    """Deliveries into a database, and that database as a source."""
    if request.param == "sqlite":
        made: Deliveries = request.getfixturevalue("embedded")
        yield made, SqliteSource(sa.make_url(f"sqlite:///{tmp_path}/source.sqlite"))
        return
    made = request.getfixturevalue("served")
    name = made.query("SELECT DATABASE()")[0][0]
    url = f"mysql+pymysql://root@127.0.0.1:{mariadb.port}/{name}"
    yield made, MysqlSource(sa.make_url(url))


def test_every_type_comes_back_exactly(both: tuple[Deliveries, Source]) -> None:
    deliveries, source = both
    deliveries.contract = CONTRACT
    loaded = deliveries.load("a.csv", HEAD + LINES)
    assert (loaded.status, loaded.inserted) == ("loaded", 4), loaded.reason
    dataset = parse_dataset(DATASET, "orders.yaml")
    bindings = {"campaign_key": "x"}
    with source.snapshot(dataset, bindings) as snapshot:  # type: ignore[arg-type]
        kinds = {column.name: str(column.type) for column in snapshot.columns}
        proof = snapshot.fingerprint([column.name for column in snapshot.columns])
        table = pa.Table.from_batches(snapshot.batches()).sort_by("input_row")
    contract = deliveries.inputs.contracts["orders"]
    declared = {column.name: str(column.type) for column in contract.table_columns}
    assert {name: kinds[name] for name in declared} == declared
    rows = table.drop_columns(["input_row"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == EXPECTED
    assert proof.records == 4
    again = deliveries.load("b.csv", HEAD + LINES + "z,9,,,,,,,,,,,\n")
    assert (again.unchanged, again.updated, again.inserted) == (4, 0, 1)
