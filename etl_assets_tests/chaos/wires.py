"""The chain of a small platform with one of its systems behind a wire, and what must hold."""

import datetime as dt
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.settings import Settings
from etl_assets.systems.aws import Place
from etl_assets.systems.protocols import Staging
from etl_assets.systems.staging_s3 import S3Staging
from etl_assets.systems.warehouse_redshift import RedshiftWarehouse
from etl_assets_tests.chain import Chain
from etl_assets_tests.chaos.wire import Fault, Turn
from etl_assets_tests.servers import MariaDBServer
from etl_assets_tests.small import _NOTES, COUNTS, Small
from etl_assets_tests.systems.platforms import DuckDBPlatform, Platform, RedshiftPlatform
from etl_assets_tests.systems.redshift_server import Redshift, RedshiftSettings

KEY = "SP17"
_PER_TURN = 9 * 8 * 7  # faults of a turn, with a stall or without
_FIRST = dt.datetime(2017, 3, 1)  # noqa: DTZ001  (as the table's timestamps)


@dataclass
class Wired(ABC):
    """A platform whose source can be changed, and run with a system at another port."""

    small: Small
    changes: int = 0

    port = 0
    """Of the system's server."""

    @property
    @abstractmethod
    def platform(self) -> Platform:
        """The platform, to be looked at."""

    @abstractmethod
    def settings(self, port: int) -> Settings:
        """Return settings that reach the system at a port."""

    def change(self) -> None:
        """Raise every amount by 1 at the source."""
        self.changes += 1
        self.small.run_sql("UPDATE sales SET amount = amount + 1")

    def oracle(self) -> list[tuple[Any, ...]]:
        """Return the records that SP17 must have, reckoned from what was put into the source."""
        moments = [_FIRST + dt.timedelta(days=7 * n) for n in range(COUNTS[KEY])]
        return [
            (n, moment, n % 4, Decimal(n + self.changes) + Decimal("0.25"), _NOTES[n % 5],
             moment.date())
            for n, moment in enumerate(moments)
        ]  # fmt: skip

    def rows(self) -> list[tuple[Any, ...]]:
        """Return SP17's records in the table, when they are of one load, the ledger's newest."""
        found = self.platform.rows(f"campaign_key = '{KEY}'")
        newest = self.platform.warehouse.loads(key=KEY, limit=1)[0]
        assert newest.records == len(found)
        assert {row[-1] for row in found} == {newest.load_id}
        assert self.platform.counts() == {KEY: len(found)}
        return [row[:6] for row in found]

    def loads(self) -> int:
        """Return how many loads the ledger has."""
        return len(self.platform.warehouse.loads())


@dataclass
class Attempt:
    """The steps for SP17; what an earlier try has made is not made again, as in Dagster."""

    extracted: Extract | None = None
    staged: Stage | None = None

    def go(self, settings: Settings) -> Load:
        """Run the steps that are left."""
        chain = Chain(settings)
        self.extracted = self.extracted or chain.extract(KEY)
        self.staged = self.staged or chain.stage(KEY, self.extracted)
        return chain.load(self.staged)


@dataclass
class WiredMysql(Wired):
    """MariaDB behind the wire; files and DuckDB beyond it."""

    server: MariaDBServer = field(kw_only=True)

    def __post_init__(self) -> None:
        self.port = self.server.port
        values = ", ".join(
            f"({n}, '{_FIRST + dt.timedelta(days=7 * n)}', {n % 4}, {n}.25, {_literal(_NOTES[n % 5])})"
            for n in range(40)
        )
        self.server.run(
            "DROP TABLE IF EXISTS sales",
            "CREATE TABLE sales (sale_id BIGINT PRIMARY KEY, sold_at DATETIME, quantity INT,"
            " amount DECIMAL(10,2), note TEXT)",
            f"INSERT INTO sales VALUES {values}",
        )

    @property
    def platform(self) -> Platform:
        """The platform, to be looked at."""
        return DuckDBPlatform(self.small)

    def settings(self, port: int) -> Settings:
        """Return settings that reach MariaDB at a port, and wait a second for it."""
        url = self.server.url.replace(f":{self.port}/", f":{port}/")
        return replace(
            self.small.settings(),
            source_url=f"{url}?read_timeout=1",
            source_password=self.server.password,
        )

    def change(self) -> None:
        """Raise every amount by 1."""
        self.changes += 1
        self.server.run("UPDATE sales SET amount = amount + 1")


