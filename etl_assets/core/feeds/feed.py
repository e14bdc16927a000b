"""Feeds: what is delivered, to whom, in which form and when; one YAML document each."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlglot import exp

from etl_assets.core.columns import Column, ColumnName, ColumnType
from etl_assets.core.datasets import Dataset
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError
from etl_assets.core.feeds import fence
from etl_assets.core.feeds.destinations import Destination, FileDestination, TableDestination
from etl_assets.core.feeds.formats import CsvFormat, Format
from etl_assets.core.readers import Owner
from etl_assets.core.reporting_views import view_names
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.selects import Select
from etl_assets.core.sql import column_list

ALL = "all"
"""The scope of a feed that has one file for all campaigns."""

_FIELD = re.compile(r"\{(?P<name>[a-z]+)(?::(?P<format>[^{}]*))?\}")
_DATE_FORMAT = re.compile(r"(%[YmdHMSjy]|[0-9A-Za-z_.-])+")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TERM = re.compile(r"[a-z][a-z0-9_]*( desc)?")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_SEASON = {"campaign_key", "first_day", "last_day"}


class FeedColumn(BaseModel):
    """What a feed's document says about a column.

    Attributes:
        type: Of a column that the query computes.
        comment: What the audience should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ColumnType | None = None
    comment: str = ""


