"""Private folders for files in the making, which go when their owner ends, however it ends.

The owner holds a lock on its folder, which the operating system releases when the process is
killed. So whoever makes the next one can tell which were left behind.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_SETTLED_SECONDS = 60
"""A folder this young may be one whose owner has not locked it yet."""


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Give an empty folder of this process's own; remove those of processes that were killed.

    Args:
        parent: Where; it must be there.
        prefix: Of the names of such folders and of nothing else in `parent`.

    Raises:
        OSError: When it cannot be made.
    """
    _sweep(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # it went meanwhile, or is not ours
            if time.time() - folder.stat().st_mtime < _SETTLED_SECONDS:
                continue
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Return a locked handle of a folder; None when it has an owner, or locks cannot be had."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle
