"""What a file is by its content, whatever its name says; and packed files unpacked, within bounds.

What a header says of a size is not believed: bytes are counted while they are unpacked.
"""

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from etl_assets.core.inputs.contract import Contract, Format
from etl_assets.core.inputs.files import BadFileError

_BLOCK = 1 << 20
_ZIP, _GZIP, _PARQUET = b"PK\x03\x04", b"\x1f\x8b", b"PAR1"
_EMPTY_ZIP = b"PK\x05\x06"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FOREIGN = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "packed by bzip2",
    b"\xfd7zXZ": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
    b"SQLite format 3": "an SQLite database",
    b"<html": "an HTML page",
    b"<!doctype html": "an HTML page",
    b"<?xml": "XML",
}
_START = 512
_TAR = slice(257, 262)
_SUSPICIOUS_RATIO = 300
_SUSPICIOUS_BYTES = 64 << 20
"""What unpacks to more, and to so many times its size, is a bomb."""

_MOST_MEMBERS = 1_000
_ENCRYPTED = 0x1
_AGAIN = "Deliver it again."


@dataclass(frozen=True)
class DataFile:
    """A file with rows, unpacked.

    Attributes:
        path: Where it lies now.
        format: By its content.
        member: Its name in the archive it came in; empty when it came as it is.
    """

    path: Path
    format: Format
    member: str = ""


def data_files(path: Path, contract: Contract, folder: Path) -> Iterator[DataFile]:
    """Yield the files with rows that a file is or holds, one unpacked at a time.

    Every member of a ZIP archive is read, in the sequence of the archive.

    Raises:
        BadFileError: When it is cut off, a bomb, an archive in an archive, or nothing that is
            read here.
    """
    start = _start_of(path)
    if start.startswith(_GZIP):
        with _explained("gzip"), gzip.open(path) as packed:
            made = _unpack(cast("IO[bytes]", packed), folder, contract, path.stat().st_size, 0)
        yield DataFile(made, _format_of(made, contract, packed=True), "")
    elif start.startswith((_ZIP, _EMPTY_ZIP)) and not _is_workbook(path):
        yield from _members(path, contract, folder)
    else:
        yield DataFile(path, _format_of(path, contract))


def _members(path: Path, contract: Contract, folder: Path) -> Iterator[DataFile]:
    with _explained("ZIP"), zipfile.ZipFile(path) as archive:
        members = [
            m for m in archive.infolist()
            if not m.is_dir() and not m.filename.startswith("__MACOSX/")
        ]  # fmt: skip
        if not members:
            raise BadFileError("The archive is empty.", _AGAIN)
        if len(members) > _MOST_MEMBERS:
            raise BadFileError(f"The archive has {len(members):,} files; {_MOST_MEMBERS:,} may be.")
        unpacked = 0
        for member in members:
            if member.flag_bits & _ENCRYPTED:
                raise BadFileError(f"`{member.filename}` in the archive asks for a password.")
            with archive.open(member) as packed:
                made = _unpack(packed, folder, contract, path.stat().st_size, unpacked)
            unpacked += made.stat().st_size
            yield DataFile(made, _format_of(made, contract, packed=True), member.filename)
            made.unlink()


def _unpack(
    packed: IO[bytes], folder: Path, contract: Contract, packed_bytes: int, before: int
) -> Path:
    """Write what is packed to a file, and count it; `before` was unpacked of the archive."""
    target, size = folder / "unpacked", before
    with target.open("wb") as out:
        while block := packed.read(_BLOCK):
            size += len(block)
            check_size(size, packed_bytes, contract)
            out.write(block)
    return target


def check_size(unpacked: int, packed: int, contract: Contract) -> None:
    """Raise BadFileError when a file has unpacked to more than it may."""
    if unpacked > contract.most_bytes:
        raise BadFileError(
            f"It unpacks to more than {contract.most_bytes:,} bytes.",
            "Raise `most_bytes` if it is meant to.",
        )
    if unpacked > _SUSPICIOUS_BYTES and unpacked > _SUSPICIOUS_RATIO * packed:
        raise BadFileError(
            f"It unpacks to more than {_SUSPICIOUS_RATIO} times its {packed:,} bytes, as a"
            " decompression bomb does.",
            "Deliver it unpacked if it is none.",
        )


def _format_of(path: Path, contract: Contract, *, packed: bool = False) -> Format:
    """Return the format of a file by its content; the contract's, where it says another, is wrong.

    Raises:
        BadFileError: When it is none, or not the contract's.
    """
    start = _start_of(path)
    if not start.strip(b"\0"):
        raise BadFileError("It is empty." if path.stat().st_size == 0 else "It holds only zeros.")
    found = _recognize(path, start, packed=packed)
    if path.stat().st_size > contract.most_bytes:
        raise BadFileError(
            f"It has more than {contract.most_bytes:,} bytes.", "Raise `most_bytes`."
        )
    texts = ("csv", "json_lines")
    wanted = contract.format
    if wanted is not None and wanted != found and not (wanted in texts and found in texts):
        raise BadFileError(f"It is {_NAMES[found]}, and the contract wants {_NAMES[wanted]}.")
    return wanted or found


_NAMES = {"csv": "text", "excel": "a workbook", "json_lines": "JSON lines", "parquet": "Parquet"}


def _recognize(path: Path, start: bytes, *, packed: bool) -> Format:
    if start.startswith(_PARQUET):
        return "parquet"
    if start.startswith((_ZIP, _EMPTY_ZIP, _GZIP)):
        if start.startswith(_ZIP) and _is_workbook(path):
            return "excel"
        raise BadFileError(
            "It is an archive in an archive." if packed else "It is no archive that can be read.",
            "Deliver the files themselves, or one archive of them.",
        )
    if start[_TAR] == b"ustar":
        raise BadFileError(
            "It is a tar archive.", "Deliver a ZIP archive, or the files themselves."
        )
    if start.startswith(_OLE):
        raise BadFileError(
            "It is a workbook of the old Excel format, or one with a password.",
            "Save it as .xlsx, without a password.",
        )
    for mark, name in _FOREIGN.items():
        if start.lower().startswith(mark.lower()):
            raise BadFileError(f"It is {name}, not data that is read here.", _AGAIN)
    bare = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return "json_lines" if bare.startswith(b"{") else "csv"


def _is_workbook(path: Path) -> bool:
    """Return whether a ZIP archive is a workbook of Excel."""
    with _explained("ZIP"), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if "xl/workbook.bin" in names:
        raise BadFileError("It is a binary workbook (.xlsb).", "Save it as .xlsx.")
    if "content.xml" in names and "mimetype" in names:
        raise BadFileError("It is an OpenDocument file.", "Save it as .xlsx or as CSV.")
    return "xl/workbook.xml" in names


def _start_of(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(_START)


class _explained:  # noqa: N801  (a context manager, read as a function)
    """Turn what goes wrong while unpacking into a sentence."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, EOFError):
            raise BadFileError(f"The {self._kind} file is cut off.", _AGAIN) from None
        if isinstance(error, zipfile.BadZipFile | gzip.BadGzipFile | zlib.error | lzma.LZMAError):
            reason = str(error) or type(error).__name__
            raise BadFileError(
                f"The {self._kind} file is damaged or cut off ({reason}).", _AGAIN
            ) from None
        if isinstance(error, NotImplementedError | RuntimeError):
            raise BadFileError(f"The {self._kind} file cannot be unpacked ({error}).") from None
