"""Both warehouses deliver the same bytes, once, of whole loads.

At risk: a partner who gets another file when the warehouse changes, the same file twice, or a
file made of two loads.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.delivery import records
from etl_assets.delivery.deliver import Deliverer
from etl_assets.delivery.opening import loaded_keys, open_feed
from etl_assets.delivery.records import deliveries, last_delivery, newest_of_scopes
from etl_assets.settings import Settings
from etl_assets_tests.delivery.platform import NOON, write_feed
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform
from etl_assets_tests.systems.redshift_server import Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

FORMATS = {
    "csv": "{kind: csv, delimiter: ';', decimal_mark: ',', compression: gzip}",
    "json_lines": "json_lines", "parquet": "parquet", "excel": "excel",
}  # fmt: skip
TOTALS = """\
feed: totals
needs: nothing
select: |
  WITH once AS (SELECT sold_on, quantity, amount, note FROM sales_deduplicated)
  SELECT CAST(date_trunc('month', sold_on) AS DATE) AS month, coalesce(note, '-') AS note,
         COUNT(*) AS n, SUM(amount) AS amount, SUM(quantity * amount) AS weighted,
         MAX(CASE WHEN quantity > 1 THEN amount ELSE 0 END) AS most
  FROM once WHERE sold_on < :today GROUP BY 1, 2
columns:
  note: {type: text}
  amount: {type: 'decimal(18,1)'}
  weighted: {type: 'decimal(24,4)', comment: Quantity times amount.}
  most: {type: 'decimal(10,2)'}
order_by: [month, amount desc]
name: totals_{date}.csv
"""
KEYED = """\
feed: keyed
per: key
needs: nothing
select: |
  SELECT campaign_key, sale_id, amount FROM sales
  WHERE campaign_key = :campaign_key AND sold_on BETWEEN :first_day AND :last_day
name: '{feed}_{key}_{date:%Y%m%d}.csv'
"""


def opened(settings: Settings, home: Path, feed: str) -> Deliverer:
    made = replace(settings, feeds_folder=home / "feeds_of_test")
    return replace(open_feed(feed, made), pause=lambda _: None)


def feed_of(platform: Platform, feed: str = "sales") -> Deliverer:
    settings = replace(platform.settings(), home=place(platform))
    return opened(settings, platform.small.home, feed)


def place(platform: Platform) -> Path:
    """Return the home of a warehouse's deliveries."""
    home = platform.small.home
    return home / "redshift" if isinstance(platform, RedshiftPlatform) else home


def put(platform: Platform, feed: str = "sales", key: str = "", **said: Any) -> Any:  # noqa: ANN401
    registry = platform.settings().open_registry().read()
    return feed_of(platform, feed).deliver(registry.campaign(key) if key else None, NOON, **said)


@pytest.fixture
def duckdb(small: Small) -> DuckDBPlatform:
    """A small platform with two loads and a feed."""
    made = DuckDBPlatform(small)
    for key in ("SP17", "SU17"):
        made.refresh(key)
    write_feed(small.home, "sales")
    return made


@pytest.fixture
def both(duckdb: DuckDBPlatform, redshift: Redshift) -> tuple[Platform, Platform]:
    """The same records in both warehouses."""
    other = RedshiftPlatform(duckdb.small, redshift)
    for key in ("SP17", "SU17"):
        other.refresh(key)
    return duckdb, other


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_records_are_the_same_bytes_from_both_warehouses(
    both: tuple[Platform, Platform], kind: str
) -> None:
    home = both[0].small.home
    write_feed(home, "sales", f"name: sales.x\nformat: {FORMATS[kind]}\n")
    content = []
    for platform in both:
        put(platform)
        content.append((place(platform) / "feeds" / "sales.x").read_bytes())
    assert content[0] == content[1]
    assert len(content[0]) > 100


def test_a_query_that_computes_gives_the_same_from_both_warehouses(
    both: tuple[Platform, Platform],
) -> None:
    home = both[0].small.home
    write_feed(home, "totals", text=TOTALS)
    content = []
    for platform in both:
        made = put(platform, "totals").delivery
        assert (made.name, made.bound) == ("totals_2017-06-01.csv", {"today": "2017-06-01"})
        content.append((place(platform) / "feeds" / made.name).read_text())
    assert content[0] == content[1]
    assert content[0].splitlines()[:3] == [
        "month,note,n,amount,weighted,most",
        "2017-03-01,grün,1,4.3,0.0000,0.00",
        '2017-03-01,"with ""quotes"", commas',
    ]  # fmt: skip


def test_a_manifest_beside_the_file_says_what_it_is(duckdb: DuckDBPlatform) -> None:
    made = put(duckdb).delivery
    folder = duckdb.small.home / "feeds"
    manifest = json.loads((folder / "sales.csv.manifest.json").read_text())
    content = (folder / "sales.csv").read_bytes()
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest() == made.sha256
    assert (manifest["records"], manifest["bytes"]) == (30, len(content))
    assert content.count(b"\n") > 30  # a header, and notes with line breaks
    loads = {load.campaign_key: load.load_id for load in duckdb.warehouse.loads()}
    assert manifest["loads"] == {"sales": loads}
    assert manifest["columns"][5] == {"name": "amount", "type": "decimal(10,2)", "comment": ""}
    assert sorted(file.name for file in folder.iterdir()) == [
        "sales.csv",
        "sales.csv.manifest.json",
    ]


