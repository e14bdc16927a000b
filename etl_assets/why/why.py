"""Why a cell of a table is as it is: from the source's value, through the rules, to the load."""

import contextlib
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import PermanentError
from etl_assets.core.manifest import Extract, Load
from etl_assets.core.rules.compile import compile_rules
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.traces import Trace
from etl_assets.kept import stage_of
from etl_assets.rules.engine import close_off, engine, make_relations, read_extract
from etl_assets.rules.transform import explain
from etl_assets.systems.protocols import RegistryStore, Staging, Warehouse
from etl_assets.why.load_inputs import Inputs, inputs_of
from etl_assets.why.trace import trace
from etl_assets.why.trace_staged import Outcome, find_staged
from etl_assets.why.trace_steps import Steps


@dataclass(frozen=True)
class Why:
    """Everything that made a cell.

    Attributes:
        load: What is in the table now.
        extract: What it was made from.
        trace: What the rules did.
        outcomes: What came of the record; several when a rule makes several of one.
        notes: What a reader should know, as sentences.
    """

    dataset: str
    key: str
    id: str
    column: str
    load: Load
    extract: Extract
    trace: Trace
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


def why(
    datasets: Mapping[str, Dataset],
    name: str,
    store: RegistryStore,
    staging: Staging,
    warehouse: Warehouse,
    *,
    key: str,
    record_id: str,
    column: str,
) -> Why:
    """Explain a cell of a campaign's current load.

    Args:
        datasets: All datasets, by name.
        name: The dataset's.
        store: Gives the rules.
        staging: Where extract and parts are kept.
        warehouse: Whose ledger says what was loaded.
        key: The campaign.
        record_id: The record's primary key; see `parse_id`.
        column: Of the table.

    Raises:
        PermanentError: When there is no load, record or column of that name.
        RuleError: When the rules of that load are not kept.
        StagingError: When what it was made from is not kept.
        TransientError: When the warehouse is busy; a retry is safe.
    """
    dataset = datasets[name]
    inputs = inputs_of(datasets, dataset, store, staging, warehouse, key=key)
    given = parse_id(record_id, dataset.primary_key)
    found = _trace(dataset, inputs, staging, given, column)
    if found is None:
        raise _missing(dataset, inputs.extract, staging, record_id, given)
    outcomes = find_staged(found, inputs.stage, staging, column)
    notes = _notes(outcomes, column, inputs)
    return Why(
        name, key, record_id, column, inputs.load, inputs.extract, found, outcomes, notes
    )  # fmt: skip


def choose_dataset(
    datasets: Mapping[str, Dataset],
    named: str | None,
    key: str,
    column: str,
    warehouse: Warehouse,
    staging: Staging,
) -> str:
    """Return the dataset that is meant: the named one, or the only one with such a column.

    Raises:
        PermanentError: When there is none of that name, or none or several with the column.
        TransientError: When the warehouse is busy; a retry is safe.
    """
    if named is not None and named not in datasets:
        raise PermanentError(
            f"There is no dataset `{named}`{nearest(named, datasets)}.",
            f"Datasets are {', '.join(datasets)}.",
        )
    if named is not None or len(datasets) == 1:
        return named or next(iter(datasets))
    fitting = []
    loads = {name: warehouse.current(dataset, key) for name, dataset in datasets.items()}
    if not any(loads.values()):
        raise PermanentError(
            f"The ledger has no load for campaign {key}.",
            f"Load it: etl-assets refresh --key {key}.",
        )
    for name, load in loads.items():
        stage = stage_of(load, staging) if load else None
        if stage and any(c.name == column for c in stage.columns):
            fitting.append(name)
    if len(fitting) != 1:
        said = f"{' and '.join(fitting)} have" if fitting else "No dataset's load has"
        raise PermanentError(
            f"{said} a column `{column}` for campaign {key}.",
            f"Name the dataset: --dataset {' or '.join(fitting or datasets)}.",
        )
    return fitting[0]