@dataclass(frozen=True)
class StagedOnS3(Settings):
    """Settings whose store in S3 tries each request so many times."""

    place: Place | None = None
    attempts: int = 1

    def open_staging(self) -> Staging:
        """Return the store."""
        assert self.place is not None
        return S3Staging(self.place, attempts=self.attempts)


@dataclass
class WiredS3(Wired):
    """S3 behind the wire; DuckDB beyond it."""

    place: Place = field(kw_only=True)
    attempts: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self.port = int(str(self.place.endpoint_url).rpartition(":")[2])

    @property
    def platform(self) -> Platform:
        """The platform, to be looked at."""
        return DuckDBPlatform(self.small)

    def settings(self, port: int) -> Settings:
        """Return settings that reach S3 at a port."""
        plain = self.small.settings()
        return StagedOnS3(
            home=plain.home,
            datasets_folder=plain.datasets_folder,
            place=replace(self.place, endpoint_url=f"http://127.0.0.1:{port}"),
            attempts=self.attempts,
        )


@dataclass(frozen=True)
class LoadedThrough(RedshiftSettings):
    """Settings whose warehouse is reached at a port."""

    port: int = 0

    def open_warehouse(self) -> RedshiftWarehouse:
        """Return the warehouse; it does not pause between attempts."""
        assert self.server is not None
        url = self.server.url_at(self.port)
        return RedshiftWarehouse(
            url, self.server.password, patience_seconds=20, sleep=lambda _: None
        )


@dataclass
class WiredRedshift(Wired):
    """The Redshift stand-in behind the wire."""

    redshift: Redshift = field(kw_only=True)

    def __post_init__(self) -> None:
        self.port = self.redshift.standin.port

    @property
    def platform(self) -> Platform:
        """The platform, to be looked at."""
        return RedshiftPlatform(self.small, self.redshift)

    def settings(self, port: int) -> Settings:
        """Return settings that reach the stand-in at a port."""
        plain = self.redshift.settings(self.small)
        return LoadedThrough(
            home=plain.home,
            datasets_folder=plain.datasets_folder,
            warehouse_url=plain.warehouse_url,
            server=self.redshift,
            prefix=plain.prefix,
            port=port,
        )


def faults(turns: list[Turn], *, stalls: bool) -> Iterator[Fault]:
    """Yield every fault at every boundary of what was said: before, inside, after.

    Args:
        turns: What a clean run said.
        stalls: Whether the client gives up on a server that goes silent.
    """
    for link in sorted({turn.link for turn in turns}):
        yield Fault("refuse", link)
    for turn in turns:
        for kind, places in (
            ("cut", {0, turn.size // 2, turn.size}),
            ("end", {1, turn.size // 2, turn.size - 1}),
            ("down", {turn.size // 2}),
        ):
            for at in sorted(places):
                yield Fault(kind, turn.link, turn.number, at)
        yield Fault("late", turn.link, turn.number, turn.size // 2)
        if stalls and not turn.to_server:
            yield Fault("stall", turn.link, turn.number, turn.size // 2)


def few(found: list[Fault], most: int) -> list[Fault]:
    """Return some faults, of every kind, spread over the whole run; always the same."""
    step = max(1, len(found) // most)
    while math.gcd(step, _PER_TURN) > 1:  # else some kinds would never be met
        step += 1
    return found[::step]


def _literal(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"
