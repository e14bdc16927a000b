"""Datasets: what is extracted and where it lands, as one YAML document each."""

import hashlib
import json
from typing import Annotated, Literal

import sqlglot
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlglot import exp

from etl_assets.core.columns import Column, ColumnName, ColumnType
from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.core.guards import Guards
from etl_assets.core.keep import Keep
from etl_assets.core.policies import Policies
from etl_assets.core.readers import Owner, Reader
from etl_assets.core.reporting import Reporting
from etl_assets.core.reporting_views import view_kinds, view_names
from etl_assets.core.rules.kinds import Rule
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.season_column import season_column

DatasetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class ColumnSpec(BaseModel):
    """What a dataset's document says about a column of its query or table.

    Attributes:
        type: The column's type; may be left out where the source knows it.
        comment: What a reader of the table should know.
        policies: Override the dataset's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: ColumnType | None = None
    comment: str = ""
    policies: Policies | None = None


class Dataset(BaseModel):
    """One dataset; one asset chain.

    Attributes:
        dataset: Its name: the prefix of its assets, and a folder of the staging store.
        description: What one record of it is.
        owner: Who answers for it: `team:name`, or an e-mail address.
        table: The target table; the dataset's name unless said.
        primary_key: Columns of the query that together name a record of a campaign.
        measures: Columns of the query whose sums matter.
        source_proof: Of what the source computes a fingerprint itself, for the extract to be
            proven by: `named`, the primary key and the measures; `all` columns; or only the
            `count` of records.
        query: One SELECT; binds `:campaign_key`, `:start`, `:end`, `:starts_at`,
            `:ends_before` and the campaign's own parameters.
        columns: Types and comments, by column name.
        rules: Applied while the registry holds no rule set for this dataset.
        policies: What happens to values that cannot be kept as they are.
        on_rule_change: `apply` stages and loads a campaign again when its rules changed;
            `wait` leaves that to the next refresh, and the UI shows what is out of step.
        fallback: `last_good_rules` loads with the version of the last load when a newer one
            fails on today's data, and says so; `none` fails the campaign.
        together: All keys of a refresh are read as of one moment, and become visible in one
            transaction. A key that fails then holds the set (`hold_set`), or is left out
            (`leave_out`). None: each key by itself.
        guards: What holds a load for approval.
        keep: How much of earlier loads is kept, to be put back.
        max_rejected: More rejected records than this fail the campaign; None: any number.
        on_schema_change: `evolve` adds columns to the table (and widens texts where the
            warehouse limits them), and a column that is gone is NULL from then on; `freeze`
            fails the load, showing what differs. A changed type fails it always.
        distribution_key: The column Redshift spreads the table by; its own choice unless said.
        sort_keys: The columns Redshift sorts the table by.
        late_after_minutes: A key that was not refreshed so long after a tick of the schedule
            is late; the check `no_key_is_failed_or_late` then fails.
        reporting: What the views over the days of a season show; None: there are none.
        readers: Who reads the table; shown at the end of the graph.
        preview: Whether the UI shows the first records; `false` where they are nobody's business.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: DatasetName
    description: str = ""
    owner: Owner | None = None
    table: ColumnName = ""
    primary_key: tuple[ColumnName, ...] = Field(min_length=1)
    measures: tuple[ColumnName, ...] = ()
    source_proof: Literal["count", "named", "all"] = "named"
    query: str
    columns: dict[ColumnName, ColumnSpec] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    policies: Policies = Policies()
    on_rule_change: Literal["wait", "apply"] = "wait"
    fallback: Literal["none", "last_good_rules"] = "none"
    together: Literal["hold_set", "leave_out"] | None = None
    guards: Guards = Guards()
    keep: Keep = Keep()
    max_rejected: int | None = Field(default=None, ge=0)
    on_schema_change: Literal["evolve", "freeze"] = "evolve"
    distribution_key: ColumnName | None = None
    sort_keys: tuple[ColumnName, ...] = ()
    late_after_minutes: int = Field(default=60, ge=1, le=1440)
    reporting: Reporting | None = None
    readers: tuple[Reader, ...] = ()
    preview: bool = True

    @field_validator("query")
    @classmethod
    def _single_select(cls, query: str) -> str:
        parse_select(query)
        return query.strip().rstrip(";").strip()

    @model_validator(mode="after")
    def _defaults(self) -> "Dataset":
        RuleSet(rules=self.rules)  # refuses two rules with one id
        names = [reader.name for reader in self.readers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two `readers` have the name `{twice[0]}`")
        self._check_reporting()
        if not self.table:
            object.__setattr__(self, "table", self.dataset)
        return self

    def _check_reporting(self) -> None:
        """Raise ValueError when reports, or who reads them, need what is known not to be there."""
        if self.reporting:
            kinds = {n: str(c.type) for n, c in self.columns.items() if c.type}
            if wrong := next(self.reporting.misfits(kinds, "in `columns`"), None):
                raise ValueError(f"`reporting`: {wrong}")
        for reader in self.readers:
            if reader.reads != "table" and reader.reads not in view_kinds(self.reporting):
                raise ValueError(
                    f"the reader `{reader.name}` reads `{reader.reads}`, a view that is there only"
                    " with `reporting`"
                )

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.dataset

    @property
    def own_rules(self) -> RuleSet:
        """The rules of the document itself, as version 0."""
        return RuleSet(rules=self.rules)

    @property
    def source_tables(self) -> list[str]:
        """The tables the query reads, sorted; common table expressions are not tables."""
        tree = parse_select(self.query)
        local = {cte.alias for cte in tree.find_all(exp.CTE)}
        return sorted({t.name for t in tree.find_all(exp.Table)} - local)

    @property
    def query_parameters(self) -> set[str]:
        """The names the query binds."""
        return {node.name for node in parse_select(self.query).find_all(exp.Placeholder)}

    @property
    def season_column(self) -> str | None:
        """The column of the query that says when a record was; see `core/season_column.py`."""
        return season_column(parse_select(self.query))

    @property
    def load_digest(self) -> str:
        """SHA-256 of what decides how an extract becomes records of the table."""
        content = self.model_dump(mode="json", include={"table", "primary_key", "max_rejected"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def policies_of(self, column: str) -> Policies:
        """Return a column's policies: the dataset's, overridden by its own."""
        spec = self.columns.get(column)
        return self.policies.overridden_by(spec.policies if spec else None)

    def describe(self, columns: list[Column]) -> list[Column]:
        """Return columns with the document's comments where it has some."""
        return [
            c.model_copy(update={"comment": self.columns[c.name].comment})
            if c.name in self.columns
            else c
            for c in columns
        ]


def parse_select(query: str) -> exp.Query:
    """Return the query's tree.

    Raises:
        ValueError: When it is not a single SELECT that only reads.
    """
    try:
        trees = [t for t in sqlglot.parse(query, read="mysql") if t is not None]
    except sqlglot.errors.SqlglotError as error:
        detail = str(error).splitlines()[0]
        raise ValueError(f"cannot be parsed as SQL: {detail}") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise ValueError("must be a single SELECT")
    if "/*!" in query:
        raise ValueError("must not hold a `/*!` comment, which MySQL runs")
    if any(not select.expressions for select in trees[0].find_all(exp.Select)):
        raise ValueError("selects no column")
    writes = (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Lock)
    for node in trees[0].walk():
        if isinstance(node, writes) and not isinstance(node, exp.Query):
            raise ValueError(  # noqa: TRY004  (pydantic reports a ValueError)
                f"must only read; it holds {type(node).__name__.upper()}"
            )
    return trees[0]


def parse_dataset(text: str, source: str) -> Dataset:
    """Return the dataset of a YAML document.

    Args:
        text: The document.
        source: Names it in errors, usually its file name.

    Raises:
        DocumentError: Naming line and field of everything that is wrong.
    """
    document = Document(text, source)
    return document.validate(Dataset, document.data)


def index_datasets(datasets: list[tuple[str, Dataset]]) -> dict[str, Dataset]:
    """Return datasets by name, from pairs of document name and dataset.

    Raises:
        DocumentError: When two documents name one dataset or one target table, or a table has
            the name of another's view.
    """
    found: dict[str, Dataset] = {}
    for source, dataset in datasets:
        if dataset.name in found:
            raise DocumentError(source, [f"another document has the dataset `{dataset.name}`"])
        for other in found.values():
            _check_apart(source, dataset, other)
        found[dataset.name] = dataset
    return found


def _check_apart(source: str, dataset: Dataset, other: Dataset) -> None:
    """Raise DocumentError when two datasets need one name, or describe a reader differently."""
    theirs = {reader.name: reader for reader in other.readers}
    for reader in dataset.readers:
        if not reader.is_described_as(theirs.get(reader.name, reader)):
            problem = f"the dataset {other.name} says otherwise of the reader `{reader.name}`"
            raise DocumentError(source, [problem])
    if dataset.table == other.table:
        raise DocumentError(source, [f"another dataset loads the table `{dataset.table}`"])
    mine, others = ({d.table, *view_names(d.table, d.reporting)} for d in (dataset, other))
    if shared := sorted(mine & others):
        problem = (
            f"its table `{dataset.table}` and `{other.table}` of the dataset {other.name} both"
            f" need the name `{shared[0]}`: a table's views have its name and an ending"
        )
        raise DocumentError(source, [problem])


def check_bindings(dataset: Dataset, bindings: dict[str, object]) -> None:
    """Check that a campaign has every parameter a dataset's query binds.

    Raises:
        PermanentError: Naming the parameters it has not.
    """
    missing = sorted(dataset.query_parameters - bindings.keys())
    if missing:
        raise PermanentError(
            f"Campaign {bindings['campaign_key']} has no parameter"
            f" {', '.join(f'`{m}`' for m in missing)}, which the query of {dataset.name} binds.",
            "Add it under the campaign's `parameters`.",
        )
