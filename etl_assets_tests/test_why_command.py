"""What is asked of `why`, and what it says where there is nothing to say."""

import datetime as dt
import json
from typing import Any

import pytest
import yaml

from etl_assets.core.errors import EtlError
from etl_assets.core.manifest import Fallback
from etl_assets.display.why import shown
from etl_assets.kept import stage_path
from etl_assets.settings import Settings
from etl_assets.why.why import choose_dataset, parse_id, why
from etl_assets_tests.chain import Chain
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.explained import DISCOUNT, explain, loaded, touches
from etl_assets_tests.small import Small


@pytest.mark.parametrize(
    ("record_id", "column", "said"),
    [
        ("99", "amount", r"The record 99 is not in the extract .*Correct --id"),
        ("x", "amount", r"`sale_id` is bigint, and 'x' is no such value"),
        ("shop=3", "amount", r"Records are named by sale_id; not by shop\. Write --id 'sale_id=VALUE'"),
        ("1", "amonut", r"no column `amonut` after the rules; did you mean `amount`"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_sentence(
    small: Small, record_id: str, column: str, said: str
) -> None:
    with pytest.raises(EtlError, match=said):
        explain(loaded(small), record_id, column)


def test_a_record_that_a_policy_left_out_says_which(small: Small) -> None:
    settings = small.settings()
    chain = Chain(settings)
    extracted = chain.extract()
    listed = 'rule,column,value,record\nnul_byte,note,"a\\0b",sale_id=500\n'
    store = settings.open_staging()
    rejects = store.put_text("extract/sales/SP17/by-hand/rejects.csv", listed)
    changed = extracted.model_copy(update={"extract_id": "by-hand", "rejects": rejects})
    store.put_text("extract/sales/SP17/by-hand/manifest.json", changed.model_dump_json())
    chain.load(chain.stage(extracted=changed))
    with pytest.raises(
        EtlError, match=r"The record sale_id=500 was left out .* by the policy `nul_byte`"
    ):
        explain(settings, "500", "note")


def test_without_a_load_or_its_extract_the_next_action_is_said(small: Small) -> None:
    settings = small.settings()
    with pytest.raises(EtlError, match=r"no load of sales for campaign SP17\. Load it"):
        explain(settings, "1", "amount")
    loaded(small)
    store = settings.open_staging()
    found = explain(settings, "1", "amount")
    store.delete([found.load.stage or ""])
    (note,) = explain(settings, "1", "amount").notes
    assert note == "The staged parts of the load are not kept."
    store.delete([f"extract/sales/SP17/{found.extract.extract_id}/manifest.json"])
    with pytest.raises(EtlError, match=r"was made from is not kept\. Make a new one"):
        explain(settings, "1", "amount")


def publish(settings: Settings, *rules: dict[str, Any], over: int) -> None:
    """Publish rules over a version."""
    settings.open_registry().publish_rules(
        "sales", yaml.safe_dump({"rules": list(rules)}), over=over, by="an-author",
        at=dt.datetime.now(dt.UTC), comment="because",
    )  # fmt: skip


def test_the_rules_are_those_of_the_load_also_when_others_count_by_now(small: Small) -> None:
    settings = small.settings()
    publish(settings, {"id": "r1", **DISCOUNT}, over=0)
    publish(settings, {"id": "r2", **DISCOUNT}, over=1)
    load = Chain(settings).refresh()
    folder = str(load.stage).rpartition("/")[0]
    settings.open_staging().delete([f"{folder}/rules.yaml"])  # what the stage itself keeps
    publish(settings, {"id": "r3", **DISCOUNT}, over=2)
    publish(settings, {"id": "r4", **DISCOUNT, "expression": "amount * 3"}, over=3)
    found = explain(settings, "1", "amount")
    assert touches(found) == [("r2", "amount", "amount", "1.25", "2.50")]
    assert found.load.rule_version == 2


def test_rules_that_are_not_kept_are_not_guessed(small: Small) -> None:
    loaded(small, DISCOUNT)
    tripled = {"id": "r1", **DISCOUNT, "expression": "amount * 3"}
    small.write_rules(yaml.safe_dump({"version": 8, "rules": [tripled]}))
    chain = Chain(small.settings())
    found = explain(chain.settings, "1", "amount")
    assert touches(found)[0][-1] == "2.50"
    folder = str(found.load.stage).rpartition("/")[0]
    chain.settings.open_staging().delete([f"{folder}/rules.yaml"])
    with pytest.raises(EtlError, match=r"\(version 7\) are not kept; the registry has version 8"):
        explain(small.settings(), "1", "amount")


def test_rules_of_the_last_good_load_are_told_to_have_stood_in(small: Small) -> None:
    settings = small.settings()
    chain = Chain(settings)
    failed = Fallback(failed_version=9, failed_digest="0" * 64, reason="rule `x` broke")
    folder = "stage/sales/SP17/stood-in"
    stage = chain.stage().model_copy(
        update={"fallback": failed, "copy_manifest": f"{folder}/manifest.json"}
    )
    settings.open_staging().put_text(stage_path(stage), stage.model_dump_json())
    chain.load(stage)
    (note,) = explain(settings, "1", "amount").notes
    assert "because the current ones (v9) failed: rule `x` broke" in note


@pytest.mark.parametrize(
    ("text", "primary_key", "named"),
    [
        ("CJ=1", ["a"], {"a": "CJ=1"}),
        ("1", ["a"], {"a": "1"}),
        ("a=1", ["a"], {"a": "1"}),
        ("a=1,2,b=x=y", ["a", "b"], {"a": "1,2", "b": "x=y"}),
        ("a=, b=", ["a", "b"], {"a": "", "b": ""}),
    ],
)
def test_an_id_is_one_value_or_names_with_values(
    text: str, primary_key: list[str], named: dict[str, str]
) -> None:
    assert parse_id(text, primary_key) == named


def test_one_value_does_not_name_a_record_of_two_columns() -> None:
    with pytest.raises(EtlError, match="The primary key is a, b, but --id gives one value"):
        parse_id("1", ["a", "b"])


def test_the_dataset_is_the_one_that_has_the_column(small: Small) -> None:
    text = "dataset: {}\nprimary_key: [sale_id]\nquery: SELECT sale_id, {} FROM sales\n"
    small.write_dataset(text.format("other", "note"), "other")
    settings = loaded(small)
    Chain(settings, "other").refresh()

    def chosen(column: str, named: str | None = None, key: str = "SP17") -> str:
        return choose_dataset(
            settings.datasets,
            named,
            key,
            column,
            settings.open_warehouse(),
            settings.open_staging(),
        )

    assert (chosen("amount"), chosen("note", "other")) == ("sales", "other")
    with pytest.raises(EtlError, match=r"other and sales have a column `note`.*--dataset other or"):
        chosen("note")
    with pytest.raises(EtlError, match=r"No dataset's load has a column `noet`"):
        chosen("noet")
    with pytest.raises(EtlError, match=r"no dataset `slaes`; did you mean `sales`"):
        chosen("note", "slaes")
    with pytest.raises(EtlError, match=r"no load for campaign SU17\. Load it"):
        chosen("note", key="SU17")


def test_the_command_shows_lines_or_json(small: Small) -> None:
    loaded(small, DISCOUNT)
    command = CommandLine.of(small)
    asked = ("why", "--key", "SP17", "--id", "1", "--column", "amount")
    text = command.run(*asked)
    assert (text.returncode, text.stderr) == (0, "")
    assert "  r1 (derive)  amount: 1.25 → 2.50  (amount * 2)\n" in text.stdout
    assert "rules    version 7 (" in text.stdout
    found = json.loads(command.run(*asked, "--json").stdout)
    assert found["extract"]["sources"][0]["values"] == {"amount": "1.25"}
    assert found["rules"]["touches"][0]["after"] == found["records"][0]["staged"]["value"] == "2.50"
    failed = command.run("why", "--key", "SP17", "--id", "99", "--column", "amount")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Error: The record 99 is not in the extract")


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "NULL"), ("NULL", "'NULL'"), ("", "''"), ("1.25", "1.25"), ("-0.5", "-0.5"),
        ("a\nb", r"'a\nb'"), ("2017-03-01 00:00:00", "2017-03-01 00:00:00"), ("x" * 99, f"'{'x' * 60}'…"),
    ],
)  # fmt: skip
def test_a_value_is_shown_on_one_line(value: str | None, line: str) -> None:
    assert shown(value) == line


def test_a_sale_of_the_sample_is_explained(settings: Settings) -> None:
    chain = Chain(settings, "campaign_sales")
    load = chain.load(chain.stage("CJ24"))
    ((basket, product, value),) = chain.query(
        "SELECT basket_id, product_id, list_value FROM campaign_sales ORDER BY ALL LIMIT 1 OFFSET 99"
    )
    found = why(
        settings.datasets, "campaign_sales", settings.open_registry(), settings.open_staging(),
        settings.open_warehouse(), key="CJ24", record_id=f"basket_id={basket},product_id={product}",
        column="list_value",
    )  # fmt: skip
    assert found.load == load
    assert [t.rule for t in found.trace.touches] == ["list-value"]
    (outcome,) = found.outcomes
    assert outcome.staged
    assert outcome.staged.value == str(value)
