"""The views kept beside a target table, and the count of what campaigns have in common.

The same record can be in the slices of several campaigns whose seasons overlap. It is named by
the dataset's primary key; NULLs in it compare equal. `<table>_by_campaign` is the table for
readers, a record once per campaign. `<table>_deduplicated` shows each record once: as the
campaign has it whose key sorts first among those that hold it. So which campaign's version is
shown depends on what is in the table and not on what was loaded last, and totals stay the same
however often campaigns are refreshed.

A slice in which a key column has no value at all, because rules left the column out, has
records without names: they are equal to no other campaign's, and all of them are shown.

One statement for every warehouse: no `IS NOT DISTINCT FROM`, which Redshift has not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from etl_assets.core.reporting import DAY_COLUMNS, Reporting
from etl_assets.core.sql import column_list, quote_identifier, quote_table

BY_CAMPAIGN = "by_campaign"
DEDUPLICATED = "deduplicated"
SEASON_TO_DATE = "season_to_date"
SEASON_OVER_SEASON = "season_over_season"
SHOWS = {
    BY_CAMPAIGN: "a record once per campaign that has it",
    DEDUPLICATED: "each record once, as the campaign has it whose key sorts first",
    SEASON_TO_DATE: "each day of a campaign's season, with sums of the day and since its first day",
    SEASON_OVER_SEASON: "each day of a campaign's season beside the same day of an earlier one's",
}
"""What each kind of view shows, as it stands behind a colon."""


@dataclass(frozen=True)
class Overlap:
    """What two campaigns of a table have in common.

    Attributes:
        first: The campaign key that sorts first; it is the one shown in the de-duplicated view
            unless a third that sorts before it has the record, too.
        second: The other.
        records: Records that are in the slices of both.
    """

    first: str
    second: str
    records: int


@dataclass(frozen=True)
class Overlaps:
    """What the campaigns of a dataset have in common, counted in one snapshot.

    Attributes:
        records: Records of the table; one that several campaigns have counts for each.
        distinct: Records without repetition: what the de-duplicated view has to show.
        pairs: Every two campaigns that share a record, by keys.
        shown: Records the de-duplicated view shows; None when there is no such view.
        nameless: Campaigns whose records have no value in a key column; they are counted as
            equal to none.
        missing: Key columns that the table has not; nothing can be told then but `records`.
    """

    records: int
    distinct: int
    pairs: tuple[Overlap, ...] = ()
    shown: int | None = None
    nameless: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def repeated(self) -> int:
        """Records of the table beyond the first of each."""
        return self.records - self.distinct

    def of(self, key: str) -> dict[str, int]:
        """Return how many records a campaign shares with others, by their keys."""
        return {
            pair.second if pair.first == key else pair.first: pair.records
            for pair in self.pairs
            if key in (pair.first, pair.second)
        }

    def caveat(self) -> str:
        """Return what could not be counted, and why; empty when everything was."""
        if self.missing:
            return (
                f"The table has no {_listed(self.missing)}, which the primary key names: rules"
                " renamed or left out what tells records apart, so they are not compared."
            )
        if self.nameless:
            return (
                f"The records of {', '.join(self.nameless)} have no value in a column of the"
                " primary key, so they count as equal to none."
            )
        return ""


def view_name(table: str, kind: str) -> str:
    """Return the name of a table's view."""
    return f"{table}_{kind}"


def view_kinds(reporting: Reporting | None) -> tuple[str, ...]:
    """Return the kinds of views kept beside the table of a dataset that declares this."""
    return (BY_CAMPAIGN, DEDUPLICATED, *(DAY_COLUMNS if reporting else ()))


def view_names(table: str, reporting: Reporting | None = None) -> tuple[str, ...]:
    """Return the names of all views kept beside a table."""
    return tuple(view_name(table, kind) for kind in view_kinds(reporting))


def select_by_campaign(target: str, columns: Sequence[str], mark: str) -> str:
    """Return the query of `<table>_by_campaign`; `mark` is an alias it is to hold."""
    return f"SELECT {column_list(columns)} FROM {target} AS {mark}"


def count_overlaps(schema: str, table: str, primary_key: Sequence[str]) -> str:
    """Return the statement that counts what campaigns share; `read_overlaps` reads its rows.

    A row for every two campaigns that share records, and one of each campaign with itself:
    two keys, records in both; and of the campaign with itself records of the slice, those of
    them that no campaign before has, and whether the slice's records are nameless.
    """
    target, names = quote_table(schema, table), column_list(primary_key)
    owned = ", ".join(f"c.{quote_identifier(name)}" for name in primary_key)
    return f"""\
WITH counted AS (
    SELECT campaign_key, {names}, count(*) AS records
    FROM {target} GROUP BY campaign_key, {names}
), nameless AS (
    {_select_nameless("counted", primary_key)}
), owned AS (
    SELECT c.campaign_key, c.records, n.campaign_key AS nameless,
        dense_rank() OVER (ORDER BY {owned}) AS record,
        min(c.campaign_key) OVER (PARTITION BY n.campaign_key, {owned}) AS first_key
    FROM counted c LEFT JOIN nameless n ON n.campaign_key = c.campaign_key
)
SELECT a.campaign_key, b.campaign_key, count(*), sum(a.records),
    sum(CASE WHEN a.first_key = a.campaign_key THEN a.records ELSE 0 END), count(a.nameless)
FROM owned a JOIN owned b ON b.record = a.record AND (
    b.campaign_key = a.campaign_key
    OR (b.campaign_key > a.campaign_key AND a.nameless IS NULL AND b.nameless IS NULL)
)
GROUP BY 1, 2 ORDER BY 1, 2"""


def read_overlaps(rows: Iterable[Sequence[object]], shown: int | None) -> Overlaps:
    """Return what the rows of `count_overlaps` say.

    Args:
        rows: The statement's rows.
        shown: Records the de-duplicated view shows, in the same snapshot.
    """
    read = [
        (str(first), str(second), [int(str(number)) for number in numbers])
        for first, second, *numbers in rows
    ]
    alone = [(key, numbers) for key, second, numbers in read if key == second]
    return Overlaps(
        records=sum(records for _, (_, records, _, _) in alone),
        distinct=sum(distinct for _, (_, _, distinct, _) in alone),
        pairs=tuple(Overlap(a, b, shared) for a, b, (shared, *_) in read if a != b),
        shown=shown,
        nameless=tuple(key for key, (_, _, _, nameless) in alone if nameless),
    )


def select_deduplicated(
    target: str, columns: Sequence[str], primary_key: Sequence[str], mark: str
) -> str:
    """Return the query of `<table>_deduplicated`; `mark` is an alias it is to hold."""
    listed = ", ".join(f"t.{quote_identifier(name)}" for name in columns)
    names = ", ".join(f"t.{quote_identifier(name)}" for name in primary_key)
    return (
        f"SELECT {column_list(columns)} FROM (SELECT {listed},"
        f' min(t.campaign_key) OVER (PARTITION BY n.campaign_key, {names}) AS "first key"'
        f" FROM {target} AS t LEFT JOIN ({_select_nameless(target, primary_key)}) AS n"
        f' ON n.campaign_key = t.campaign_key) AS {mark} WHERE campaign_key = "first key"'
    )


def _select_nameless(source: str, primary_key: Sequence[str]) -> str:
    empty = " OR ".join(f"count({quote_identifier(name)}) = 0" for name in primary_key)
    return f"SELECT campaign_key FROM {source} GROUP BY campaign_key HAVING {empty}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
