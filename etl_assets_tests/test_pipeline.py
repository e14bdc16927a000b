"""The chain must replace a slice whole, or leave it; and do nothing when nothing changed."""

from pathlib import Path

import pytest

from etl_assets.core.errors import (
    PermanentError,
    ProofError,
    RuleError,
    SourceError,
    StagingError,
)
from etl_assets.core.manifest import Extract, Part, Stage
from etl_assets.core.rules.versions import read_rules
from etl_assets.kept import new_id
from etl_assets.systems.staging import FileStaging
from etl_assets_tests.chain import Chain
from etl_assets_tests.commits import commit_prune
from etl_assets_tests.small import CAMPAIGNS, COUNTS, DATASET, MAY_BE_EMPTIED, Small


@pytest.fixture
def chain(small: Small) -> Chain:
    return Chain(small.settings())


def objects(small: Small) -> list[str]:
    """Return what the staging store holds."""
    staging = small.home / "staging"
    return sorted(str(p.relative_to(staging)) for p in staging.rglob("*") if p.is_file())


def test_every_key_is_loaded_with_its_records_and_a_record_may_be_in_several(chain: Chain) -> None:
    assert {key: chain.refresh(key).records for key in COUNTS} == COUNTS
    assert chain.counts() == COUNTS
    twice = "SELECT sale_id FROM sales GROUP BY 1 HAVING count(*) = 2"
    assert len(chain.query(twice)) == 3
    assert chain.query("SELECT DISTINCT typeof(sold_on) FROM sales") == [("DATE",)]


def test_the_store_holds_parts_and_manifests_where_the_design_says(
    chain: Chain, small: Small
) -> None:
    extracted = chain.extract()
    staged = chain.stage(extracted=extracted)
    extract_folder = f"extract/sales/SP17/{extracted.extract_id}"
    stage_folder = f"stage/sales/SP17/{staged.load_id}"
    assert objects(small) == [
        f"{extract_folder}/manifest.json",
        f"{extract_folder}/part-00000.parquet",
        f"{stage_folder}/manifest.json",
        f"{stage_folder}/part-00000.csv.zst",
        f"{stage_folder}/rules.yaml",
        f"{stage_folder}/sidecar.json",
    ]
    staging = chain.settings.open_staging()
    assert Extract.model_validate_json(staging.read_text(f"{extract_folder}/manifest.json")) == (
        extracted
    )
    assert Stage.model_validate_json(staging.read_text(f"{stage_folder}/sidecar.json")) == staged


def test_the_rules_that_made_a_stage_are_kept_beside_it(chain: Chain, small: Small) -> None:
    small.write_rules(
        "version: 4\nrules: [{id: x, kind: filter, keep: quantity > 0}]\n"
        "overrides: {SP17: [{add: {id: y, kind: filter, keep: quantity > 1}}]}\n"
    )
    staged = chain.stage()
    kept = read_rules(chain.settings.open_staging().read_text(str(staged.rules)), "kept")
    assert (kept.version, kept.digest) == (4, staged.rules_digest)
    assert [rule.id for rule in kept.rules] == ["x", "y"]


