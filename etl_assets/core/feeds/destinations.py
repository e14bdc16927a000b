"""Where feeds go, as their documents say it."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from etl_assets.core.columns import ColumnName


class FileDestination(BaseModel):
    """Where files go.

    Attributes:
        url: `file:FOLDER`, below the home unless it begins with `/`; `s3://BUCKET/PREFIX`; or
            `sftp://USER@HOST/FOLDER`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(pattern=r"^(file:.|s3://.|sftp://.)")


class TableDestination(BaseModel):
    """A table of another database.

    Attributes:
        url: An SQLAlchemy URL without a password: SQLite, MySQL or PostgreSQL.
        table: Its name; made when it is not there.
        schema_name: Its schema, where the database has some (`schema` in the document).
        mode: `replace` puts the records in the place of all that are there; `replace_key` in the
            place of those of the campaign; `upsert` in the place of those with the same `key`.
        key: The columns that name a record, for `upsert`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    url: str
    table: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    schema_name: str | None = Field(default=None, alias="schema")
    mode: Literal["replace", "replace_key", "upsert"] = "replace"
    key: tuple[ColumnName, ...] = ()

    @model_validator(mode="after")
    def _keyed(self) -> "TableDestination":
        if (self.mode == "upsert") != bool(self.key):
            raise ValueError("`key` belongs to `mode: upsert`, and that needs it")
        return self


def _destination(value: object) -> object:
    return {"url": value} if isinstance(value, str) else value


Destination = Annotated[FileDestination | TableDestination, BeforeValidator(_destination)]
"""A URL of files, or a mapping."""
