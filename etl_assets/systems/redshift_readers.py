"""Who may read the views in Redshift, and what is granted to them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import psycopg2.extensions as pg

from etl_assets.core.errors import PermanentError
from etl_assets.core.ledger import SCHEMA
from etl_assets.core.sql import quote_identifier, quote_table

_FORM = re.compile(r"(role|group|user):([^,%\"]+)")
_CATALOG = {
    "role": "SELECT 1 FROM svv_roles WHERE role_name = %s",
    "group": "SELECT 1 FROM pg_group WHERE groname = %s",
    "user": "SELECT 1 FROM pg_user WHERE usename = %s",
}


@dataclass(frozen=True)
class Reader:
    """One who reads the views.

    Attributes:
        kind: What it is in Redshift.
        name: Its name there.
    """

    kind: Literal["role", "group", "user"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @property
    def grantee(self) -> str:
        """The reader as GRANT names it (dg:r_GRANT)."""
        word = {"role": "ROLE ", "group": "GROUP ", "user": ""}[self.kind]
        return f"{word}{quote_identifier(self.name)}"


def parse_readers(text: str) -> tuple[Reader, ...]:
    """Return the readers of a list such as `role:analysts, group:bi, user:tableau`.

    Raises:
        PermanentError: When something in it is no reader.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _FORM.fullmatch(part)
        if match is None:
            raise PermanentError(
                f"ETL_ASSETS_READERS has {part!r}, which names no reader.",
                "Write role:NAME, group:NAME or user:NAME, with commas between.",
            )
        kind, name = match.groups()
        found.append(Reader(cast("Literal['role', 'group', 'user']", kind), name.strip()))
    return tuple(dict.fromkeys(found))


def grants(
    cursor: pg.cursor, schema: str, relations: Sequence[str], readers: Sequence[Reader]
) -> list[str]:
    """Return the GRANTs after which readers can read relations of a schema, and nothing else.

    The use of a schema can be granted by its owner only; of another's its owner has to. That of
    the ledger's schema shows nothing of its tables: a view over days reads them as its owner.
    """
    cursor.execute(
        "SELECT n.nspname FROM pg_namespace n JOIN pg_user u ON u.usename = current_user"
        " WHERE n.nspowner = u.usesysid OR u.usesuper"
    )
    ours = {name for (name,) in cursor.fetchall()}
    used = [f"USAGE ON SCHEMA {quote_identifier(s)}" for s in (schema, SCHEMA) if s in ours]
    read = [f"SELECT ON {quote_table(schema, name)}" for name in relations]
    return [f"GRANT {right} TO {reader.grantee}" for reader in readers for right in (*used, *read)]


def missing_readers(cursor: pg.cursor, readers: Sequence[Reader]) -> list[str]:
    """Return the readers that the catalog does not show to this user."""
    missing = []
    for reader in readers:
        cursor.execute(_CATALOG[reader.kind], [reader.name])
        if cursor.fetchone() is None:
            missing.append(str(reader))
    return missing
