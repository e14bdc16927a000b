"""One feed of one scope: read, written, and delivered; or found to be delivered already."""

import datetime as dt
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from etl_assets.core.campaigns import Campaign
from etl_assets.core.columns import Column
from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.core.feeds.delivery import Delivery, Loads, inputs_digest, manifest_name
from etl_assets.core.feeds.destinations import TableDestination
from etl_assets.core.feeds.feed import ALL, Feed
from etl_assets.core.feeds.formats import ParquetFormat
from etl_assets.core.retries import DELIVERY
from etl_assets.core.selects import Select
from etl_assets.delivery.files import Made, make_file
from etl_assets.delivery.records import last_delivery, write_delivery
from etl_assets.kept import new_id
from etl_assets.systems.deliver_table import TableTarget
from etl_assets.systems.delivering import FileDestination
from etl_assets.systems.protocols import Staging, Warehouse
from etl_assets.systems.telemetry import span

_READINGS = 3
_BATCH = 20_000
_CHANCE = random.SystemRandom()

Status = Literal["delivered", "unchanged"]
Bindings = Mapping[str, str | dt.date]


@dataclass(frozen=True)
class Delivered:
    """What became of a delivery.

    Attributes:
        status: `unchanged`: what has to be delivered is there already.
        delivery: What is there.
    """

    status: Status
    delivery: Delivery


