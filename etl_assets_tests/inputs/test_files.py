"""Which files have arrived: in a folder, and in S3.

At risk: a file that is taken while somebody still writes it.
"""

import datetime as dt
import os
from pathlib import Path

import pytest

from etl_assets.core.errors import StagingError
from etl_assets.core.inputs.contract import parse_contract
from etl_assets.core.inputs.files import InputFile
from etl_assets.inputs.inputs import Inputs
from etl_assets.systems.input_files import InputFiles
from etl_assets.systems.staging import FileStaging
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets_tests.inputs.deliveries import CONTRACT, START, Deliveries

TEXT = "Order No,Amount,Note\n1,1,a\nx,1,b\n"


def names(deliveries: Deliveries, files: InputFiles | None = None) -> list[str]:
    return [file.name for file in (files or deliveries.inputs.files).arrived("orders")]


def test_files_in_the_making_and_hidden_ones_are_left_alone(embedded: Deliveries) -> None:
    for name in (
        "a.csv", "sub/b.csv", ".hidden.csv", ".git/c.csv", "~$d.xlsx", "e.csv.part", "f.TMP",
        "g.filepart", "h.crdownload",
    ):  # fmt: skip
        embedded.deliver(name, TEXT)
    embedded.deliver("other.csv", TEXT, source="other")
    assert names(embedded) == ["a.csv", "sub/b.csv"]
    assert embedded.inputs.files.sources() == ["orders", "other"]


def test_a_young_file_is_left_until_it_has_settled(embedded: Deliveries) -> None:
    embedded.deliver("a.csv", TEXT, minutes=1)
    at = START + dt.timedelta(minutes=1)
    for seconds, there in ((-60, True), (-1, False), (0, False), (9.9, False), (10, True)):
        files = InputFiles(embedded.staging, now=lambda s=seconds: at + dt.timedelta(seconds=s))  # type: ignore[misc]
        assert names(embedded, files) == (["a.csv"] if there else []), seconds


def test_a_file_that_somebody_has_open_for_writing_is_left(embedded: Deliveries) -> None:
    path = embedded.home / embedded.deliver("a.csv", TEXT).path
    path = embedded.home / "staging" / path.relative_to(embedded.home)
    with path.open("ab"):
        assert names(embedded) == []
    with path.open("rb"):
        assert names(embedded) == ["a.csv"]


def test_links_and_what_is_no_file_are_left_alone(embedded: Deliveries) -> None:
    embedded.deliver("a.csv", TEXT)
    folder = embedded.home / "staging/inputs/orders"
    (folder / "link.csv").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.csv")
    assert names(embedded) == ["a.csv"]


def test_no_folder_is_no_file(embedded: Deliveries) -> None:
    assert names(embedded) == []
    assert embedded.inputs.files.sources() == []


def test_a_file_that_is_gone_is_told(embedded: Deliveries) -> None:
    file = InputFile("orders", "inputs/orders/gone.csv", 1, START)
    with pytest.raises(StagingError, match=r"gone\.csv"):
        embedded.inputs.load(file)


def test_a_file_in_s3_is_loaded_and_its_rejects_are_kept_there(
    embedded: Deliveries, s3_staging: S3Staging, tmp_path: Path
) -> None:
    for name, content in (("b.csv", TEXT), ("a.csv", TEXT + "2,2,c\n"), ("c.csv.part", "x")):
        s3_staging.client.put_object(
            Bucket=s3_staging.place.name,
            Key=f"{s3_staging.place.prefix}/inputs/orders/{name}",
            Body=content.encode(),
        )
    contract = parse_contract(CONTRACT + "most_rejected_percent: 50\n", "orders.yaml")
    inputs = Inputs({"orders": contract}, InputFiles(s3_staging), embedded.database)
    pending = inputs.pending("orders")
    assert sorted(file.name for file in pending) == ["a.csv", "b.csv"]
    loaded = [inputs.load(file) for file in pending]
    assert [row.status for row in loaded] == ["loaded", "loaded"]
    assert "is not a number" in s3_staging.read_text(loaded[0].rejects)
    assert inputs.pending("orders") == []
    assert embedded.rows("id, note") == [(1, "a"), (2, "c")]
    assert inputs.files.sources() == ["orders"]
    assert list((tmp_path / "staging").glob("*")) == []


def test_a_store_lists_only_the_folder_that_is_asked_for(tmp_path: Path) -> None:
    staging = FileStaging(tmp_path)
    for path in ("inputs/a/x", "inputs/ab/x", "extract/a"):
        staging.put_text(path, "x")
    assert [item.path for item in staging.objects("inputs/a")] == ["inputs/a/x"]
    assert len(staging.objects()) == 3


def test_a_name_that_the_ledger_cannot_keep_is_left_alone_and_told(embedded: Deliveries) -> None:
    folder = embedded.home / "staging/inputs/orders"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"gr\xfcn.csv")).write_text(TEXT)
    assert names(embedded) == []
    assert embedded.inputs.files.misnamed() == ["inputs/orders/gr\\udcfcn.csv"]
    assert embedded.load("x" * 250, "Order No,Amount,Note\nx,1,b\n").rejects
