"""The views over the days of a season: to date, and beside those of an earlier campaign.

Both are made of the table and the ledger, so they show the season that a slice was loaded with,
in the transaction that loaded it. A day of the season is shown whether it has records or not: up
to its last day, or to the day the slice's extract was read. Campaigns are compared by the number
of the day in its season.

One text for every warehouse: no `generate_series`, which Redshift has on its leader node only, no
`IS NOT DISTINCT FROM` (rows of a dimension that is NULL come together by GROUP BY instead), and a
CAST around every sum, since warehouses widen them differently.
"""

from collections.abc import Mapping

from etl_assets.core.ledger import LEDGER
from etl_assets.core.reporting import (
    RECORDS,
    Reporting,
    season_over_season_columns,
    season_to_date_columns,
    sum_type,
)
from etl_assets.core.sql import column_list, quote_identifier, quote_literal, quote_table

MAX_DAYS = 10_000
"""Days of a season that are shown: what `_NUMBERS` counts to."""

_DIGITS = " UNION ALL ".join(f"SELECT {n}{' AS n' * (n == 0)}" for n in range(10))
_NUMBERS = f"""\
digits AS ({_DIGITS}),
numbers AS (
    SELECT 1000 * a.n + 100 * b.n + 10 * c.n + d.n + 1 AS day_number
    FROM digits a CROSS JOIN digits b CROSS JOIN digits c CROSS JOIN digits d
)"""


