"""Files of feeds in a folder of this machine, or one that is mounted."""

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from etl_assets.core.errors import PermanentError
from etl_assets.systems.delivering import partial_name

_ABANDONED_SECONDS = 86_400


class FolderDestination:
    """A folder; see `FileDestination`."""

    def __init__(self, folder: Path) -> None:
        """Remember where it is; it is made when something is put there."""
        self.folder = folder

    def put(self, name: str, file: Path) -> None:
        """Copy a file beside its place, flush it, and rename it; see `FileDestination.put`."""
        target = self.folder / name
        partial = self.folder / partial_name(name, uuid.uuid4().hex[:8])
        with self._explained(target):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep(name)
            try:
                with file.open("rb") as source, partial.open("xb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                    copy.flush()
                    os.fsync(copy.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            handle = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def uri(self, name: str) -> str:
        """Return the `file:` URI of a name."""
        return (self.folder / name).absolute().as_uri()

    def _sweep(self, name: str) -> None:
        """Remove what deliveries left that were killed more than a day ago."""
        for left in self.folder.glob(partial_name(name, "*")):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self, target: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PermanentError(
                f"{target} cannot be written: {error.strerror or error}.",
                "Check that its folder is there, writable and has space.",
            ) from error