def test_what_is_delivered_is_not_delivered_again(duckdb: DuckDBPlatform) -> None:
    first = put(duckdb)
    file = duckdb.small.home / "feeds" / "sales.csv"
    file.unlink()  # a partner took it away
    again = put(duckdb)
    assert (first.status, again.status, file.exists()) == ("delivered", "unchanged", False)
    assert again.delivery.delivered_at == first.delivery.delivered_at
    duckdb.refresh("SU17")  # another load, of the same records
    assert put(duckdb).status == "unchanged"
    assert not file.exists()
    assert put(duckdb, force=True).status == "delivered"
    assert file.exists()
    duckdb.small.run_sql("UPDATE sales SET amount = 1 WHERE sale_id = 12")
    duckdb.refresh("SU17")
    assert put(duckdb).status == "delivered"
    write_feed(duckdb.small.home, "sales", "name: sales.csv\nformat: {kind: csv, header: false}\n")
    assert put(duckdb).status == "delivered"


def test_a_feed_per_campaign_has_a_file_for_each(duckdb: DuckDBPlatform) -> None:
    write_feed(duckdb.small.home, "keyed", text=KEYED)
    feed = feed_of(duckdb, "keyed").feed
    assert loaded_keys(feed, duckdb.settings()) == ["SP17", "SU17"]
    for key in ("SP17", "SU17"):
        assert put(duckdb, "keyed", key).delivery.name == f"keyed_{key}_20170601.csv"
    names = sorted(file.name for file in (duckdb.small.home / "feeds").glob("*.csv"))
    assert names == ["keyed_SP17_20170601.csv", "keyed_SU17_20170601.csv"]
    staging = duckdb.settings().open_staging()
    assert [(one.scope, one.records) for one in newest_of_scopes(staging, "keyed")] == [
        ("SP17", 14), ("SU17", 16),
    ]  # fmt: skip
    duckdb.prune("SP17")
    assert loaded_keys(feed, duckdb.settings()) == ["SU17"]


def test_an_empty_feed_is_delivered_or_fails_as_it_says(duckdb: DuckDBPlatform) -> None:
    write_feed(duckdb.small.home, "keyed", text=KEYED)
    assert put(duckdb, "keyed", "AU17").delivery.records == 0
    write_feed(duckdb.small.home, "keyed", text=KEYED + "on_empty: fail\n")
    (duckdb.small.home / "feeds" / "keyed_AU17_20170601.csv").unlink()
    with pytest.raises(PermanentError, match=r"keyed of AU17 is empty.*nothing was delivered"):
        put(duckdb, "keyed", "AU17", force=True)
    assert not (duckdb.small.home / "feeds" / "keyed_AU17_20170601.csv").exists()


def test_a_load_while_it_is_read_is_read_again(duckdb: DuckDBPlatform) -> None:
    deliverer = feed_of(duckdb)
    moved: list[Any] = []

    class Moving:
        """A warehouse that is loaded while it is read, the first time or always."""

        def __init__(self, times: int) -> None:
            self.times = times

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(deliverer.warehouse, name)

        @contextmanager
        def unload(self, *arguments: Any) -> Iterator[Any]:  # noqa: ANN401
            if len(moved) < self.times:
                moved.append(duckdb.refresh("SU17"))
            with deliverer.warehouse.unload(*arguments) as unloaded:
                yield unloaded

    made = replace(deliverer, warehouse=Moving(1)).deliver(None, NOON).delivery
    assert made.loads["sales"]["SU17"] == moved[0].load_id
    with pytest.raises(TransientError, match="campaigns were loaded each time while it was read"):
        replace(deliverer, warehouse=Moving(9)).deliver(None, NOON, force=True)


def test_a_destination_that_is_busy_is_tried_again(duckdb: DuckDBPlatform) -> None:
    class Busy:
        """A destination that answers at the third attempt."""

        def __init__(self, failures: int) -> None:
            self.left, self.put_names = failures, list[str]()

        def put(self, name: str, file: Path) -> None:
            assert file.exists()
            if self.left:
                self.left -= 1
                raise TransientError("It is busy.")
            self.put_names.append(name)

        def uri(self, name: str) -> str:
            return f"busy:{name}"

    pauses: list[float] = []
    target = Busy(2)
    replace(feed_of(duckdb), target=target, pause=pauses.append).deliver(None, NOON)
    assert target.put_names == ["sales.csv", "sales.csv.manifest.json"]
    assert len(pauses) == 2
    with pytest.raises(TransientError, match="busy"):
        replace(feed_of(duckdb), target=Busy(99), pause=pauses.append).deliver(
            None, NOON, force=True
        )
    staging = duckdb.settings().open_staging()
    assert last_delivery(staging, "sales", "all") is not None
    assert len(deliveries(staging, "sales")) == 1


def test_only_the_newest_records_are_kept(
    duckdb: DuckDBPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_KEPT", 2)
    made = [put(duckdb, force=True).delivery.delivery for _ in range(4)]
    staging = duckdb.settings().open_staging()
    assert [one.delivery for one in deliveries(staging, "sales")] == made[:1:-1]


def test_a_preview_delivers_nothing(duckdb: DuckDBPlatform) -> None:
    table = feed_of(duckdb).preview(None, NOON)
    assert (table.num_rows, table.column_names[:2]) == (30, ["campaign_key", "sale_id"])
    assert not (duckdb.small.home / "feeds").exists()
    assert NOON.tzinfo is dt.UTC
