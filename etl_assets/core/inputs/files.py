"""Files that arrived, and what the ledger says became of them."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Literal

from etl_assets.core.errors import PermanentError

FOLDER = "inputs"
REJECTS_FOLDER = "inputs-rejects"

Status = Literal["loaded", "quarantined", "repeated", "undone"]


@dataclass(frozen=True)
class InputFile:
    """A file that arrived.

    Attributes:
        source: Whose it is.
        path: Below the staging store: `inputs/<source>/…`.
        bytes: Its size.
        modified: When it arrived: the store's time of it, UTC.
    """

    source: str
    path: str
    bytes: int
    modified: dt.datetime

    @property
    def name(self) -> str:
        """The path below the source's folder."""
        return self.path.removeprefix(f"{FOLDER}/{self.source}/")


@dataclass(frozen=True)
class LoadedFile:
    """A row of the ledger: what became of a file.

    Of its rows, `rows` = `accepted` + `rejected` + `duplicates`, and `accepted` = `inserted` +
    `updated` + `unchanged` + `outdated`.

    Attributes:
        id: Grows with every row of the ledger; 0 while it has not been written.
        source: Whose file it is.
        path: As in `InputFile`.
        sha256: Of the file's bytes, in hexadecimal.
        bytes: Its size.
        arrived_at: When it arrived, UTC.
        recorded_at: When this row was written, UTC.
        status: `loaded`; `quarantined`: nothing of it was loaded; `repeated`: its bytes were
            loaded before; `undone`: what it had brought was taken out.
        live: Of a loaded file, whether it has not been undone.
        about: Of `repeated` and `undone`, the id of the row of the load.
        contract: Digest of the contract it was read by.
        rows: Rows in the file.
        accepted: Of those, the ones that are kept.
        rejected: Bad rows.
        duplicates: Rows in whose place a later one of the same file is kept.
        inserted: Accepted rows whose key was new to the table.
        updated: Accepted rows that changed one there.
        unchanged: Accepted rows that were there with the same values.
        outdated: Accepted rows of keys that a file which arrived later has brought before.
        removed: Of an undone file, rows that left the table.
        restored: Of an undone file, rows in whose place an earlier file's are again.
        reason: Why it is quarantined, repeated or undone; notes on how it was read otherwise.
        rejects: Path of the rejects in the staging store; empty where there are none.
    """

    id: int
    source: str
    path: str
    sha256: str
    bytes: int
    arrived_at: dt.datetime
    recorded_at: dt.datetime
    status: Status
    live: bool = False
    about: int | None = None
    contract: str = ""
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    outdated: int = 0
    removed: int = 0
    restored: int = 0
    reason: str = ""
    rejects: str = ""

    @property
    def name(self) -> str:
        """The path below the source's folder."""
        return self.path.removeprefix(f"{FOLDER}/{self.source}/")

    def as_dict(self) -> dict[str, object]:
        """Return the fields, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Reject:
    """A value that made its row a bad one, or a row that is none.

    Attributes:
        row: The line or row of the file, from 1.
        column: The contract's column; empty where the whole row is meant.
        value: As the file has it.
        reason: Why.
    """

    row: int
    column: str
    value: str
    reason: str


class BadFileError(PermanentError):
    """Nothing of a file can be loaded; the message says why."""
