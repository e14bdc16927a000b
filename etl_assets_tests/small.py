"""A platform of a few dozen records, for tests that need the real thing but not much of it.

The season of SP17 overlaps that of SU17; SP17 holds 14 sales, SU17 16, AU17 13.
"""

import datetime as dt
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from etl_assets.settings import Settings

CAMPAIGNS = """\
campaigns:
  - {key: SP17, name: Spring, start: 2017-03-01, end: 2017-05-31}
  - {key: SU17, name: Summer, start: 2017-05-15, end: 2017-08-31}
  - {key: AU17, name: Autumn, start: 2017-09-01, end: 2017-11-30}
"""

DATASET = """\
dataset: sales
primary_key: [sale_id]
query: |
  SELECT sale_id, sold_at, quantity, amount, note FROM sales
  WHERE sold_at >= :starts_at AND sold_at < :ends_before
rules:
  - {id: sold-on, kind: derive, column: sold_on, type: date, expression: CAST(sold_at AS DATE)}
"""

MAY_BE_EMPTIED = "guards: {emptied: false}\n" + DATASET
"""The dataset, where nobody has to approve that a slice is emptied."""

COUNTS = {"SP17": 14, "SU17": 16, "AU17": 13}
"""Records of each campaign."""

_NOTES = ("", None, "plain", 'with "quotes", commas\nand lines', "grün")


@dataclass(frozen=True)
class Small:
    """Writes the documents and the source below a home of its own."""

    home: Path

    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""
        return Settings(home=self.home, datasets_folder=self.home / "datasets")

    def build(self) -> "Small":
        """Write everything as the constants above say."""
        self.write_dataset(DATASET)
        self.write_campaigns(CAMPAIGNS)
        self.run_sql(
            "CREATE TABLE sales (sale_id INTEGER PRIMARY KEY, sold_at TIMESTAMP,"
            " quantity INTEGER, amount DECIMAL(10,2), note TEXT)"
        )
        first = dt.datetime(2017, 3, 1)  # noqa: DTZ001  (SQLite's text carries no zone)
        with sqlite3.connect(self.home / "source.sqlite") as connection:
            connection.executemany(
                "INSERT INTO sales VALUES (?, ?, ?, ?, ?)",
                [
                    (n, str(first + dt.timedelta(days=7 * n)), n % 4, n + 0.25, _NOTES[n % 5])
                    for n in range(40)
                ],
            )
        connection.close()
        return self

    def write_dataset(self, text: str, name: str = "sales") -> None:
        """Write the document of a dataset."""
        self._write(f"datasets/{name}.yaml", text)

    def write_campaigns(self, text: str) -> None:
        """Write the registry's campaigns."""
        self._write("registry/campaigns.yaml", text)

    def write_calendar(self, text: str) -> None:
        """Write the registry's calendar."""
        self._write("registry/calendar.yaml", text)

    def write_rules(self, text: str, dataset: str = "sales") -> None:
        """Write the registry's rule set of a dataset."""
        self._write(f"registry/rules/{dataset}.yaml", text)

    def run_sql(self, *statements: str) -> None:
        """Run statements on the source and commit."""
        with sqlite3.connect(self.home / "source.sqlite") as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    def _write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
