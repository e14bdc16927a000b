"""Looks for planted secrets in everything a platform writes, also where it is packed."""

import base64
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import duckdb

_SQLITE = b"SQLite format 3\0"


class Search:
    """Looks for secrets in places, and remembers how many those were.

    Attributes:
        found: `place: name of the secret` of everything found.
        places: How many texts, files and values of databases were looked at.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        """Look for secrets by name, each as it is, quoted for a URL, and in base64."""
        self.found: list[str] = []
        self.places = 0
        self._forms = {
            form.encode(): name
            for name, secret in secrets.items()
            for form in (secret, quote(secret, safe=""), _packed(secret))
        }

    def text(self, place: str, content: str) -> None:
        """Look in what a command printed, or a server answered."""
        self.content(place, content.encode())

    def content(self, place: str, content: bytes) -> None:
        """Look in bytes, and in what they are when they are unpacked."""
        self.places += 1
        unpacked = [content]
        for packed in (content, content[content.find(b"x\x9c") :]):
            try:
                unpacked.append(zlib.decompress(packed))
            except zlib.error:
                continue
        found = {n for form, n in self._forms.items() if any(form in c for c in unpacked)}
        self.found += [f"{place}: {name}" for name in sorted(found)]

    def folder(self, folder: Path) -> None:
        """Look in every file's name and content, and in every value of every database."""
        for file in sorted(folder.rglob("*")):
            self.text(f"name of {file}", str(file.relative_to(folder)))
            if file.is_file():
                content = file.read_bytes()
                self.content(str(file), content)
                for place, value in _values(file, content):
                    self.content(f"{file}, {place}", value)


def _packed(secret: str) -> str:
    """Return what base64 of a longer text that begins with the secret has in common."""
    return base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]


def _values(file: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the values of a database: its file may hold them packed, or in a log beside it."""
    if content.startswith(_SQLITE):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    yield from ((table, _bytes(value)) for value in row if value)
        connection.close()
    elif file.suffix == ".duckdb":
        with duckdb.connect(str(file), read_only=True) as warehouse:
            listed = warehouse.execute("SELECT schema_name, table_name FROM duckdb_tables()")
            for schema, table in listed.fetchall():
                rows = warehouse.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall()
                yield from ((table, _bytes(value)) for row in rows for value in row if value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
