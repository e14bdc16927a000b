"""A registry that is edited as YAML: what is pushed is what is pulled."""

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from etl_assets.cli import cli
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.registry_sync import SEEN, pull, push
from etl_assets.systems.registry_dynamodb import PARTITION, DynamoDBRegistry
from etl_assets.systems.registry_dynamodb_items import pack
from etl_assets.systems.registry_files import FileRegistry
from etl_assets_tests.small import Small

AT = dt.datetime(2026, 11, 23, 3, tzinfo=dt.UTC)
RULES = "# why\nversion: 3\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}  # grün\n"


@pytest.fixture
def folder(small: Small) -> Path:
    small.write_calendar("calendar: {2017-12-25: [], 2017-12-26: [SU17, AU17]}")
    small.write_rules(RULES)
    return small.home / "registry"


def read(folder: Path) -> object:
    return FileRegistry(folder, ["sales"]).read()


def texts(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*.yaml"))
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_what_is_pushed_is_what_is_pulled_and_stays_so(
    dynamodb_registry: DynamoDBRegistry, folder: Path, tmp_path: Path
) -> None:
    done = push(dynamodb_registry, folder, by="anna", at=AT)
    assert (len(done.written), done.removed, done.left, done.revision) == (6, [], [], 1)
    one, two = tmp_path / "one", tmp_path / "two"
    pull(dynamodb_registry, one)
    assert read(one) == read(folder)
    assert (one / "rules" / "sales.yaml").read_text() == RULES
    assert push(dynamodb_registry, one, by="bert", at=AT).revision == 1, "nothing to write"
    pull(dynamodb_registry, two)
    assert texts(two) == texts(one)
    assert (two / SEEN).read_text() == (one / SEEN).read_text()


def test_only_what_was_changed_is_written_and_what_was_removed_is_removed(
    dynamodb_registry: DynamoDBRegistry, folder: Path, small: Small, tmp_path: Path
) -> None:
    push(dynamodb_registry, folder, by="anna", at=AT)
    small.write_campaigns(
        "campaigns:\n  - {key: SP17, name: Spring, start: 2017-03-01, end: 2017-05-31}\n"
        "  - {key: SU17, name: Longer, start: 2017-05-15, end: 2017-09-30}\n"
    )
    small.write_calendar("calendar: {2017-12-25: []}")
    (folder / "rules" / "sales.yaml").unlink()
    done = push(dynamodb_registry, folder, by="anna", at=AT)
    assert done.written == ["CAMPAIGN#SU17"]
    assert done.removed == ["CAMPAIGN#AU17", "DAY#2017-12-26", "RULES#sales"]
    pull(dynamodb_registry, tmp_path / "new")
    assert read(tmp_path / "new") == read(folder)
    small.write_campaigns("campaigns: []")
    (folder / "calendar.yaml").unlink()
    push(dynamodb_registry, folder, by="anna", at=AT)
    pull(dynamodb_registry, tmp_path / "new")
    assert set(texts(tmp_path / "new")) == {"campaigns.yaml"}


def test_what_others_added_stays_and_is_named(
    dynamodb_registry: DynamoDBRegistry, folder: Path, tmp_path: Path, small: Small
) -> None:
    push(dynamodb_registry, folder, by="anna", at=AT)
    pull(dynamodb_registry, tmp_path / "bert")
    small.write_calendar("calendar: {2017-12-24: [], 2017-12-25: [], 2017-12-26: [SU17, AU17]}")
    push(dynamodb_registry, folder, by="anna", at=AT)
    done = push(dynamodb_registry, tmp_path / "bert", by="bert", at=AT)
    assert (done.written, done.left) == ([], ["DAY#2017-12-24"])


def test_two_pushes_that_together_make_no_sense_are_refused(
    dynamodb_registry: DynamoDBRegistry, folder: Path, tmp_path: Path, small: Small
) -> None:
    """One removes a campaign that the other, meanwhile, puts on a day."""
    push(dynamodb_registry, folder, by="anna", at=AT)
    pull(dynamodb_registry, tmp_path / "bert")
    small.write_calendar("calendar: {2017-12-24: [SP17], 2017-12-25: [], 2017-12-26: [SU17, AU17]}")
    push(dynamodb_registry, folder, by="anna", at=AT)
    theirs = tmp_path / "bert" / "campaigns.yaml"
    theirs.write_text(theirs.read_text().replace("SP17", "SP18"))
    before = dynamodb_registry.snapshot()
    with pytest.raises(DocumentError, match=r"DAY#2017-12-24.*no campaign has the key SP17"):
        push(dynamodb_registry, tmp_path / "bert", by="bert", at=AT)
    assert dynamodb_registry.snapshot() == before


@pytest.mark.parametrize("end", ["2017-02-30", "2016-01-01"])
def test_a_folder_that_is_not_valid_is_not_pushed(
    dynamodb_registry: DynamoDBRegistry, folder: Path, small: Small, end: str
) -> None:
    small.write_campaigns(f"campaigns:\n  - {{key: SP17, start: 2017-03-01, end: {end}}}\n")
    (folder / "calendar.yaml").unlink()
    with pytest.raises(DocumentError, match=r"campaigns\.yaml is not valid: line 2: "):
        push(dynamodb_registry, folder, by="anna", at=AT)
    assert dynamodb_registry.snapshot().revision == 0


def test_changes_that_were_never_pushed_are_not_overwritten(
    dynamodb_registry: DynamoDBRegistry, folder: Path, small: Small
) -> None:
    push(dynamodb_registry, folder, by="anna", at=AT)
    pull(dynamodb_registry, folder)
    for text in ("campaigns: [{key: NEW, start: 2017-01-01, end: 2017-01-02}]", "campaigns: [{"):
        small.write_campaigns(text)
        with pytest.raises(RegistryError, match="has changes that were never pushed"):
            pull(dynamodb_registry, folder)
    pull(dynamodb_registry, folder, force=True)
    assert "SP17" in (folder / "campaigns.yaml").read_text()


def test_a_folder_of_another_table_is_neither_overwritten_nor_taken_for_this_ones(
    dynamodb_registry: DynamoDBRegistry, folder: Path
) -> None:
    push(dynamodb_registry, folder, by="anna", at=AT)
    content = json.loads((folder / SEEN).read_text())
    (folder / SEEN).write_text(json.dumps({**content, "registry": "another"}))
    with pytest.raises(RegistryError, match="never pushed"):
        pull(dynamodb_registry, folder)
    (folder / SEEN).write_text("{")
    with pytest.raises(RegistryError, match="cannot be read"):
        push(dynamodb_registry, folder, by="anna", at=AT)


def test_an_item_with_a_fault_is_not_removed_by_those_who_cannot_see_it(
    dynamodb_registry: DynamoDBRegistry, folder: Path, tmp_path: Path
) -> None:
    push(dynamodb_registry, folder, by="anna", at=AT)
    item = {**pack({"PK": PARTITION, "SK": "CAMPAIGN#BAD", "version": 1}), "document": {"B": b"x"}}
    dynamodb_registry.client.put_item(TableName=dynamodb_registry.place.name, Item=item)
    pull(dynamodb_registry, tmp_path / "new")
    done = push(dynamodb_registry, tmp_path / "new", by="bert", at=AT)
    assert (done.left, done.removed) == (["CAMPAIGN#BAD"], [])


def test_a_campaign_that_is_not_valid_is_pulled_as_it_is_and_corrected_there(
    dynamodb_registry: DynamoDBRegistry, folder: Path, tmp_path: Path
) -> None:
    push(dynamodb_registry, folder, by="anna", at=AT)
    bad = {"start": "2017-03-01", "end": "2017-02-30", "name": "Bad"}
    item = pack({"PK": PARTITION, "SK": "CAMPAIGN#BAD", "version": 1, "document": bad})
    dynamodb_registry.client.put_item(TableName=dynamodb_registry.place.name, Item=item)
    pull(dynamodb_registry, tmp_path / "new")
    with pytest.raises(DocumentError, match="2017-02-30"):
        push(dynamodb_registry, tmp_path / "new", by="bert", at=AT)
    file = tmp_path / "new" / "campaigns.yaml"
    file.write_text(file.read_text().replace("2017-02-30", "2017-03-30"))
    assert push(dynamodb_registry, tmp_path / "new", by="bert", at=AT).written == ["CAMPAIGN#BAD"]
    assert dynamodb_registry.read().campaign("BAD").name == "Bad"


def run(registry: DynamoDBRegistry, small: Small, *arguments: str) -> Result:
    place = registry.place
    url = f"dynamodb://{place.name}?region={place.region}&endpoint_url={place.endpoint_url}"
    environment = {
        "ETL_ASSETS_REGISTRY": url,
        "ETL_ASSETS_DATASETS": str(small.home / "datasets"),
        "ETL_ASSETS_HOME": str(small.home),
    }
    return CliRunner().invoke(cli, list(arguments), env=environment)


def test_the_commands_make_fill_show_and_write_back_a_registry(
    dynamodb_registry: DynamoDBRegistry, folder: Path, small: Small, tmp_path: Path
) -> None:
    dynamodb_registry.client.delete_table(TableName=dynamodb_registry.place.name)

    def ok(*arguments: str) -> str:
        result = run(dynamodb_registry, small, *arguments)
        assert result.exit_code == 0, result.output
        return result.output

    assert "is made" in ok("registry", "init")
    assert "there already" in ok("registry", "init")
    pushed = ok("registry", "push", str(folder), "--by", "anna")
    assert "written  CAMPAIGN#SP17" in pushed
    assert "6 documents changed; the registry is at revision 1." in pushed
    assert "0 documents changed" in ok("registry", "push", str(folder))
    assert "revision 1, by anna" in ok("registry", "pull", str(tmp_path / "new"))
    shown = json.loads(ok("registry", "show", "--json"))
    assert [row["id"] for row in shown][:2] == ["CAMPAIGN#AU17", "CAMPAIGN#SP17"]
    assert {row["updated_by"] for row in shown} == {"anna"}
    assert "RULES#sales" in ok("registry", "show", "RULES#sales")
    assert "SP17" in ok("campaigns")


def test_the_commands_need_a_table(small: Small) -> None:
    environment = {"ETL_ASSETS_HOME": str(small.home)}
    result = CliRunner().invoke(cli, ["registry", "init"], env=environment)
    assert "is no DynamoDB table" in str(result.exception)
