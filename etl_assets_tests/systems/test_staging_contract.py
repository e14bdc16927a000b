"""What every staging store must do, whatever it is made of."""

import datetime as dt
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Part
from etl_assets.systems.protocols import Staging
from etl_assets.systems.staging import FileStaging, sha256_of
from etl_assets.systems.staging_s3 import S3Staging

CONTENT = b"some bytes " * 1000
OWNER = """
import sys, threading
from pathlib import Path
from etl_assets.systems.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1]), sys.argv[2]) as folder:
    (folder / "half").write_bytes(b"half")
    print(folder, flush=True)
    threading.Event().wait()
"""
"""A process that has a scratch folder until it is killed."""


@pytest.fixture(params=["file", "s3"])
def staging(request: pytest.FixtureRequest, tmp_path: Path) -> Staging:
    if request.param == "file":
        return FileStaging(tmp_path / "store")
    store: S3Staging = request.getfixturevalue("s3_staging")
    return store


@pytest.fixture
def overwrite(staging: Staging) -> Callable[[str, bytes], None]:
    """Changes an object behind the store's back."""

    def change(path: str, content: bytes) -> None:
        if isinstance(staging, S3Staging):
            key = f"{staging.place.prefix}/{path}"
            staging.client.put_object(Bucket=staging.place.name, Key=key, Body=content)
        elif isinstance(staging, FileStaging):
            (staging.folder / path).write_bytes(content)

    return change


def put(staging: Staging, path: str = "a/b/part-0", content: bytes = CONTENT) -> Part:
    with staging.scratch() as folder:
        (folder / "file").write_bytes(content)
        return staging.put(path, folder / "file")


def stored(staging: Staging) -> list[str]:
    return [item.path for item in staging.objects()]


def test_an_object_is_fetched_as_it_was_put(staging: Staging) -> None:
    part = put(staging)
    assert (part.path, part.bytes) == ("a/b/part-0", len(CONTENT))
    with staging.fetch([part, part]) as files:
        assert [file.read_bytes() for file in files] == [CONTENT, CONTENT]
        assert sha256_of(files[0]) == part.sha256
    text = staging.put_text("a/b/manifest.json", "grün\n")
    assert staging.read_text(text.path) == "grün\n"
    assert stored(staging) == ["a/b/manifest.json", "a/b/part-0"]


def test_an_empty_object_and_no_parts_at_all_are_fetched(staging: Staging) -> None:
    part = put(staging, content=b"")
    with staging.fetch([part]) as files:
        assert files[0].read_bytes() == b""
    with staging.fetch([]) as files:
        assert files == []


def test_many_parts_come_in_the_order_asked_for(staging: Staging) -> None:
    parts = [put(staging, f"a/part-{n:05}", bytes([n]) * n) for n in range(20)]
    with staging.fetch(parts) as files:
        assert [file.read_bytes() for file in files] == [bytes([n]) * n for n in range(20)]


def test_nothing_is_ever_overwritten(staging: Staging) -> None:
    first = put(staging)
    for other in (b"other", CONTENT[:-1] + b"X", b""):
        with pytest.raises(StagingError, match="exists already with other content"):
            put(staging, content=other)
    with staging.fetch([first]) as files:
        assert files[0].read_bytes() == CONTENT


def test_putting_the_same_again_is_a_retry_and_not_an_error(staging: Staging) -> None:
    assert put(staging) == put(staging)


