"""A small platform with feeds, and a process of its own that delivers one and may be killed."""

import datetime as dt
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3  # noqa: F401  (for the server process: what is imported there costs no child time)
import paramiko
import pymysql  # noqa: F401
import sqlalchemy as sa

from etl_assets.delivery.deliver import Delivered
from etl_assets.delivery.opening import open_feed
from etl_assets.settings import Settings
from etl_assets.systems.delivering import Login
from etl_assets_tests.chaos.boundaries import Boundaries

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
NOON = dt.datetime(2017, 6, 1, 12, 0, tzinfo=dt.UTC)

SELECT = """\
select: |
  SELECT campaign_key, sale_id, sold_at, sold_on, quantity, amount, note FROM sales_by_campaign
order_by: [campaign_key, sale_id]
"""


def feed_text(name: str, more: str) -> str:
    """Return the document of a feed of all sales."""
    return f"feed: {name}\nneeds: nothing\n{SELECT}{more}"


def write_feed(home: Path, name: str, more: str = "name: 'sales.csv'\n", text: str = "") -> None:
    """Write the document of a feed below a home."""
    (home / "feeds_of_test").mkdir(exist_ok=True)
    (home / "feeds_of_test" / f"{name}.yaml").write_text(text or feed_text(name, more))


@dataclass(frozen=True)
class Home:
    """What a process needs to deliver the feeds of a small platform in files and DuckDB.

    Attributes:
        folder: The platform's.
        login: Of every feed.
        environment: What is set in the process.
    """

    folder: Path
    login: Login = field(default_factory=Login)
    environment: Mapping[str, str] | None = None

    def settings(self) -> Settings:
        """Return settings that read the documents as they are now."""
        folder = self.folder / "feeds_of_test"
        names = [file.stem for file in folder.glob("*.yaml")]
        return Settings(
            home=self.folder,
            datasets_folder=self.folder / "datasets",
            feeds_folder=folder,
            feed_logins=dict.fromkeys(names, self.login),
        )

    def deliver(self, feed: str, *, force: bool = False, key: str = "") -> Delivered:
        """Deliver a feed in this process."""
        settings = self.settings()
        campaign = settings.open_registry().read().campaign(key) if key else None
        return open_feed(feed, settings).deliver(campaign, NOON, force=force)

    def deliver_apart(self, feed: str, kill_at: int | None = None) -> list[str]:
        """Deliver in a process of its own, which may be killed at a step.

        Returns:
            The steps towards the outside that it took; none when it was killed.
        """
        told = self.folder / "steps"
        process = _FORKS.Process(target=_deliver, args=(self, feed, kill_at, told))
        process.start()
        process.join()
        assert process.exitcode == (0 if kill_at is None else -signal.SIGKILL)
        return told.read_text().splitlines() if kill_at is None else []


def _deliver(home: Home, feed: str, kill_at: int | None, told: Path) -> None:
    os.environ.update(home.environment or {})
    deliverer = open_feed(feed, home.settings())
    boundaries = Boundaries(kill_at)
    _install(boundaries)
    deliverer.deliver(None, NOON, force=True)
    told.write_text("\n".join(boundaries.passed))


def _install(boundaries: Boundaries) -> None:
    """Count what puts something at a destination; not what is read before."""
    import botocore.client

    around: Callable[..., None] = boundaries._around
    around(Path, "replace", lambda *_a, **_k: "file replace")
    around(os, "fsync", lambda *_a, **_k: "file fsync")
    around(os, "link", lambda *_a, **_k: "file link")
    around(botocore.client.BaseClient, "_make_api_call", lambda _c, name, _k: f"aws {name}")
    for name in ("put", "posix_rename", "mkdir"):
        around(paramiko.SFTPClient, name, lambda *_a, _name=name, **_k: f"sftp {_name}")
    around(sa.Connection, "execute", lambda _c, statement, *_a, **_k: f"sql {_start(statement)}")
    around(sa.Connection, "_commit_impl", lambda *_a, **_k: "sql commit")


def _start(statement: Any) -> str:  # noqa: ANN401
    return type(statement).__name__
