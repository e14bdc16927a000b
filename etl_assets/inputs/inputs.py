"""The facade: which files arrived, loading them, taking them out, and what became of each."""

import csv
import datetime as dt
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from etl_assets.core.errors import PermanentError
from etl_assets.core.inputs.contract import Contract
from etl_assets.core.inputs.files import FOLDER, BadFileError, InputFile, LoadedFile, Reject
from etl_assets.inputs.prepare import Prepared, prepare
from etl_assets.systems.input_database import InputDatabase, is_known
from etl_assets.systems.input_files import InputFiles

_SHOWN_REJECTS = 20


@dataclass(frozen=True)
class Checked:
    """What a load of a file would do.

    Attributes:
        rows: Rows in the file.
        accepted: Of those, the ones that would be kept.
        rejected: Bad rows.
        duplicates: Rows in whose place a later one would be kept.
        rejects: The first bad values.
        notes: How it was read, where that is worth knowing.
        fault: Why it would be quarantined; empty when it would not.
    """

    rows: int
    accepted: int
    rejected: int
    duplicates: int
    rejects: list[Reject]
    notes: list[str]
    fault: str

    def as_dict(self) -> dict[str, object]:
        """Return the fields, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Inputs:
    """Raw inputs: contracts, the files that arrived, and the database they are loaded into.

    Attributes:
        contracts: By source.
        files: Where files arrive.
        database: Where they are loaded.
    """

    contracts: Mapping[str, Contract]
    files: InputFiles
    database: InputDatabase

    def contract(self, source: str) -> Contract:
        """Return a source's contract.

        Raises:
            PermanentError: When there is none.
        """
        if source not in self.contracts:
            known = ", ".join(self.contracts) or "none"
            raise PermanentError(
                f"There is no contract of the source {source!r}; there are {known}.",
                "Write one, or begin with `etl-assets inputs infer FILE`.",
            )
        return self.contracts[source]

    def pending(self, source: str, history: Sequence[LoadedFile] | None = None) -> list[InputFile]:
        """Return a source's files that are whole and not in the ledger, in order of arrival.

        One listing and one query, no file is read. A quarantined file is among them again when
        it was replaced, or the contract changed.

        Raises:
            PermanentError: When there is no contract of the source.
            StagingError: When files cannot be listed.
            SourceError: When the ledger cannot be read.
        """
        digest = self.contract(source).digest
        rows: dict[tuple[object, ...], list[LoadedFile]] = {}
        for row in self.database.history(source) if history is None else history:
            rows.setdefault((row.path, row.bytes, row.arrived_at), []).append(row)
        return [
            file
            for file in self.files.arrived(source)
            if not any(
                is_known(file, row, digest)
                for row in rows.get((file.path, file.bytes, file.modified), ())
            )
        ]

    def load(self, file: InputFile, *, again: bool = False) -> LoadedFile:
        """Load a file, or quarantine it; return its row of the ledger.

        The same file twice changes nothing: the second row is `repeated`.

        Args:
            file: One that arrived.
            again: Whether to load it although its bytes were undone.

        Raises:
            PermanentError: When there is no contract of the source, or the database refuses.
            TransientError: When the file changed, or another load runs; a retry is safe.
        """
        contract = self.contract(file.source)
        with self.files.copy(file) as (path, sha256):
            made = LoadedFile(
                id=0, source=file.source, path=file.path, sha256=sha256, bytes=file.bytes,
                arrived_at=file.modified, recorded_at=dt.datetime.now(dt.UTC), status="loaded",
                contract=contract.digest,
            )  # fmt: skip
            if (repeated := self.database.repetition(made, again=again)) is not None:
                return repeated  # before an hour is spent reading it
            try:
                prepared = prepare(path, contract, path.parent)
            except BadFileError as error:
                made = replace(made, status="quarantined", reason=str(error))
                return self.database.record(made)
            return self._load(contract, made, prepared, again=again)

    def _load(
        self, contract: Contract, made: LoadedFile, prepared: Prepared, *, again: bool
    ) -> LoadedFile:
        made = replace(
            made, rows=prepared.rows, accepted=prepared.accepted, rejected=prepared.rejected,
            duplicates=prepared.duplicates, reason="; ".join(prepared.notes),
        )  # fmt: skip
        if prepared.rejected:
            made = replace(made, rejects=self.files.keep_rejects(made, prepared.rejects))
        if prepared.fault:
            made = replace(made, status="quarantined", reason=prepared.fault)
            return self.database.record(made)
        return self.database.load(contract, made, prepared.blocks(), again=again)

    def find(self, source: str, name: str) -> InputFile:
        """Return a file that arrived, by its path or its name below the source's folder.

        Raises:
            PermanentError: When it is not there, or not whole yet.
        """
        self.contract(source)
        for file in self.files.arrived(source):
            if name in (file.path, file.name):
                return file
        raise PermanentError(
            f"There is no file {name} of {source} that has arrived.",
            f"Put it below {FOLDER}/{source}/ in the staging store, or wait until it is whole.",
        )

    def check(self, source: str, path: Path) -> "Checked":
        """Return what a load of a local file would do; nothing is written.

        Raises:
            PermanentError: When there is no contract of the source.
        """
        contract = self.contract(source)
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = prepare(path, contract, Path(folder))
            except BadFileError as error:
                return Checked(0, 0, 0, 0, [], [], str(error))
            with made.rejects.open(encoding="utf-8", newline="") as text:
                lines = itertools.islice(csv.reader(text), 1, 1 + _SHOWN_REJECTS)
                rejects = [Reject(int(row), *others) for row, *others in lines]
        return Checked(
            made.rows,
            made.accepted,
            made.rejected,
            made.duplicates,
            rejects,
            made.notes,
            made.fault,
        )

    def undo(self, source: str, file: str) -> LoadedFile:
        """Take out what a file brought; return the row of the ledger that says so.

        Args:
            source: Whose file.
            file: Its path, as in the ledger, or below the source's folder.

        Raises:
            PermanentError: When it is not loaded.
        """
        contract = self.contract(source)
        mine = [row for row in self.database.history(source) if file in (row.path, row.name)]
        loaded = next((row for row in mine if row.live), None)
        if loaded is None:
            state = f"was {mine[0].status}" if mine else "is not in the ledger"
            raise PermanentError(
                f"The file {file} of {source} cannot be undone: it {state}.",
                "`etl-assets inputs list` shows what is loaded.",
            )
        return self.database.undo(contract, loaded, dt.datetime.now(dt.UTC))

    def history(self, source: str | None = None) -> list[LoadedFile]:
        """Return the rows of the ledger, newest first: of a source, or of all."""
        return self.database.history(source)
