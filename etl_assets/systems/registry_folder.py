"""Files of a registry's folder: read or refused, never taken for absent; written whole."""

import os
from pathlib import Path

from etl_assets.core.errors import RegistryError


def names_in(folder: Path) -> list[str]:
    """Return what is in a folder, sorted; one that cannot be read is never an empty one.

    Raises:
        RegistryError: When it cannot be read.
    """
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise unreadable(folder, error.strerror) from error


def text_of(file: Path) -> str:
    """Return a document's text as it is, line ends included.

    Raises:
        RegistryError: When it cannot be read, or is not UTF-8.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise unreadable(file, reason) from error


def unreadable(path: Path, reason: str | None) -> RegistryError:
    """Return the error of a registry that cannot be read."""
    return RegistryError(
        f"The registry's {path} cannot be read ({reason}).",
        "Check ETL_ASSETS_REGISTRY and the permissions; `etl-assets demo --no-refresh` makes a"
        " sample registry.",
    )


def write_whole(file: Path, text: str) -> None:
    """Write a new file, on the disk when this returns; OSError when it cannot be, or exists."""
    with file.open("xb") as handle:
        handle.write(text.encode())
        handle.flush()
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk, too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
