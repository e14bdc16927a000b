"""Files that arrived below `inputs/` in the staging store, and what is written about them."""

import contextlib
import datetime as dt
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from etl_assets.core.errors import TransientError
from etl_assets.core.inputs.files import FOLDER, REJECTS_FOLDER, InputFile, LoadedFile
from etl_assets.core.retention import StoredObject
from etl_assets.systems.protocols import Staging
from etl_assets.systems.staging import FileStaging

SETTLED_SECONDS = 10.0
"""A file in a folder that was changed later may be in the making."""

_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp")
_LONGEST_NAME = 120
_LONGEST_PATH = 1000
_HIDDEN = (".", "~$", "_temporary")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class InputFiles:
    """The files that sources delivered.

    An object in S3 is whole when it is there. A file in a folder may be in the making: it is
    left alone while it is young, while a process has it open for writing, and while its name
    says so (`.part`, `.tmp`, a dot or `~$` before it).
    """

    def __init__(
        self,
        staging: Staging,
        *,
        settled_seconds: float = SETTLED_SECONDS,
        now: Callable[[], dt.datetime] = _now,
    ) -> None:
        """Remember the store.

        Args:
            staging: Where the files are.
            settled_seconds: How old a file in a folder has to be.
            now: Gives the time.
        """
        self.staging = staging
        self._folder = staging.folder if isinstance(staging, FileStaging) else None
        self._settled = dt.timedelta(seconds=settled_seconds)
        self._now = now

    def arrived(self, source: str) -> list[InputFile]:
        """Return a source's files that are whole, in order of arrival, then by name.

        Raises:
            StagingError: When they cannot be listed.
        """
        found = [
            InputFile(source, item.path, item.bytes, item.modified)
            for item in self.staging.objects(f"{FOLDER}/{source}")
            if _is_meant(item, source) and self._is_settled(item)
        ]
        return sorted(found, key=lambda file: (file.modified, file.path))

    def sources(self) -> list[str]:
        """Return the folders below `inputs/` that hold a file, by name."""
        paths = [PurePosixPath(item.path).parts for item in self.staging.objects(FOLDER)]
        return sorted({parts[1] for parts in paths if len(parts) > 2})  # noqa: PLR2004

    def misnamed(self) -> list[str]:
        """Return files that are left alone because of their names, as far as they can be shown."""
        paths = [item.path for item in self.staging.objects(FOLDER)]
        return [
            path.encode("utf-8", "backslashreplace").decode()
            for path in paths
            if _is_misnamed(path)
        ]

    @contextlib.contextmanager
    def copy(self, file: InputFile) -> Iterator[tuple[Path, str]]:
        """Give a private copy of a file, in a scratch folder of its own, and its SHA-256.

        Raises:
            StagingError: When it is not there any more.
            TransientError: When it was changed meanwhile.
        """
        with self.staging.scratch() as folder:
            target = folder / "input"
            sha256 = self.staging.download(file.path, target)
            if target.stat().st_size != file.bytes or not self._is_same(file):
                raise TransientError(
                    f"The file {file.path} was changed while it was read.", "Load it again."
                )
            yield target, sha256

    def keep_rejects(self, made: LoadedFile, file: Path) -> str:
        """Store the rejects of a file; return their path.

        Reading a file by one contract gives the same rejects each time, so a load that is tried
        again stores them where they are.

        Raises:
            StagingError: When they cannot be stored.
        """
        name = f"{made.name[:_LONGEST_NAME]}.{made.sha256[:12]}.{made.contract[:8]}.csv"
        path = f"{REJECTS_FOLDER}/{made.source}/{name}"
        self.staging.put(path, file)
        return path

    def _is_same(self, file: InputFile) -> bool:
        if self._folder is None:
            return True
        status = (self._folder / file.path).stat()
        return dt.datetime.fromtimestamp(status.st_mtime, dt.UTC) == file.modified

    def _is_settled(self, item: StoredObject) -> bool:
        if self._folder is None:
            return True
        path = self._folder / item.path
        if abs(self._now() - item.modified) < self._settled:  # also when clocks differ
            return False
        with contextlib.suppress(OSError):
            return stat.S_ISREG(path.lstat().st_mode) and not _is_open_for_writing(path)
        return False


def _is_meant(item: StoredObject, source: str) -> bool:
    names = PurePosixPath(item.path).relative_to(f"{FOLDER}/{source}").parts
    return not (
        any(name.startswith(_HIDDEN) for name in names)
        or names[-1].lower().endswith(_UNFINISHED)
        or item.path.endswith("/")
        or _is_misnamed(item.path)
    )


def _is_misnamed(path: str) -> bool:
    """Return whether a path cannot be kept in the ledger: it is too long, or no UTF-8."""
    return len(path) > _LONGEST_PATH or any("\ud800" <= one <= "\udfff" for one in path)


def _is_open_for_writing(path: Path) -> bool:
    """Return whether a process of this machine has a file open for writing, where that is known.

    Linux refuses a lease on such a file. It gives none where the file is not ours or lies on
    a network; the file's age has to do there.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
