"""A source that delivers files, and the database they are loaded into, for tests."""

import datetime as dt
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etl_assets.core.inputs.contract import parse_contract
from etl_assets.core.inputs.files import InputFile, LoadedFile
from etl_assets.inputs.inputs import Inputs
from etl_assets.systems.input_database import InputDatabase
from etl_assets.systems.input_files import InputFiles
from etl_assets.systems.staging import FileStaging

CONTRACT = """\
source: orders
primary_key: [id]
columns:
  id: {type: integer, header: Order No}
  amount: {type: 'decimal(12,2)'}
  note: {type: varchar(20)}
"""
START = dt.datetime(2017, 3, 1, tzinfo=dt.UTC)
LATER = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)


@dataclass
class Deliveries:
    """The folder that files arrive in, and what they are loaded into.

    Attributes:
        home: Where the staging store is.
        database: What files are loaded into.
        query: Reads it, as anybody else would.
        contract: Text of the contract; may be changed.
    """

    home: Path
    database: InputDatabase
    query: Callable[[str], list[tuple[Any, ...]]]
    contract: str = CONTRACT
    _delivered: int = field(default=0)

    @property
    def staging(self) -> FileStaging:
        """The store."""
        return FileStaging(self.home / "staging")

    @property
    def inputs(self) -> Inputs:
        """The facade, with the contract as it is now."""
        contract = parse_contract(self.contract, "orders.yaml")
        files = InputFiles(self.staging, now=lambda: LATER)
        return Inputs({contract.source: contract}, files, self.database)

    def deliver(
        self, name: str, content: str | bytes, *, minutes: int | None = None, source: str = "orders"
    ) -> InputFile:
        """Drop a file; each arrives a minute after the one before, unless said."""
        self._delivered += 1
        path = self.home / "staging/inputs" / source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        at = START + dt.timedelta(minutes=self._delivered if minutes is None else minutes)
        os.utime(path, (at.timestamp(), at.timestamp()))
        return InputFile(source, f"inputs/{source}/{name}", path.stat().st_size, at)

    def load(self, name: str, content: str | bytes, *, minutes: int | None = None) -> LoadedFile:
        """Drop a file and load it."""
        return self.inputs.load(self.deliver(name, content, minutes=minutes))

    def load_pending(self) -> list[LoadedFile]:
        """Load what has arrived."""
        return [self.inputs.load(file) for file in self.inputs.pending("orders")]

    def rows(self, columns: str = "id, amount, note", table: str = "orders") -> list[Any]:
        """Return the table's rows, by key."""
        return self.query(f"SELECT {columns} FROM {table} ORDER BY 1, 2")

    def rejects(self, loaded: LoadedFile) -> list[str]:
        """Return the lines of a file's rejects."""
        return self.staging.read_text(loaded.rejects).splitlines()[1:]
