"""Which views a table is to have, and what has to be done to those that are there."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl_assets.core.errors import WarehouseError
from etl_assets.core.manifest import Stage
from etl_assets.core.reporting import DAY_COLUMNS, Declared, Reporting
from etl_assets.core.reporting_views import (
    BY_CAMPAIGN,
    DEDUPLICATED,
    SEASON_OVER_SEASON,
    SEASON_TO_DATE,
    SHOWS,
    select_by_campaign,
    select_deduplicated,
    view_name,
)
from etl_assets.core.season_views import SeasonViews
from etl_assets.core.sql import quote_identifier, quote_table

_OURS = re.compile(rf"\b({SEASON_TO_DATE}|{SEASON_OVER_SEASON})_[0-9a-f]{{16}}\b")


@dataclass(frozen=True)
class View:
    """A view to be kept.

    Attributes:
        name: Its name, in the table's schema.
        select: Its query.
        mark: An alias in the query that changes with everything that is said here. Both catalogs
            keep it, and it is how a warehouse is asked whether its view is this one.
        comment: What it shows.
        comments: Of its columns, as far as they are not the table's.
    """

    name: str
    select: str
    mark: str
    comment: str
    comments: Mapping[str, str]


@dataclass(frozen=True)
class Changes:
    """What has to be done to a table's views; nothing at all when both are empty.

    Attributes:
        make: Views to be made, or put in the place of what has their name.
        drop: Names of our views that nobody declares any more.
    """

    make: tuple[View, ...]
    drop: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.make or self.drop)


def kept_views(
    schema: str,
    stage: Stage,
    kinds: Mapping[str, str],
    declared: Declared | None,
    grants: Sequence[str] = (),
) -> list[View]:
    """Return the views of a table.

    There is none without repetition when the table lacks a column of the primary key, and none
    over days unless that is declared.

    Args:
        schema: The table's.
        stage: What is loaded into it.
        kinds: The table's columns with their types, as its catalog writes them.
        declared: None: the views over days are nobody's business now.
        grants: What is granted together with the views.

    Raises:
        WarehouseError: When the table has not the columns that views over days are declared of.
    """
    said, target, columns = declared or Declared(), quote_table(schema, stage.table), list(kinds)
    queries: dict[str, Callable[[str], str]] = {
        BY_CAMPAIGN: lambda mark: select_by_campaign(target, columns, mark)
    }
    if set(stage.primary_key) <= set(columns):
        queries[DEDUPLICATED] = lambda mark: select_deduplicated(
            target, columns, stage.primary_key, mark
        )
    if said.reporting:
        _check_columns(stage, said.reporting, kinds)
        days = SeasonViews(schema, stage.table, said.reporting, kinds)
        queries |= {SEASON_TO_DATE: days.to_date, SEASON_OVER_SEASON: days.over_season}
    views = []
    for kind, query in queries.items():
        comment = f"{said.description} {SHOWS[kind][0].upper()}{SHOWS[kind][1:]}.".strip()
        comments = column_comments(kind, said)
        content = json.dumps([query("mark"), comment, comments, list(grants)], sort_keys=True)
        mark = f"{kind}_{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        name = view_name(stage.table, kind)
        views.append(View(name, query(quote_identifier(mark)), mark, comment, comments))
    return views


def changes(
    stage: Stage, views: Iterable[View], there: Mapping[str, str], declared: Declared | None
) -> Changes:
    """Return what makes the views of a schema those that a table is to have.

    Args:
        stage: What is loaded into the table.
        views: Those it is to have.
        there: The texts of the schema's views, by name.
        declared: As for `kept_views`.

    Raises:
        WarehouseError: When a view over days has to be made whose name another's view has.
    """
    views = list(views)
    days = [view_name(stage.table, kind) for kind in DAY_COLUMNS]
    ours = {name for name in days if _OURS.search(there.get(name, ""))}
    wanted = {view.name for view in views}
    if others := [name for name in days if name in wanted and name in there and name not in ours]:
        raise WarehouseError(
            f"The load of {stage.dataset} for campaign {stage.campaign_key} needs the name"
            f" {others[0]}, which a view has that is not ours; nothing was loaded.",
            f"Rename or drop the view {others[0]}, or take `reporting` out of the dataset's"
            " document, and refresh again.",
        )
    return Changes(
        make=tuple(view for view in views if view.mark not in there.get(view.name, "")),
        drop=tuple(sorted(ours - wanted)) if declared else (),
    )


def column_comments(kind: str, declared: Declared) -> dict[str, str]:
    """Return the comments of a view's columns, as far as they are not those of the table's."""
    reporting = declared.reporting
    if reporting is None or kind not in DAY_COLUMNS:
        return {}
    said = {
        "campaign_key": "The campaign.",
        "campaign_name": "What people call the campaign.",
        "day": "The day of the campaign's season; NULL when the season has no such day.",
        "day_number": "Days since the season began; its first day is 1.",
    } | {name: text for name in reporting.dimensions if (text := declared.comments.get(name))}
    both = kind == SEASON_OVER_SEASON
    if both:
        said |= {
            "compared_with": "The earlier campaign it is compared with; NULL for none.",
            "compared_name": "What people call that campaign.",
            "compared_day": "The day of its season with the same number; NULL when there is none.",
        }
    for name in reporting.summed:
        text = declared.comments.get(name, "") if name in reporting.measures else "Records."
        for part, over in (
            (name, "On this day"),
            (f"{name}_to_date", "Since the season's first day"),
        ):
            said[part] = f"{text} {over}.".strip()
            if both:
                said[f"compared_{part}"] = f"{text} {over}, of the campaign compared with.".strip()
                said[f"{part}_difference"] = f"`{part}` less `compared_{part}`."
    return said


def _check_columns(stage: Stage, reporting: Reporting, kinds: Mapping[str, str]) -> None:
    missing = [f"the table has no `{name}`" for name in reporting.columns if name not in kinds]
    wrong = [*missing, *reporting.misfits(kinds, "in the table")]
    if wrong:
        raise WarehouseError(
            f"The load of {stage.dataset} for campaign {stage.campaign_key} cannot make the views"
            f" that `reporting` declares: {'; '.join(wrong)}; nothing was loaded.",
            "Correct `reporting` in the dataset's document, or the rules that make the columns.",
        )