def test_of_many_that_put_one_path_at_once_exactly_one_succeeds(staging: Staging) -> None:
    contents = [bytes([n]) * 50_000 for n in range(4)]
    won: list[bytes] = []
    lost: list[StagingError] = []
    together = threading.Barrier(len(contents))

    def race(content: bytes) -> None:
        together.wait()
        try:
            put(staging, content=content)
            won.append(content)
        except StagingError as error:
            lost.append(error)

    threads = [threading.Thread(target=race, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 3)
    with staging.fetch([put(staging, content=won[0])]) as files:
        assert files[0].read_bytes() == won[0]


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "..", "a/.."])
def test_a_path_that_leaves_the_store_is_refused(staging: Staging, path: str) -> None:
    with pytest.raises(StagingError, match="is not a path below the staging store"):
        put(staging, path)
    with pytest.raises(StagingError, match="is not a path below the staging store"):
        staging.read_text(path)
    with pytest.raises(StagingError, match="is not a path below the staging store"):
        staging.delete([path])
    part = Part(path=path, bytes=1, sha256="")
    with pytest.raises(StagingError, match="is not a path below"), staging.fetch([part]):
        pass


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:], b""],
    ids=["cut short", "longer", "changed", "empty"],
)
def test_a_part_that_was_changed_after_the_manifest_is_detected(
    staging: Staging, overwrite: Callable[[str, bytes], None], content: bytes
) -> None:
    parts = [put(staging, "a/good"), put(staging)]
    overwrite(parts[1].path, content)
    with pytest.raises(StagingError, match="was changed or cut short"):
        staging.verify(parts)
    with pytest.raises(StagingError, match="was changed or cut short"), staging.fetch(parts):
        pass


def test_a_part_that_is_missing_is_detected(staging: Staging) -> None:
    part = put(staging)
    staging.delete([part.path])
    with pytest.raises(StagingError, match="a/b/part-0"):
        staging.verify([part])
    with pytest.raises(StagingError, match="a/b/part-0"), staging.fetch([part]):
        pass
    with pytest.raises(StagingError, match="a/b/part-0"):
        staging.read_text(part.path)


def test_a_text_that_is_none_any_more_is_an_error(staging: Staging) -> None:
    put(staging, "manifest.json", b"\xff\xfe")
    with pytest.raises(StagingError, match="it is not text"):
        staging.read_text("manifest.json")


def test_scratch_folders_are_private_and_go_with_their_context(staging: Staging) -> None:
    with staging.scratch() as one, staging.scratch() as other:
        assert one != other
        (one / "half").write_bytes(b"half")
    assert not one.exists()
    with pytest.raises(ZeroDivisionError), staging.scratch() as third:
        (third / "half").write_bytes(bytes(1 // 0))
    assert not third.exists()
    assert stored(staging) == []


def test_a_scratch_folder_whose_owner_was_killed_goes_with_the_next(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with staging.scratch() as mine:
        parent, prefix = mine.parent, mine.name[: -len("xxxxxxxx")]
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(parent), prefix], stdout=subprocess.PIPE, text=True
        )
        assert owner.stdout
        left = Path(owner.stdout.readline().strip())
        for folder in (mine, left):
            os.utime(folder, (0, 0))
        with staging.scratch():
            assert (mine.exists(), left.exists()) == (True, True)
        owner.kill()
        owner.communicate()
        with staging.scratch():
            assert (mine.exists(), left.exists()) == (True, False)


def test_everything_in_the_store_is_listed_with_its_size_and_time(staging: Staging) -> None:
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    put(staging, "b/c", b"12345")
    put(staging, "a", b"1")
    with staging.scratch() as folder:
        (folder / "in-the-making").write_bytes(b"1")
        found = staging.objects()
    assert [(item.path, item.bytes) for item in found] == [("a", 1), ("b/c", 5)]
    assert all(before <= item.modified <= dt.datetime.now(dt.UTC) for item in found)


def test_objects_are_removed_once_and_others_stay(staging: Staging) -> None:
    for path in ("a/b/c", "a/b/d", "a/e"):
        put(staging, path)
    staging.delete(["a/b/c", "a/b/never"])
    staging.delete(["a/b/c"])
    staging.delete([])
    assert stored(staging) == ["a/b/d", "a/e"]
    put(staging, "a/b/c", b"a removed path is free again")


def test_a_healthy_store_says_so_and_leaves_nothing(staging: Staging) -> None:
    assert all(check.ok for check in staging.check() if check.name == "writable")
    assert stored(staging) == []