class Feed(BaseModel):
    """One feed.

    Attributes:
        feed: Its name.
        description: What is delivered.
        owner: Who answers for it: `team:name`, or an e-mail address.
        audience: Who gets it.
        select: One SELECT over tables and views of the platform; see `core/feeds/fence.py`.
        columns: Types of what it computes, and comments, by column.
        order_by: Columns with ` desc` where they descend; all others follow, so the order is total.
        per: `key`: a file for each campaign; `refresh`: one for all.
        format: Of files; a table takes none.
        destination: Where it goes.
        name: Of the files, with `{key}`, `{date}`, `{date:%Y%m%d}` and `{feed}`.
        needs: What must be refreshed since the last tick of the schedule before it is delivered:
            `own_key`, `due_keys` or `nothing`.
        on_empty: `deliver` a file without records, or `fail`.
        deliver_by: Time of the day, in the schedule's time zone, from which on a feed that was
            not delivered since the last tick is late.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    description: str = ""
    owner: Owner | None = None
    audience: str = ""
    select: str
    columns: dict[ColumnName, FeedColumn] = Field(default_factory=dict)
    order_by: tuple[str, ...] = ()
    per: Literal["key", "refresh"] = "refresh"
    format: Format | None = None
    destination: Destination = FileDestination(url="file:feeds")
    name: str = ""
    needs: Literal["own_key", "due_keys", "nothing"] | None = None
    on_empty: Literal["deliver", "fail"] = "deliver"
    deliver_by: str | None = None

    @field_validator("select")
    @classmethod
    def _fenced(cls, text: str) -> str:
        fence.parse_feed_select(text)
        return text.strip().rstrip(";").strip()

    @field_validator("deliver_by")
    @classmethod
    def _time(cls, text: str | None) -> str | None:
        if text is not None and not _TIME.fullmatch(text):
            raise ValueError("is no time of the day, such as 07:30")
        return text

    @model_validator(mode="after")
    def _together(self) -> "Feed":
        self._check_columns()
        self._check_scope()
        self._check_files()
        if self.needs is None:
            object.__setattr__(self, "needs", "own_key" if self.per == "key" else "due_keys")
        return self

    def _check_columns(self) -> None:
        names = fence.columns_of(self.tree)
        for name in names:
            if not _COLUMN.fullmatch(name):
                raise ValueError(
                    f"`select` names a column `{name}`: write small letters, digits, `_`"
                )
            if not self.declared(name):
                fence.own_type(self.tree, name)
        terms = [term.removesuffix(" desc") for term in self.order_by]
        for name in [*self.columns, *terms, *self._keys()]:
            if name not in names:
                raise ValueError(f"`{name}` is no column of `select`{nearest(name, names)}")
        for term in self.order_by:
            if not _TERM.fullmatch(term):
                raise ValueError(f"`order_by` has {term!r}: write `column` or `column desc`")
        if len(set(terms)) < len(terms):
            raise ValueError("`order_by` names a column twice")

    def _keys(self) -> tuple[str, ...]:
        return self.destination.key if isinstance(self.destination, TableDestination) else ()

    def _check_scope(self) -> None:
        bound = fence.parameters(self.tree)
        if self.per == "key" and "campaign_key" not in bound:
            raise ValueError("with `per: key`, `select` must bind `:campaign_key`")
        if self.per == "refresh" and bound & _SEASON:
            raise ValueError(f"`:{min(bound & _SEASON)}` is of a campaign: say `per: key`")
        if self.per == "refresh" and self.needs == "own_key":
            raise ValueError("`needs: own_key` goes with `per: key`")

    def _check_files(self) -> None:
        destination = self.destination
        if isinstance(destination, TableDestination):
            if self.format or self.name:
                raise ValueError("a table takes neither `format` nor `name`")
            if destination.mode == "replace" and self.per == "key":
                raise ValueError("with `per: key`, `mode: replace` would leave one campaign's")
            if destination.mode == "replace_key" and (
                self.per != "key" or "campaign_key" not in fence.columns_of(self.tree)
            ):
                raise ValueError(
                    "`mode: replace_key` goes with `per: key` and a column `campaign_key`"
                )
            return
        if not self.format:
            object.__setattr__(self, "format", CsvFormat())
        one = len(fence.columns_of(self.tree)) == 1
        if one and isinstance(self.format, CsvFormat) and not self.format.null:
            raise ValueError("a CSV of one column needs a `null` that is no empty line")
        if not self.name:
            raise ValueError("`name` is missing, such as sales_{date:%Y%m%d}.csv")
        self._check_name()

    def _check_name(self) -> None:
        fields = {match["name"] for match in _FIELD.finditer(self.name)}
        if unknown := fields - {"key", "date", "feed"}:
            raise ValueError(f"`name` has {{{min(unknown)}}}: fields are key, date, feed")
        if ("key" in fields) != (self.per == "key"):
            raise ValueError("`name` needs {key} with `per: key`, and has none without")
        for match in _FIELD.finditer(self.name):
            text = match["format"]
            if text is not None and (match["name"] != "date" or not _DATE_FORMAT.fullmatch(text)):
                raise ValueError(f"`name` has {match[0]}: a date is written as {{date:%Y%m%d}}")
        if not _FILE_NAME.fullmatch(_FIELD.sub("x", self.name)):
            raise ValueError("`name` is of letters, digits, `_`, `-` and `.`, and no folder")

    @cached_property
    def tree(self) -> exp.Query:
        """The query, parsed."""
        return fence.parse_feed_select(self.select)

    @property
    def reads(self) -> list[str]:
        """The tables and views that the query reads, sorted."""
        return fence.relations(self.tree)

    def declared(self, column: str) -> ColumnType | None:
        """Return the type that the document gives a column."""
        spec = self.columns.get(column)
        return spec.type if spec else None

    def typed(self, described: Mapping[str, ColumnType]) -> tuple[Column, ...]:
        """Return the columns of the result.

        Args:
            described: The types of the query's columns in the warehouse.
        """

        def column(name: str) -> Column:
            kind = self.declared(name) or fence.own_type(self.tree, name) or described[name]
            spec = self.columns.get(name)
            return Column(name=name, type=kind, comment=spec.comment if spec else "")

        return tuple(column(name) for name in fence.columns_of(self.tree))

    def bound(self, bindings: Mapping[str, str | dt.date]) -> Select:
        """Return the query with parameters bound, in its total order."""
        names = fence.columns_of(self.tree)
        first = {term.removesuffix(" desc") for term in self.order_by}
        return Select(
            fence.bind(self.tree, bindings),
            (*self.order_by, *(name for name in names if name not in first)),
        )

    def described(self, select: Select) -> Select:
        """Return the query of those columns alone whose types only the warehouse knows."""
        open_ = [
            name
            for name in fence.columns_of(self.tree)
            if not self.declared(name) and fence.own_type(self.tree, name) is None
        ]
        listed = column_list(open_) if open_ else "1 AS nothing"
        return Select(f"SELECT {listed} FROM ({select.sql}) AS q")

    def used(self, bindings: Mapping[str, str | dt.date]) -> dict[str, str]:
        """Return those bindings that the query uses, as texts."""
        return {name: str(bindings[name]) for name in sorted(fence.parameters(self.tree))}

    def file_name(self, scope: str, moment: dt.datetime) -> str:
        """Return the name of a file.

        Args:
            scope: The campaign key, or `ALL`.
            moment: In the schedule's time zone.
        """

        def value(match: re.Match[str]) -> str:
            if match["name"] == "date":
                return moment.strftime(match["format"] or "%Y-%m-%d")
            return scope if match["name"] == "key" else self.feed

        return _FIELD.sub(value, self.name)

    @property
    def digest(self) -> str:
        """SHA-256 of what decides what is delivered, and where."""
        parts = {"select", "columns", "order_by", "per", "format", "destination", "name"}
        content = self.model_dump(mode="json", include=parts)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def parse_feed(text: str, source: str, datasets: Mapping[str, Dataset]) -> Feed:
    """Return the feed of a YAML document.

    Args:
        text: The document.
        source: Names it in errors, usually its file name.
        datasets: By name; the query reads their tables and views.

    Raises:
        DocumentError: Naming line and field of everything that is wrong.
    """
    document = Document(text, source)
    feed = document.validate(Feed, document.data)
    try:
        fence.check_relations(feed.tree, relations_of(datasets))
    except ValueError as error:
        raise DocumentError(source, [f"`select` {error}"]) from None
    return feed


def relations_of(datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return the dataset of each table and view of the platform, by its name."""
    return {
        name: dataset
        for dataset in datasets.values()
        for name in (dataset.table, *view_names(dataset.table, dataset.reporting))
    }
