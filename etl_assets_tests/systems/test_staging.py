"""What is staged is what is loaded: it must be whole, unchanged, and never overwritten."""

import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from etl_assets.core.errors import PermanentError, StagingError
from etl_assets.core.manifest import Part
from etl_assets.systems.connect import open_staging
from etl_assets.systems.staging import FileStaging, sha256_of

CONTENT = b"some bytes " * 1000


@pytest.fixture
def staging(tmp_path: Path) -> FileStaging:
    return FileStaging(tmp_path / "store")


def put(staging: FileStaging, path: str = "a/b/part-0", content: bytes = CONTENT) -> Part:
    with staging.scratch() as folder:
        (folder / "file").write_bytes(content)
        return staging.put(path, folder / "file")


def stored(staging: FileStaging) -> list[str]:
    files = [path for path in staging.folder.rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(staging.folder)) for path in files)


def test_an_object_is_fetched_as_it_was_put(staging: FileStaging) -> None:
    part = put(staging)
    assert (part.path, part.bytes) == ("a/b/part-0", len(CONTENT))
    with staging.fetch([part, part]) as files:
        assert [file.read_bytes() for file in files] == [CONTENT, CONTENT]
        assert sha256_of(files[0]) == part.sha256
    text = staging.put_text("a/b/manifest.json", "grün\n")
    assert staging.read_text(text.path) == "grün\n"
    assert stored(staging) == ["a/b/manifest.json", "a/b/part-0"]
    assert staging.uri("a/b").startswith("file:///")


def test_nothing_is_ever_overwritten(staging: FileStaging) -> None:
    first = put(staging)
    with pytest.raises(StagingError, match="exists already with other content"):
        put(staging, content=b"other")
    with staging.fetch([first]) as files:
        assert files[0].read_bytes() == CONTENT
    assert stored(staging) == ["a/b/part-0"]


def test_putting_the_same_again_is_a_retry_and_not_an_error(staging: FileStaging) -> None:
    assert put(staging) == put(staging)


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x", "..", "a/.."])
def test_a_path_that_leaves_the_store_is_refused(staging: FileStaging, path: str) -> None:
    with pytest.raises(StagingError, match="is not a path below the staging store"):
        put(staging, path)
    with pytest.raises(StagingError, match="is not a path below the staging store"):
        staging.read_text(path)
    part = Part(path=path, bytes=1, sha256="")
    with pytest.raises(StagingError, match="is not a path below"), staging.fetch([part]):
        pass


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1], CONTENT + b"x", b"X" + CONTENT[1:], b""],
    ids=["cut", "more", "other", "empty"],
)
def test_a_part_that_was_changed_is_detected(staging: FileStaging, content: bytes) -> None:
    part = put(staging)
    (staging.folder / part.path).write_bytes(content)
    with pytest.raises(StagingError, match="was changed or cut short"), staging.fetch([part]):
        pass


def test_a_part_that_is_missing_or_a_folder_is_detected(staging: FileStaging) -> None:
    part = put(staging)
    (staging.folder / part.path).unlink()
    with pytest.raises(StagingError, match="No such file"), staging.fetch([part]):
        pass
    with pytest.raises(StagingError, match="No such file"):
        staging.read_text(part.path)
    (staging.folder / part.path).mkdir()
    with pytest.raises(StagingError, match="changed or cut short"), staging.fetch([part]):
        pass


def test_a_text_that_is_none_any_more_is_an_error(staging: FileStaging) -> None:
    put(staging, "manifest.json", b"\xff\xfe")
    with pytest.raises(StagingError, match="it is not text"):
        staging.read_text("manifest.json")


def test_scratch_folders_are_private_and_go_with_their_context(staging: FileStaging) -> None:
    with staging.scratch() as one, staging.scratch() as other:
        assert one != other
        (one / "half").write_bytes(b"half")
    with pytest.raises(ZeroDivisionError), staging.scratch() as third:
        (third / "half").write_bytes(bytes(1 // 0))
    assert stored(staging) == []


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/store"])
def test_a_store_that_cannot_be_written_says_where_and_what_to_do(folder: str) -> None:
    staging = open_staging(f"file:{folder}")
    with pytest.raises(StagingError, match=f"failed at {folder}") as caught:
        staging.put_text("a", "text")
    assert "etl-assets doctor" in caught.value.remedy
    (check,) = staging.check()
    assert not check.ok
    assert "ETL_ASSETS_STAGING" in check.remedy


def test_a_healthy_store_says_so_and_leaves_nothing(staging: FileStaging) -> None:
    assert all(check.ok for check in staging.check() if check.name == "writable")
    assert stored(staging) == []


_FILL = """
import resource, sys
from pathlib import Path
from etl_assets.core.errors import StagingError
from etl_assets.systems.staging import FileStaging
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    FileStaging(Path(sys.argv[1])).put_text("a/manifest.json", "x" * 5000)
except StagingError as error:
    print(error.message)
"""


def test_a_disk_that_takes_no_more_leaves_no_half_object(staging: FileStaging) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(staging.folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "The staging store failed at" in done.stdout
    assert "File too large" in done.stdout
    assert stored(staging) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def _put_in_a_process(folder: str, content: bytes) -> bool:
    try:
        put(FileStaging(Path(folder)), content=content)
    except StagingError:
        return False
    return True


def test_of_two_processes_that_put_one_path_exactly_one_succeeds(staging: FileStaging) -> None:
    contents = [bytes([n]) * 50_000 for n in range(4)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        done = pool.starmap(_put_in_a_process, [(str(staging.folder), c) for c in contents])
    assert sum(done) == 1
    assert (staging.folder / "a/b/part-0").read_bytes() == contents[done.index(True)]


def test_a_store_of_an_unknown_kind_is_refused() -> None:
    for url in ("s3:bucket", "file:", "", f"{os.sep}store"):
        with pytest.raises(PermanentError, match="ETL_ASSETS_STAGING names no system"):
            open_staging(url)
