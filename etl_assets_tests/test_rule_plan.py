"""What a plan says is what a publication then does, and a plan itself does nothing."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from etl_assets.commands.rule_drafts import lint, plan
from etl_assets.core.errors import PermanentError
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.display.plan import plan_view
from etl_assets.pages import write_page
from etl_assets.rules.plan import KeyPlan, Plan, plan_rules
from etl_assets_tests.chain import Chain
from etl_assets_tests.small import Small

SOLD_ON = {"id": "sold-on", "kind": "derive", "column": "sold_on", "type": "date",
           "expression": "CAST(sold_at AS DATE)"}  # fmt: skip
"""The rule that counts while nothing else is said."""

FLAG = {"id": "flag", "kind": "flag", "tag": "big", "when": "quantity > 2"}
FILTER = {"id": "some", "kind": "filter", "keep": "quantity > 0"}
AMOUNT = {"id": "amount", "kind": "derive", "column": "amount", "type": "decimal(10,2)",
          "expression": "CASE WHEN sale_id = 4 THEN amount + 1 ELSE amount END"}  # fmt: skip


def loaded(small: Small, *keys: str) -> Chain:
    """Load campaigns by the rules of the dataset's document."""
    chain = Chain(small.settings())
    for key in keys or ("SP17",):
        chain.refresh(key)
    return chain


def planned(small: Small, rules: list[dict[str, Any]], *keys: str, **fields: Any) -> Plan:  # noqa: ANN401
    settings = small.settings()
    new = RuleSet.model_validate({"version": 2, "rules": [SOLD_ON, *rules], **fields})
    return plan_rules(
        settings.datasets["sales"], settings.open_registry().read(), new,
        settings.open_warehouse(), settings.open_staging(), keys=keys,
    )  # fmt: skip


def only(plan: Plan) -> KeyPlan:
    (key,) = plan.keys
    return key


def test_a_plan_counts_cells_and_shows_values_before_and_after(small: Small) -> None:
    loaded(small)
    key = only(planned(small, [AMOUNT]))
    assert key.difference is not None
    assert (key.difference.added, key.difference.removed, key.difference.changed) == (0, 0, 1)
    (column,) = key.difference.columns
    assert (column.column, column.cells) == ("amount", 1)
    (sample,) = column.samples
    assert sample.record == "sale_id=4"
    assert float(sample.after or 0) == float(sample.before or 0) + 1


def test_a_plan_counts_records_that_go_and_columns_that_come(small: Small) -> None:
    chain = loaded(small)
    made = planned(small, [FILTER, FLAG])
    key = only(made)
    assert key.difference is not None
    gone = chain.query("SELECT count(*) FROM sales WHERE NOT quantity > 0")[0][0]
    flagged = chain.query("SELECT count(*) FROM sales WHERE quantity > 2")[0][0]
    assert (key.difference.removed, key.difference.changed) == (gone, flagged)
    assert key.after.outcomes == {"filtered some": gone}
    assert made.schema == ("`flags` (text) is added.",)
    assert len(key.difference.removed_records) == min(gone, 5)
    back = planned(small, [{"id": "d", "kind": "drop", "columns": ["amount"]}])
    assert back.schema == ("`amount` is filled no more; the table keeps the column, with NULL.",)


def test_what_is_planned_is_what_is_loaded_then(small: Small) -> None:
    chain = loaded(small)
    key = only(planned(small, [FILTER, FLAG, AMOUNT]))
    before = {row[0]: row for row in chain.query("SELECT sale_id, amount FROM sales")}
    small.write_rules(json.dumps({"version": 2, "rules": [SOLD_ON, FILTER, FLAG, AMOUNT]}))
    chain.refresh()
    after = {row[0]: row for row in chain.query("SELECT sale_id, amount, flags FROM sales")}
    assert key.difference is not None
    assert len(before.keys() - after.keys()) == key.difference.removed
    changed = [n for n, row in after.items() if row[2] is not None or row[1] != before[n][1]]
    assert len(changed) == key.difference.changed


def test_a_plan_loads_nothing_and_asks_the_source_nothing(small: Small) -> None:
    chain = loaded(small)
    rows = chain.query("SELECT * FROM sales ORDER BY ALL")
    objects = chain.settings.open_staging().objects()
    (small.home / "source.sqlite").unlink()
    assert only(planned(small, [FLAG])).difference is not None
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == rows
    assert chain.settings.open_staging().objects() == objects
    assert list((small.home / "staging" / ".scratch").iterdir()) == []