def test_the_manifest_is_written_after_everything_it_stands_for(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    put = FileStaging.put

    def noted(self: FileStaging, path: str, file: Path) -> Part:
        written.append(path.rpartition("/")[2])
        return put(self, path, file)

    monkeypatch.setattr(FileStaging, "put", noted)
    chain.stage()
    assert written == [
        "part-00000.parquet", "manifest.json",
        "part-00000.csv.zst", "rules.yaml", "sidecar.json", "manifest.json",
    ]  # fmt: skip


def test_an_unchanged_key_stores_nothing_and_returns_the_references_of_the_last_time(
    chain: Chain, small: Small
) -> None:
    extracted = chain.extract()
    staged = chain.stage(extracted=extracted)
    loaded = chain.load(staged)
    before = objects(small)
    assert chain.extract(previous=extracted) == extracted
    assert chain.stage(extracted=extracted, previous=staged) == staged
    assert chain.load(staged) == loaded
    assert objects(small) == before
    assert len(chain.settings.open_warehouse().loads()) == 1


def test_a_forced_load_of_the_same_stage_is_a_new_load(chain: Chain) -> None:
    staged = chain.stage()
    first = chain.load(staged)
    forced = chain.load(staged, force=True)
    assert forced.load_id != first.load_id
    assert (forced.records, forced.replaced_records) == (14, 14)
    assert forced.stage == first.stage
    assert chain.counts() == {"SP17": 14}


def test_without_the_references_of_the_last_time_everything_is_made_anew(
    chain: Chain, small: Small
) -> None:
    first = chain.refresh()
    again = chain.stage()
    assert again.load_id != first.load_id
    assert chain.load(again) == first  # the same inputs: the table has them already
    assert len(objects(small)) == 12  # part and manifest each, the stage's rules and sidecar


def test_a_changed_value_is_a_new_extract_and_a_changed_rule_a_new_stage(
    chain: Chain, small: Small
) -> None:
    extracted = chain.extract()
    staged = chain.stage(extracted=extracted)
    small.write_rules("rules: [{id: x, kind: filter, keep: quantity > 0}]")
    filtered = chain.stage(extracted=extracted, previous=staged)
    assert (filtered.load_id != staged.load_id, filtered.filtered) == (True, 4)
    small.run_sql("UPDATE sales SET amount = amount + 1 WHERE sale_id = 0")
    changed = chain.extract(previous=extracted)
    assert changed.extract_id != extracted.extract_id
    assert changed.content_digest != extracted.content_digest


def test_a_changed_season_or_parameter_of_the_campaign_is_a_new_stage(
    chain: Chain, small: Small
) -> None:
    extracted = chain.extract()
    staged = chain.stage(extracted=extracted)
    small.write_campaigns(
        CAMPAIGNS.replace("end: 2017-05-31", "end: 2017-05-31, parameters: {p: 1}")
    )
    assert chain.stage(extracted=extracted, previous=staged).load_id != staged.load_id


def test_a_slice_that_was_changed_by_hand_is_loaded_again(chain: Chain) -> None:
    staged = chain.stage()
    first = chain.load(staged)
    with chain.settings.open_warehouse()._transaction("by hand") as connection:  # type: ignore[attr-defined]
        connection.execute("DELETE FROM sales WHERE sale_id = 3")
    again = chain.load(staged)
    assert again.load_id != first.load_id
    assert (again.replaced_records, again.records) == (13, 14)


def test_a_key_that_was_pruned_is_loaded_again(chain: Chain) -> None:
    staged = chain.stage()
    chain.load(staged)
    settings = chain.settings
    commit_prune(
        settings.open_warehouse(), settings.datasets["sales"], "SP17", settings.open_staging()
    )
    assert chain.load(staged).records == 14
    assert chain.counts() == {"SP17": 14}


def test_a_key_that_is_empty_at_the_source_empties_its_slice_and_no_other_where_it_may(
    small: Small,
) -> None:
    small.write_dataset(MAY_BE_EMPTIED)
    chain = Chain(small.settings())
    for key in COUNTS:
        chain.refresh(key)
    small.run_sql("DELETE FROM sales WHERE sold_at >= '2017-09-01'")
    extracted = chain.extract("AU17")
    assert (extracted.records, extracted.parts) == (0, ())
    loaded = chain.load(chain.stage("AU17", extracted))
    assert (loaded.records, loaded.replaced_records) == (0, 13)
    assert chain.counts() == {"SP17": 14, "SU17": 16}
    assert chain.stage("AU17", extracted, previous=None).parts == ()


@pytest.mark.parametrize(
    "breaks",
    [
        "ALTER TABLE sales RENAME TO gone",
        "ALTER TABLE sales DROP COLUMN note",
        "UPDATE sales SET amount = 'much' WHERE sale_id = 5",
    ],
)
def test_a_source_query_that_fails_leaves_the_old_slice(
    chain: Chain, small: Small, breaks: str
) -> None:
    chain.refresh()
    before = (chain.query("SELECT * FROM sales ORDER BY ALL"), objects(small))
    small.run_sql(breaks)
    with pytest.raises(SourceError, match="SP17"):
        chain.refresh()
    assert (chain.query("SELECT * FROM sales ORDER BY ALL"), objects(small)) == before


def test_rules_that_fail_leave_the_old_slice(chain: Chain, small: Small) -> None:
    chain.refresh()
    before = chain.query("SELECT * FROM sales ORDER BY ALL")
    small.write_rules("rules: [{id: x, kind: cast, column: amount, type: integer}]")
    with pytest.raises(RuleError, match="do not fit 14 records"):
        chain.refresh()
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == before


@pytest.mark.parametrize("change", ["cut", "other", "missing"])
def test_a_part_that_was_changed_is_detected_before_the_load(
    chain: Chain, small: Small, change: str
) -> None:
    chain.refresh()
    before = chain.query("SELECT * FROM sales ORDER BY ALL")
    small.run_sql("UPDATE sales SET amount = amount + 1")
    staged = chain.stage()
    part: Path = small.home / "staging" / staged.parts[0].path
    content = part.read_bytes()
    part.unlink()
    if change != "missing":
        part.write_bytes(content[:-1] if change == "cut" else content[:-1] + b"\0")
    with pytest.raises(StagingError):
        chain.load(staged)
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == before


def test_a_stage_whose_counts_are_wrong_is_not_loaded(chain: Chain, small: Small) -> None:
    chain.refresh()
    before = chain.query("SELECT * FROM sales ORDER BY ALL")
    small.run_sql("UPDATE sales SET amount = amount + 1")
    with pytest.raises(ProofError, match="but 13 were staged; it was rolled back"):
        chain.load(chain.stage().model_copy(update={"records": 13}))
    assert chain.query("SELECT * FROM sales ORDER BY ALL") == before


def test_a_primary_key_that_the_query_does_not_give_is_refused(small: Small) -> None:
    small.write_dataset(DATASET.replace("[sale_id]", "[sale]"))
    with pytest.raises(SourceError, match="gives no column `sale` of its primary key"):
        Chain(small.settings()).extract()


def test_a_parameter_that_the_campaign_lacks_is_refused(small: Small) -> None:
    small.write_dataset(DATASET.replace(":starts_at", ":since"))
    with pytest.raises(PermanentError, match="Campaign SP17 has no parameter `since`"):
        Chain(small.settings()).extract()
    small.write_campaigns(
        CAMPAIGNS.replace("end: 2017-05-31", "end: 2017-05-31, parameters: {since: 2017-05-01}")
    )
    assert Chain(small.settings()).extract().records == 5


def test_ids_are_unique_and_sort_by_time(chain: Chain) -> None:
    moment = chain.extract().extracted_at
    assert len({new_id(moment) for _ in range(100)}) == 100
    later = moment.replace(microsecond=0, year=moment.year + 1)
    assert new_id(moment) < new_id(later)
    assert new_id(moment.replace(microsecond=0)) < new_id(moment.replace(microsecond=1))