def parse_id(text: str, primary_key: Sequence[str]) -> dict[str, str]:
    """Return the names and values of `name=value,name=value`, or of the one value.

    A value may hold commas and equals signs, but no comma before a name and an equals sign.

    Raises:
        PermanentError: When it is one value, but the primary key has several columns.
    """
    if re.match(r"[a-z][a-z0-9_]*=", text):
        pairs = re.split(r",\s*(?=[a-z][a-z0-9_]*=)", text)
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
    if len(primary_key) > 1:
        raise PermanentError(
            f"The primary key is {', '.join(primary_key)}, but --id gives one value.",
            f"Write --id '{','.join(f'{name}=VALUE' for name in primary_key)}'.",
        )
    return {primary_key[0]: text}


def _trace(
    dataset: Dataset, inputs: Inputs, staging: Staging, given: Mapping[str, str], column: str
) -> Trace | None:
    """Run the rules over the extract, and follow the record of a name."""
    extract = inputs.extract
    compiled = compile_rules(
        inputs.rules, extract.columns, dataset.primary_key, inputs.bindings,
        datasets={name: other.columns for name, other in inputs.lookups.items()},
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(staging.scratch())
        files = stack.enter_context(staging.fetch(extract.parts))
        others = {
            name: stack.enter_context(staging.fetch(other.parts))
            for name, other in inputs.lookups.items()
        }
        connection = stack.enter_context(engine(scratch))
        read_extract(connection, extract.columns, files)
        make_relations(connection, compiled, others)
        close_off(connection, {scratch, *(path.parent for path in files)})
        try:
            steps = Steps(connection, compiled, inputs.rules.rules)
            return trace(steps, dataset.primary_key, given, column)
        except duckdb.Error as error:
            what = f"The rules of {dataset.name} for campaign {extract.campaign_key}"
            raise explain(connection, compiled, error, what) from error


def _missing(
    dataset: Dataset,
    extract: Extract,
    staging: Staging,
    record_id: str,
    given: Mapping[str, str],
) -> PermanentError:
    """Return the error for a record that is not in the extract: left out by a policy, or not read."""
    name = ", ".join(
        f"{column}={given[column]}" for column in dataset.primary_key if column in given
    )
    refused = []
    if extract.rejects:
        with (
            staging.fetch([extract.rejects]) as (file,),
            file.open(newline="", encoding="utf-8") as f,
        ):
            refused = [row for row in csv.DictReader(f) if row["record"] == name]
    where = (
        f"the extract {extract.extract_id} of {dataset.name} for campaign {extract.campaign_key}"
    )
    if refused:
        row = refused[0]
        return PermanentError(
            f"The record {name} was left out of {where} by the policy `{row['rule']}`:"
            f" `{row['column']}` was {row['value']!r}.",
            "Correct the value at the source, or choose another policy in the dataset's document.",
        )
    return PermanentError(
        f"The record {record_id} is not in {where}, read on"
        f" {extract.extracted_at:%Y-%m-%d %H:%M:%S}.",
        "Correct --id; or, if the source has the record now, refresh the campaign.",
    )


def _notes(outcomes: Sequence[Outcome], column: str, inputs: Inputs) -> tuple[str, ...]:
    notes = [inputs.stage.notice] if inputs.stage and inputs.stage.notice else []
    loaded = [outcome for outcome in outcomes if outcome.end.left_out is None]
    differ = [o for o in loaded if o.staged and o.staged.value != o.end.values[column]]
    if differ:
        notes.append("What was staged is not what the same rules make now.")
    if not inputs.proven:
        notes.append(
            "Something the load was made with beside its rules is not what it was: the campaign's"
            " parameters, what rules look up, or the dataset's settings."
        )
    if inputs.stage is None:
        notes.append("The staged parts of the load are not kept.")
    elif any(outcome.staged is None for outcome in loaded):
        notes.append("The record was not found in the staged parts.")
    return tuple(notes)
