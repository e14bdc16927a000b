"""What is known of a delivery: its manifest for those who get it, and our record of it."""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from etl_assets.core.columns import Column
from etl_assets.core.feeds.feed import Feed

Loads = dict[str, dict[str, str]]
"""The loads that tables hold now: their ids, by dataset and campaign key."""


class Delivery(BaseModel):
    """One delivery of a feed, or that its last one still holds.

    Attributes:
        delivery: Its id.
        feed: The feed's name.
        scope: The campaign key, or `all`.
        name: The file's name, or the table's.
        uri: Where it is.
        records: How many records.
        bytes: Size of the file; of a table, of the records as Parquet.
        sha256: Of those bytes.
        columns: Names, types and comments.
        loads: What it is made of.
        bound: The parameters of its query.
        feed_digest: Of what the document says.
        inputs_digest: Of everything that decides about its bytes.
        delivered_at: When it was delivered, UTC.
        checked_at: When it was last found to be still what has to be delivered, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    delivery: str
    feed: str
    scope: str
    name: str
    uri: str
    records: int
    bytes: int
    sha256: str
    columns: tuple[Column, ...]
    loads: Loads
    bound: dict[str, str]
    feed_digest: str
    inputs_digest: str
    delivered_at: dt.datetime
    checked_at: dt.datetime

    def manifest(self) -> str:
        """Return the text that is delivered beside a file, as `<name>.manifest.json`."""
        content = self.model_dump(mode="json", exclude={"checked_at", "inputs_digest"})
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def inputs_digest(feed: Feed, scope: str, bound: Mapping[str, str], loads: Loads) -> str:
    """Return the SHA-256 of everything that decides about a delivery's bytes."""
    content = [feed.digest, scope, dict(bound), loads]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def manifest_name(name: str) -> str:
    """Return the name of the manifest beside a file."""
    return f"{name}.manifest.json"
