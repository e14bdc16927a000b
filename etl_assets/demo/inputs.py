"""The files of the sample's ten raw sources, cut from the sample data.

They are what a business sends: a workbook, semicolons and decimal commas in Latin-1, headers
that changed, rows that are wrong. Six of them bring the tables that the sample's datasets read
beside the transactions; four show what else files are like. The contract of each is in
`etl_assets/contracts`.

The same files come out of every run, byte for byte. `python -m etl_assets.demo.inputs` puts
them into the staging store of the environment's settings.
"""

import gzip
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from etl_assets.core.sql import quote_identifier
from etl_assets.demo.sample import sample_data
from etl_assets.settings import Settings
from etl_assets.systems.protocols import Staging

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

Fill = Callable[[duckdb.DuckDBPyConnection, Path], None]

_WIDE_CATEGORIES = 80
_AGE_SECONDS = 120
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest moment that an archive's entry can have; a fixed one keeps its bytes the same."""

_SAVED_AT = re.compile(rb">\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ<")
"""When a workbook was made and saved, as it says itself."""


def write_inputs(staging: Staging) -> dict[str, str]:
    """Put the ten files into the staging store; return the path of each by its source.

    When one of them is there already, nothing is written. In a folder they are some minutes
    old, since what is younger may be in the making.

    Raises:
        PermanentError: When the sample data's package is not installed.
        StagingError: When the store cannot be written.
    """
    data = sample_data()
    paths = {source: f"inputs/{source}/{name}" for source, name in FILES}
    if any(found.path in paths.values() for found in staging.objects("inputs")):
        return paths
    arrived = time.time() - _AGE_SECONDS
    with staging.scratch() as folder, duckdb.connect() as connection:
        for table in ("campaign_descriptions", "campaigns", "coupon_redemptions", "coupons",
                      "demographics", "products", "promotions", "transactions"):  # fmt: skip
            file = str(data / f"{table}.parquet").replace("'", "''")
            connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{file}')")
        for (source, name), fill in FILES.items():
            local = folder / name
            fill(connection, local)
            os.utime(local, (arrived, arrived))
            staging.put(paths[source], local)
    return paths