class SeasonViews:
    """Writes the queries of a table's views over days.

    Args:
        schema: The table's.
        table: Its name.
        reporting: What the dataset declares.
        kinds: The types of the table's columns, as its catalog writes them.
    """

    def __init__(
        self, schema: str, table: str, reporting: Reporting, kinds: Mapping[str, str]
    ) -> None:
        self._target = quote_table(schema, table)
        self._table = table
        self._reporting = reporting
        self._types = {RECORDS: "BIGINT"} | {
            name: sum_type(kinds[name]) or "BIGINT" for name in reporting.measures
        }

    def to_date(self, mark: str) -> str:
        """Return the query of `<table>_season_to_date`; `mark` is an alias it is to hold."""
        shown = ", ".join(f"r.{quote_identifier(name)}" for name, _ in self._running())
        return f"""\
SELECT {column_list(season_to_date_columns(self._reporting))} FROM (
WITH {_NUMBERS},
{self._daily()},
cells AS (
    SELECT c.campaign_key, {self._dimensions("c")}c.day_number, {self._sums("c", "")} FROM daily c
    UNION ALL
    {self._grid("daily", "spans", "p.days", self._zeros(""))}
),
{self._totals("")}
SELECT r.campaign_key, p.campaign_name, {self._dimensions("r")}
    p.first_day + CAST(r.day_number - 1 AS INTEGER) AS day, r.day_number, {shown}
FROM running r JOIN spans p ON p.campaign_key = r.campaign_key
) AS {mark}"""

    def over_season(self, mark: str) -> str:
        """Return the query of `<table>_season_over_season`; `mark` is an alias it is to hold."""
        longer = "GREATEST(p.days, COALESCE(p.compared_days, 0))"
        none = f"{self._zeros('')}, {self._zeros('compared_')}"
        shown = ",\n    ".join(self._compared(*shown) for shown in self._running())
        return f"""\
SELECT {column_list(season_over_season_columns(self._reporting))} FROM (
WITH {_NUMBERS},
{self._daily()},
pairs AS (
    SELECT p.campaign_key, p.campaign_name, p.compared_with, p.first_day, p.season_days, p.days,
        e.campaign_name AS compared_name, e.first_day AS compared_first_day,
        e.season_days AS compared_season_days, e.days AS compared_days
    FROM spans p LEFT JOIN spans e ON e.campaign_key = p.compared_with
),
sides AS (
    SELECT c.campaign_key, {self._dimensions("c")}c.day_number, {self._sums("c", "")},
        {self._zeros("compared_")}
    FROM daily c
    UNION ALL
    SELECT p.campaign_key, {self._dimensions("c")}c.day_number, {self._zeros("")},
        {self._sums("c", "")}
    FROM daily c JOIN pairs p ON p.compared_with = c.campaign_key
),
cells AS (
    SELECT c.campaign_key, {self._dimensions("c")}c.day_number, {self._sums("c", "")},
        {self._sums("c", "compared_")}
    FROM sides c
    UNION ALL
    {self._grid("sides", "pairs", longer, none)}
),
{self._totals("", "compared_")}
SELECT r.campaign_key, p.campaign_name, p.compared_with, p.compared_name,
    {self._dimensions("r")}r.day_number,
    CASE WHEN r.day_number <= p.season_days
        THEN p.first_day + CAST(r.day_number - 1 AS INTEGER) END AS day,
    CASE WHEN r.day_number <= p.compared_season_days
        THEN p.compared_first_day + CAST(r.day_number - 1 AS INTEGER) END AS compared_day,
    {shown}
FROM running r JOIN pairs p ON p.campaign_key = r.campaign_key
) AS {mark}"""

    def _daily(self) -> str:
        """Return what both queries begin with: seasons, the sums of each day, days to be shown."""
        day = f"t.{quote_identifier(self._reporting.day)}"
        number = f"CAST({day} - s.first_day AS INTEGER) + 1"
        sums = "".join(
            f", CAST(COALESCE(sum({self._value(name)}), 0) AS {self._types[name]})"
            f" AS {quote_identifier(name)}"
            for name in self._reporting.measures
        )
        return f"""\
seasons AS (
    SELECT campaign_key, campaign_name, compared_with, season_start AS first_day,
        season_end AS last_day, LEAST(seen_to, season_end) AS seen_to
    FROM (
        SELECT campaign_key, campaign_name, compared_with, season_start, season_end, seen_to, kind,
            row_number() OVER (
                PARTITION BY campaign_key ORDER BY committed_at DESC, load_id DESC
            ) AS place
        FROM {LEDGER}
        WHERE "table" = {quote_literal(self._table)} AND kind IN ('load', 'rollback', 'prune')
    ) AS changes
    WHERE place = 1 AND kind <> 'prune' AND season_start IS NOT NULL
),
daily AS (
    SELECT t.campaign_key, {self._dimensions("t")}{number} AS day_number,
        CAST(count(*) AS BIGINT) AS records{sums}
    FROM {self._target} t JOIN seasons s ON s.campaign_key = t.campaign_key
    WHERE {day} >= s.first_day AND {day} <= s.last_day
    GROUP BY t.campaign_key, {self._dimensions("t")}{number}
),
spans AS (
    SELECT s.campaign_key, s.campaign_name, s.compared_with, s.first_day,
        CAST(s.last_day - s.first_day AS INTEGER) + 1 AS season_days,
        GREATEST(CAST(s.seen_to - s.first_day AS INTEGER) + 1, COALESCE(l.day_number, 0)) AS days
    FROM seasons s LEFT JOIN (
        SELECT campaign_key, max(day_number) AS day_number FROM daily GROUP BY campaign_key
    ) AS l ON l.campaign_key = s.campaign_key
)"""

    def _grid(self, cells: str, spans: str, days: str, zeros: str) -> str:
        """Return a SELECT of a row without records for every day, of everything there is."""
        rows = f"{spans} p JOIN numbers n ON n.day_number <= {days}"
        if self._reporting.dimensions:
            rows = (
                f"(SELECT DISTINCT {', '.join(self._by('c'))} FROM {cells} c) AS g"
                f" JOIN {spans} p ON p.campaign_key = g.campaign_key"
                f" JOIN numbers n ON n.day_number <= {days}"
            )
        return f"SELECT p.campaign_key, {self._dimensions('g')}n.day_number, {zeros} FROM {rows}"

    def _totals(self, *sides: str) -> str:
        """Return the sums of each day, and of all days up to it, for the prefix of each side."""
        dimensions, by = self._dimensions("c"), ", ".join(self._by("c"))
        sums = ", ".join(
            f"CAST(sum(c.{name}) AS {kind}) AS {name}" for name, kind in self._each(*sides)
        )
        to_date = ", ".join(
            f"CAST(sum(c.{name}) OVER (PARTITION BY {by}"
            f" ORDER BY c.day_number ROWS UNBOUNDED PRECEDING) AS {kind})"
            f' AS {name[:-1]}_to_date"'
            for name, kind in self._each(*sides)
        )
        same = ", ".join(f"c.{name}" for name, _ in self._each(*sides))
        return f"""\
totals AS (
    SELECT c.campaign_key, {dimensions}c.day_number, {sums}
    FROM cells c GROUP BY c.campaign_key, {dimensions}c.day_number
),
running AS (
    SELECT c.campaign_key, {dimensions}c.day_number, {same}, {to_date} FROM totals c
)"""

    def _running(self) -> list[tuple[str, str]]:
        """Return what is shown of each sum, of the day and to date, with types."""
        return [
            (f"{name}{part}", kind)
            for name, kind in self._types.items()
            for part in ("", "_to_date")
        ]

    def _compared(self, name: str, kind: str) -> str:
        """Return a sum of this season, of the earlier one, and their difference.

        Each is NULL on a day that its season has not, or that nothing is known of yet.
        """
        mine = f"CASE WHEN r.day_number <= p.days THEN r.{quote_identifier(name)} END"
        other = f"compared_{name}"
        theirs = f"CASE WHEN r.day_number <= p.compared_days THEN r.{quote_identifier(other)} END"
        return (
            f"{mine} AS {quote_identifier(name)}, {theirs} AS {quote_identifier(other)},"
            f" CAST({mine} - {theirs} AS {kind}) AS {quote_identifier(f'{name}_difference')}"
        )

    def _each(self, *sides: str) -> list[tuple[str, str]]:
        """Return the quoted names of all sums, for the prefix of each side, with their types."""
        return [
            (quote_identifier(side + name), kind)
            for side in sides
            for name, kind in self._types.items()
        ]

    def _sums(self, alias: str, side: str) -> str:
        return ", ".join(f"{alias}.{name}" for name, _ in self._each(side))

    def _zeros(self, side: str) -> str:
        return ", ".join(f"CAST(0 AS {kind}) AS {name}" for name, kind in self._each(side))

    def _value(self, measure: str) -> str:
        value = f"t.{quote_identifier(measure)}"
        return f"CAST({value} AS DOUBLE PRECISION)" if "DOUBLE" in self._types[measure] else value

    def _by(self, alias: str) -> list[str]:
        """Return what each line of days is of: a campaign, and a value of each dimension."""
        names = ("campaign_key", *self._reporting.dimensions)
        return [f"{alias}.{quote_identifier(name)}" for name in names]

    def _dimensions(self, alias: str) -> str:
        """Return the dimensions with a comma behind each; empty when there is none."""
        return "".join(f"{alias}.{quote_identifier(n)}, " for n in self._reporting.dimensions)
