"""`etl-assets feeds`, as people and programs use it."""

import json
from pathlib import Path

import pytest

from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.delivery.platform import write_feed
from etl_assets_tests.small import Small
from etl_assets_tests.systems.platforms import DuckDBPlatform

OWN = """\
feed: own_sales
audience: planning
per: key
needs: nothing
select: SELECT sale_id, amount, note FROM sales WHERE campaign_key = :campaign_key
name: own_{key}.csv
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """A small platform with one load and two feeds."""
    small = Small(tmp_path_factory.mktemp("feeds") / "small").build()
    DuckDBPlatform(small).refresh("SP17")
    write_feed(small.home, "own_sales", text=OWN)
    write_feed(small.home, "sales")
    made = CommandLine.of(small)
    folder = str(small.home / "feeds_of_test")
    return CommandLine(made.home, {**made.variables, "ETL_ASSETS_FEEDS": folder})


def test_feeds_are_listed_previewed_and_delivered(command: CommandLine) -> None:
    listed = command.run("feeds", "list").stdout
    assert "own_sales" in listed
    assert listed.count("never") == 2
    preview = command.run("feeds", "preview", "own_sales", "--key", "SP17", "--json")
    assert json.loads(preview.stdout)[1] == {"sale_id": "1", "amount": "1.25", "note": None}
    assert not (command.home / "feeds").exists()
    done = command.run("feeds", "deliver")
    assert done.returncode == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == [
        "own_sales of SP17 delivered", "sales delivered",
    ]  # fmt: skip
    assert sorted(file.name for file in (command.home / "feeds").iterdir()) == [
        "own_SP17.csv", "own_SP17.csv.manifest.json", "sales.csv", "sales.csv.manifest.json",
    ]  # fmt: skip
    again = command.run("feeds", "deliver", "sales", "--json")
    assert [one["status"] for one in json.loads(again.stdout)] == ["unchanged"]
    feeds = json.loads(command.run("feeds", "list", "--json").stdout)
    assert [(f["feed"], f["reads"], f["deliveries"][0]["records"]) for f in feeds] == [
        ("own_sales", ["sales"], 14), ("sales", ["sales_by_campaign"], 14),
    ]  # fmt: skip
    with command.instance() as instance:
        assert {key.to_user_string() for key in instance.all_asset_keys()} >= {
            "feed/own_sales", "feed/sales",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["deliver", "salse"], "There is no feed 'salse'; did you mean `sales`?"),
        (["preview", "own_sales"], "The feed own_sales is per campaign. Give --key."),
    ],
)
def test_what_is_not_there_is_said(
    command: CommandLine, arguments: list[str], problem: str
) -> None:
    done = command.run("feeds", *arguments)
    assert done.returncode == 1
    assert problem in done.stderr


def test_a_feed_that_cannot_be_delivered_does_not_keep_others(command: CommandLine) -> None:
    (command.home / "taken").write_text("a file")
    write_feed(command.home, "broken", "name: b.csv\ndestination: file:taken\n")
    done = command.run("feeds", "deliver", "broken", "sales", "--force")
    Path(command.home / "feeds_of_test" / "broken.yaml").unlink()
    assert done.returncode == 1
    assert "broken of all:" in done.stderr
    assert "cannot be written" in done.stderr
    assert "sales delivered" in done.stdout