def _campaigns(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the campaigns: a plain CSV file."""
    _csv(connection, file, """
        SELECT campaign_id, campaign_type, start_date::DATE AS start_date,
               end_date::DATE AS end_date
        FROM campaign_descriptions ORDER BY campaign_id""")  # fmt: skip


def _households(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write who took part: tabs, and the headers of another system."""
    _csv(connection, file, """
        SELECT campaign_id AS "CAMPAIGN", household_id AS "HSHD_NUM"
        FROM campaigns ORDER BY ALL""", delimiter="\t")  # fmt: skip


def _products(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the product master: a CSV file in a ZIP archive."""
    plain = file.with_suffix(".csv")
    _csv(connection, plain, "SELECT * FROM products ORDER BY product_id")
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("products.csv", _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, plain.read_bytes())


def _demographics(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write what is known of households: a workbook with a title above its header."""
    from openpyxl import Workbook

    found = connection.sql("SELECT * FROM demographics ORDER BY household_id")
    workbook = Workbook()
    sheet: Worksheet = workbook.worksheets[0]
    sheet.title = "Households"
    sheet.append(["Households of the loyalty programme, as told by themselves"])
    sheet.append([name.replace("_", " ").title() for name in found.columns])
    for row in found.fetchall():
        sheet.append(list(row))
    _save(workbook.save, file)


def _coupons(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the coupons: a Parquet file, with the repetitions it has in the sample."""
    connection.execute(
        f"COPY (SELECT * FROM coupons ORDER BY ALL) TO '{_literal(file)}' (FORMAT parquet)"
    )


def _redemptions(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write the redeemed coupons: JSON lines."""
    _json_lines(connection, file, """
        SELECT household_id, coupon_upc, campaign_id, redemption_date::DATE AS redeemed_on
        FROM coupon_redemptions ORDER BY ALL""")  # fmt: skip


def _prices(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write a price list: semicolons, decimal commas, German headers in Latin-1."""
    rows = connection.sql("""
        SELECT p.product_id, p.product_type, p.package_size,
               round(max(t.sales_value / t.quantity), 2)::DECIMAL(12,2) AS price,
               min(t.transaction_timestamp)::DATE AS since
        FROM transactions t JOIN products p USING (product_id)
        WHERE t.quantity > 0 AND p.department = 'GROCERY'
        GROUP BY ALL ORDER BY p.product_id LIMIT 10000""").fetchall()  # fmt: skip
    lines = ["Artikelnummer;Bezeichnung;Packungsgröße;Höchster Preis;gültig ab"]
    for product, kind, size, price, since in rows:
        comma = f"{price:,.2f}".translate(str.maketrans(",.", ".,"))
        lines.append(f'{product};"{kind or ""}";"{size or ""}";{comma};{since:%d.%m.%Y}')
    file.write_bytes("\r\n".join([*lines, ""]).encode("latin-1"))


def _promotions(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write where products were displayed in the last week of 2017: 20,000 rows with codes."""
    _csv(connection, file, """
        SELECT product_id AS "Product", store_id AS "Store", week AS "Week",
               display_location AS "Display", mailer_location AS "Mailer"
        FROM promotions WHERE week = 52 ORDER BY ALL LIMIT 20000""")  # fmt: skip


def _profile(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write what each household spends by category: 85 columns, gzip, a byte order mark."""
    top = [row[0] for row in connection.sql(f"""
        SELECT p.product_category FROM transactions t JOIN products p USING (product_id)
        WHERE p.product_category IS NOT NULL
        GROUP BY 1 ORDER BY sum(t.sales_value) DESC, 1 LIMIT {_WIDE_CATEGORIES}""").fetchall()]  # fmt: skip
    sums = ", ".join(
        f"round(coalesce(sum(t.sales_value) FILTER (p.product_category = '{_literal(name)}'), 0), 2)"
        f"::DECIMAL(12,2) AS {quote_identifier(name)}"
        for name in top
    )
    plain = file.with_suffix("")
    _csv(connection, plain, f"""
        SELECT t.household_id, count(DISTINCT t.basket_id) AS baskets,
               min(t.transaction_timestamp)::DATE AS "first visit",
               max(t.transaction_timestamp)::DATE AS "last visit",
               round(sum(t.sales_value), 2)::DECIMAL(12,2) AS total, {sums}
        FROM transactions t LEFT JOIN products p USING (product_id)
        GROUP BY 1 ORDER BY 1""")  # fmt: skip
    content = b"\xef\xbb\xbf" + plain.read_bytes()
    file.write_bytes(gzip.compress(content, mtime=0))


def _targets(connection: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Write weekly targets of stores, kept by hand: five of the rows are wrong."""
    _csv(connection, file, """
        SELECT store_id, DATE '2016-12-26' + (7 * week)::INTEGER AS week_of,
               round(sum(sales_value) * 1.05, 2)::DECIMAL(12,2) AS target
        FROM transactions WHERE week BETWEEN 1 AND 40 GROUP BY ALL
        HAVING sum(sales_value) > 500 ORDER BY ALL""")  # fmt: skip
    lines = file.read_text(encoding="utf-8").splitlines()
    store, day, target = lines[10].split(",")
    lines[10] = f"{store},{day},{target} USD"
    lines[20] = f",{lines[20].partition(',')[2]}"
    lines[30] = lines[30].replace("2017-", "2017-13-", 1)
    lines[40] = f"{lines[40].rpartition(',')[0]},n/a"
    lines[50] = lines[50].replace(",", ",,", 1)
    lines.append(lines[60])  # twice
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")


FILES: dict[tuple[str, str], Fill] = {
    ("campaign_descriptions", "campaigns_2018-03-01.csv"): _campaigns,
    ("campaign_households", "participants.tsv"): _households,
    ("products", "product_master.zip"): _products,
    ("demographics", "households.xlsx"): _demographics,
    ("coupons", "coupons.parquet"): _coupons,
    ("coupon_redemptions", "redemptions.jsonl"): _redemptions,
    ("price_list", "preisliste.csv"): _prices,
    ("displays", "displays_2017w52.csv"): _promotions,
    ("household_profile", "household_profile.csv.gz"): _profile,
    ("store_targets", "targets_2017.csv"): _targets,
}
"""Source and file name, and what writes the file."""


def _csv(
    connection: duckdb.DuckDBPyConnection, file: Path, query: str, delimiter: str = ","
) -> None:
    connection.execute(
        f"COPY ({query}) TO '{_literal(file)}' (FORMAT csv, HEADER, DELIMITER '{delimiter}')"
    )


def _json_lines(connection: duckdb.DuckDBPyConnection, file: Path, query: str) -> None:
    found = connection.sql(query)
    with file.open("w", encoding="utf-8") as handle:
        for row in found.fetchall():
            handle.write(json.dumps(dict(zip(found.columns, row, strict=True)), default=str) + "\n")


def _save(save: Callable[[Path], None], file: Path) -> None:
    """Save a workbook, then make the moments in it a fixed one."""
    fresh = file.with_suffix(".fresh")
    save(fresh)
    with zipfile.ZipFile(fresh) as made, zipfile.ZipFile(file, "w") as archive:
        for name in sorted(made.namelist()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, _SAVED_AT.sub(b">2018-03-01T00:00:00Z<", made.read(name)))


def _literal(value: object) -> str:
    return str(value).replace("'", "''")


if __name__ == "__main__":
    write_inputs(Settings.from_environment().open_staging())
