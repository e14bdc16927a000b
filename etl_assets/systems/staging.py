"""The staging store as a folder: append-only, each object whole or absent.

An object is written beside its place, flushed, then linked to its name: the link fails
when the name exists, so nothing is ever overwritten, and a crash leaves no half object.
"""

import contextlib
import datetime as dt
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from etl_assets.core.errors import StagingError
from etl_assets.core.manifest import Part, Stage, copy_manifest
from etl_assets.core.retention import StoredObject
from etl_assets.systems.protocols import Check, Staging
from etl_assets.systems.scratch import scratch_folder

_SCRATCH = ".scratch"
_BLOCK = 1 << 20


class FileStaging:
    """A staging store below a folder."""

    def __init__(self, folder: Path) -> None:
        """Remember where the store is; nothing is written before it is needed."""
        self.folder = folder

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a private folder on the store's own file system; see `Staging.scratch`."""
        parent = self.folder / _SCRATCH
        with contextlib.ExitStack() as stack:
            with self._explained(parent):
                parent.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(scratch_folder(parent, "tmp"))
            yield folder

    def put(self, path: str, file: Path) -> Part:
        """Store a finished file; see `Staging.put`. The file itself may be moved."""
        part = Part(path=path, bytes=file.stat().st_size, sha256=sha256_of(file))
        target = self._local(path)
        with self._explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
            try:
                os.link(file, target)
            except FileExistsError:
                if sha256_of(target) != part.sha256:
                    raise StagingError(
                        f"{self.uri(path)} exists already with other content.",
                        "Run the refresh again; it writes under a new path.",
                    ) from None
        return part

    def put_text(self, path: str, text: str) -> Part:
        """Store a small text; see `Staging.put_text`."""
        with self.scratch() as folder:
            file = folder / "text"
            with self._explained(file):
                file.write_text(text, encoding="utf-8")
            return self.put(path, file)

    def read_text(self, path: str) -> str:
        """Return a small text; see `Staging.read_text`."""
        with self._explained(self._local(path)):
            try:
                return self._local(path).read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise StagingError(
                    f"The staged object {self.uri(path)} was changed: it is not text.",
                    "Refresh the campaign with --force; it makes new objects.",
                ) from error

    @contextlib.contextmanager
    def fetch(self, parts: Sequence[Part]) -> Iterator[list[Path]]:
        """Give the stored files themselves, proven; see `Staging.fetch`."""
        self.verify(parts)
        yield [self._local(part.path) for part in parts]

    def verify(self, parts: Sequence[Part]) -> None:
        """Prove the stored files by size and SHA-256; see `Staging.verify`."""
        for part in parts:
            file = self._local(part.path)
            with self._explained(file):
                size = file.stat().st_size
                same = size == part.bytes and sha256_of(file) == part.sha256
            if not same:
                raise StagingError(
                    f"The staged object {self.uri(part.path)} was changed or cut short"
                    f" ({size} bytes, written with {part.bytes}).",
                    "Refresh the campaign with --force; it makes new objects.",
                )

    def uri(self, path: str) -> str:
        """Return the `file:` URI of a path."""
        return self._local(path).absolute().as_uri()

    def download(self, path: str, target: Path) -> str:
        """Copy an object and return its SHA-256; see `Staging.download`."""
        digest = hashlib.sha256()
        local = self._local(path)
        with self._explained(local), local.open("rb") as source, target.open("wb") as copy:
            while block := source.read(_BLOCK):
                copy.write(block)
                digest.update(block)
        return digest.hexdigest()

    def objects(self, below: str = "") -> list[StoredObject]:
        """Return everything in the store, or in a folder of it; see `Staging.objects`."""
        found = []
        with self._explained(self.folder):
            for parent, folders, names in os.walk(self._local(below), onerror=_raise):
                if Path(parent) == self.folder:
                    folders[:] = [name for name in folders if name != _SCRATCH]
                for file in (Path(parent, name) for name in names):
                    status = file.lstat()
                    path = file.relative_to(self.folder).as_posix()
                    modified = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
                    found.append(StoredObject(path, status.st_size, modified))
        return sorted(found, key=lambda stored: stored.path)

    def delete(self, paths: Sequence[str]) -> None:
        """Remove objects and the folders they leave empty; see `Staging.delete`."""
        for path in paths:
            file = self._local(path)
            with self._explained(file):
                file.unlink(missing_ok=True)
            for folder in file.relative_to(self.folder).parents[:-1]:
                try:
                    (self.folder / folder).rmdir()
                except OSError:  # not empty
                    break

    def check(self) -> list[Check]:
        """Return whether an object can be written, read back and removed."""
        try:
            with self.scratch() as folder:
                probe = folder / "probe"
                probe.write_bytes(b"probe")
                os.link(probe, folder / "linked")
        except (StagingError, OSError) as error:
            remedy = "Give this user write access, or set ETL_ASSETS_STAGING to another folder."
            return [Check("writable", ok=False, detail=str(error), remedy=remedy)]
        free = shutil.disk_usage(self.folder).free
        return [
            Check("writable", ok=True, detail=str(self.folder)),
            Check(
                "space",
                ok=free > 1 << 30,
                detail=f"{free / (1 << 30):.1f} GiB free",
                remedy="Free some space: an extract and its parts need about as much as its CSV.",
            ),
        ]

    def _local(self, path: str) -> Path:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise StagingError(f"{path!r} is not a path below the staging store.", "")
        return self.folder / pure

    @contextlib.contextmanager
    def _explained(self, place: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StagingError(
                f"The staging store failed at {place}: {error.strerror or error}.",
                "Check that the folder is there, writable and has space (`etl-assets doctor`).",
            ) from error


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # no store yet; or removed meanwhile
        raise error


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal; memory is one block."""
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def prove_parts(stage: Stage, staging: Staging) -> None:
    """Prove that manifest and parts are what was staged.

    Raises:
        StagingError: When one is missing, cut short or changed.
    """
    if staging.read_text(stage.copy_manifest) != copy_manifest(stage.parts, staging.uri):
        raise StagingError(
            f"The manifest {staging.uri(stage.copy_manifest)} was changed; the table is as it was.",
            "Refresh the campaign with --force; it makes new objects.",
        )
    staging.verify(stage.parts)