@dataclass(frozen=True)
class Deliverer:
    """What delivers a feed.

    Attributes:
        feed: The document.
        datasets: Names of the datasets that its query reads.
        warehouse: Where it is read.
        staging: Takes scratch files and our records.
        target: Where it goes.
        pause: Waits so many seconds before another attempt.
    """

    feed: Feed
    datasets: tuple[str, ...]
    warehouse: Warehouse
    staging: Staging
    target: FileDestination | TableTarget
    pause: Callable[[float], None] = time.sleep

    def deliver(
        self, campaign: Campaign | None, moment: dt.datetime, *, force: bool = False
    ) -> Delivered:
        """Deliver what the tables hold now, unless it is delivered already.

        Args:
            campaign: With `per: key`, of which one; None otherwise.
            moment: Now, in the time zone of the schedule.
            force: Whether to deliver also what is there already.

        Raises:
            PermanentError: When it is empty and must not be, a format cannot hold a value, or the
                destination refuses. Nothing was delivered.
            WarehouseError: When the warehouse refuses the query, or it was not read whole.
            TransientError: When warehouse, store or destination cannot be reached or are busy.
        """
        feed, scope = self.feed, campaign.key if campaign else ALL
        bindings = bindings_of(campaign, moment)
        bound = feed.used(bindings)
        last = last_delivery(self.staging, feed.feed, scope)
        loads = self._loads()
        digest = inputs_digest(feed, scope, bound, loads)
        if last and last.inputs_digest == digest and not force:
            return self._unchanged(last, last.loads, digest, moment)
        with self.staging.scratch() as folder:
            made, columns, loads = self._read(feed.bound(bindings), folder)
            name = self._name(scope, moment)
            if not made.records and feed.on_empty == "fail":
                raise PermanentError(
                    f"The feed {feed.feed} of {scope} is empty, and `on_empty` is `fail`: nothing"
                    " was delivered.",
                    "Look at its select and at what is loaded (`etl-assets feeds preview`).",
                )
            digest = inputs_digest(feed, scope, bound, loads)
            if last and not force and self._holds(last, made, name):
                return self._unchanged(last, loads, digest, moment)
            at = dt.datetime.now(dt.UTC)
            delivery = Delivery(
                delivery=new_id(at), feed=feed.feed, scope=scope, name=name, uri=self._uri(name),
                records=made.records, bytes=made.bytes, sha256=made.sha256, columns=columns,
                loads=loads, bound=bound, feed_digest=feed.digest, inputs_digest=digest,
                delivered_at=at, checked_at=at,
            )  # fmt: skip
            self._put(made, delivery, folder)
        write_delivery(self.staging, delivery)
        return Delivered("delivered", delivery)

    def preview(self, campaign: Campaign | None, moment: dt.datetime) -> pa.Table:
        """Return the first block of what would be delivered now; errors as `deliver`."""
        select = self.feed.bound(bindings_of(campaign, moment))
        columns = self._columns(select)
        with self.warehouse.unload(select, columns, self.staging, self._what) as unloaded:
            first = next(unloaded.batches(), None)
            return pa.Table.from_batches([first] if first else [], unloaded.schema)

    @property
    def _what(self) -> str:
        return f"Reading the feed {self.feed.feed}"

    def _columns(self, select: Select) -> tuple[Column, ...]:
        described = self.warehouse.describe(
            self.feed.described(select), self._what
        )  # of those columns alone whose types the document leaves open
        return self.feed.typed({column.name: column.type for column in described})

    @span("read")
    def _read(self, select: Select, folder: Path) -> tuple[Made, tuple[Column, ...], Loads]:
        """Return the file, its columns, and the loads that it is made of for sure."""
        kind = self.feed.format or ParquetFormat()
        for _ in range(_READINGS):
            before = self._loads()
            columns = self._columns(select)
            with self.warehouse.unload(select, columns, self.staging, self._what) as unloaded:
                after = self._loads()
                if after == before:
                    return make_file(unloaded, kind, folder / "made"), columns, after
        raise TransientError(
            f"{self._what} failed: campaigns were loaded each time while it was read.",
            "Deliver it when the refresh has ended.",
        )

    def _loads(self) -> Loads:
        """Return the loads that the tables hold."""
        found: Loads = {}
        for dataset in self.datasets:
            mine: dict[str, str | None] = {}
            for row in self.warehouse.loads(dataset=dataset):  # newest first
                if row.changes_slice and row.campaign_key not in mine:
                    mine[row.campaign_key] = row.load_id if row.is_load else None
            found[dataset] = {key: id_ for key, id_ in sorted(mine.items()) if id_}
        return found

    def _name(self, scope: str, moment: dt.datetime) -> str:
        if isinstance(self.feed.destination, TableDestination):
            return self.feed.destination.table
        return self.feed.file_name(scope, moment)

    def _uri(self, name: str) -> str:
        return self.target.uri if isinstance(self.target, TableTarget) else self.target.uri(name)

    def _holds(self, last: Delivery, made: Made, name: str) -> bool:
        there = (last.sha256, last.uri, last.feed_digest)
        return there == (made.sha256, self._uri(name), self.feed.digest)

    def _unchanged(
        self, last: Delivery, loads: Loads, digest: str, moment: dt.datetime
    ) -> Delivered:
        at = moment.astimezone(dt.UTC)
        kept = {"delivery": new_id(dt.datetime.now(dt.UTC)), "loads": loads, "checked_at": at}
        write_delivery(self.staging, last.model_copy(update={**kept, "inputs_digest": digest}))
        return Delivered("unchanged", last)

    @span("deliver")
    def _put(self, made: Made, delivery: Delivery, folder: Path) -> None:
        for pause in DELIVERY.pauses(_CHANCE.uniform):
            try:
                self._put_once(made, delivery, folder)
            except TransientError:
                self.pause(pause)
            else:
                return
        self._put_once(made, delivery, folder)

    def _put_once(self, made: Made, delivery: Delivery, folder: Path) -> None:
        target = self.target
        if isinstance(target, TableTarget):
            row = delivery.model_dump(include={"delivery", "feed", "scope", "records", "sha256"})
            row["delivered_at"] = delivery.delivered_at.replace(tzinfo=None)
            row["manifest"] = delivery.manifest()
            target.put(delivery.columns, _batches(made.file), delivery.scope, row)
            return
        manifest = folder / "manifest.json"
        manifest.write_text(delivery.manifest(), encoding="utf-8")
        target.put(delivery.name, made.file)
        target.put(manifest_name(delivery.name), manifest)


def bindings_of(campaign: Campaign | None, moment: dt.datetime) -> Bindings:
    """Return what a feed's query can bind."""
    season: dict[str, str | dt.date] = (
        {"campaign_key": campaign.key, "first_day": campaign.start, "last_day": campaign.end}
        if campaign
        else {}
    )
    return {**season, "today": moment.date()}


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file) as parquet:
        yield from parquet.iter_batches(_BATCH)