def test_rules_that_would_fail_a_campaign_are_said_with_its_records(small: Small) -> None:
    loaded(small)
    positive = {"id": "positive", "kind": "assert", "that": "quantity > 1"}
    plan = planned(small, [positive])
    assert plan.failing == [only(plan)]
    assert "rule `positive`, computed of quantity=" in only(plan).after.error
    assert only(plan).difference is None
    total = {"id": "t", "kind": "assert", "row_count": {"max": 1}}
    assert (
        "found 14 records, but the number of records is at most 1"
        in only(planned(small, [total])).after.error
    )


def test_only_the_campaigns_whose_rules_change_are_touched(small: Small) -> None:
    loaded(small, "SP17", "SU17")
    plan = planned(small, [], overrides={"SU17": [{"add": FLAG}]})
    assert ([key.key for key in plan.keys], plan.untouched) == (["SU17"], ("SP17",))
    assert [key.key for key in planned(small, [FLAG], "SP17").keys] == ["SP17"]
    with pytest.raises(PermanentError, match="Campaign SP71 is not in the registry"):
        planned(small, [FLAG], "SP71")


def test_a_campaign_without_a_kept_extract_is_said_to_be_unknown(small: Small) -> None:
    chain = loaded(small)
    staging = chain.settings.open_staging()
    staging.delete([o.path for o in staging.objects() if o.path.startswith("extract/")])
    plan = planned(small, [FLAG])
    assert (plan.keys, plan.without_extract) == ((), ("SP17",))


def test_records_that_share_a_primary_key_are_compared_one_to_one(small: Small) -> None:
    loaded(small)
    unpivot = {"id": "u", "kind": "unpivot", "columns": ["amount"], "name": "what", "value": "much"}
    difference = only(planned(small, [unpivot])).difference
    assert difference is not None
    assert (difference.added, difference.removed) == (14, 14)


@pytest.fixture
def cli(small: Small, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Run a command over the small platform with a file of rules."""
    monkeypatch.setenv("ETL_ASSETS_HOME", str(small.home))
    monkeypatch.setenv("ETL_ASSETS_DATASETS", str(small.home / "datasets"))

    def run(command: Any, rules: list[dict[str, Any]], *options: str) -> Result:  # noqa: ANN401
        file = small.home / "draft.yaml"
        file.write_text(json.dumps({"rules": [SOLD_ON, *rules]}), encoding="utf-8")
        return CliRunner().invoke(command, [str(file), "--dataset", "sales", *options])

    return run


def test_the_commands_show_a_plan_as_text_json_and_page(small: Small, cli: Any) -> None:  # noqa: ANN401
    loaded(small)
    assert "draft.yaml holds: 2 rules, 0 examples." in cli(lint, [FLAG]).output
    page = small.home / "plan.html"
    shown = cli(plan, [FLAG], "--html", str(page))
    assert shown.exit_code == 0, shown.exception
    assert "flags: " in shown.output
    assert "`flags` (text) is added." in shown.output
    content = page.read_text(encoding="utf-8")
    assert "<code>flags</code>" in content
    assert "http" not in content.replace("http-equiv", "")
    found = json.loads(cli(plan, [FLAG], "--json").stdout)
    assert found["keys"][0]["after"]["columns"]["flags"] == "text"
    failing = cli(plan, [{"id": "p", "kind": "assert", "that": "quantity > 1"}])
    assert failing.exit_code == 1
    assert "fails then" in failing.output


def test_a_draft_of_no_dataset_is_refused(small: Small, cli: Any) -> None:  # noqa: ANN401
    del small
    found = cli(lint, [FLAG], "--dataset", "sale")
    assert isinstance(found.exception, PermanentError)
    assert "There is no dataset `sale`; did you mean `sales`?" in str(found.exception)


def test_a_page_shows_what_is_in_the_data_and_never_runs_it(small: Small, tmp_path: Path) -> None:
    small.run_sql("UPDATE sales SET note = '<script>alert(1)</SCRIPT>' WHERE sale_id = 0")
    loaded(small)
    made = planned(small, [{"id": "n", "kind": "normalize", "columns": ["note"], "case": "lower"}])
    write_page(
        "plan.html", tmp_path / "p.html", plan=made, source="<b>", at=dt.datetime.now(dt.UTC)
    )
    content = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in content
    assert "<script" not in content.lower()
    assert len(plan_view(made).renderables) > 3
