"""What a feed's document means with these settings: its destination, opened where it is used."""

from pathlib import Path

from etl_assets.core.errors import PermanentError
from etl_assets.core.feeds.destinations import TableDestination
from etl_assets.core.feeds.feed import Feed, relations_of
from etl_assets.core.rules.expressions import nearest
from etl_assets.delivery.deliver import Deliverer
from etl_assets.settings import Settings
from etl_assets.systems.aws import parse_place
from etl_assets.systems.deliver_folder import FolderDestination
from etl_assets.systems.deliver_s3 import S3Destination
from etl_assets.systems.deliver_sftp import SftpDestination, SftpUrl
from etl_assets.systems.deliver_table import TableTarget, check_url
from etl_assets.systems.delivering import FileDestination, Login
from etl_assets.systems.protocols import Staging, Warehouse

_S3_FORM = "s3://BUCKET/PREFIX?region=REGION"


def open_feed(
    name: str,
    settings: Settings,
    warehouse: Warehouse | None = None,
    staging: Staging | None = None,
) -> Deliverer:
    """Return what delivers a feed; nothing is connected yet.

    Args:
        name: The feed's.
        settings: Documents, logins, and the systems that are not given.
        warehouse: Where it is read.
        staging: Takes what is in the making, and our records.

    Raises:
        PermanentError: When there is no such feed, or its destination is not what it has to be.
    """
    if name not in settings.feeds:
        raise PermanentError(
            f"There is no feed {name!r}{nearest(name, settings.feeds)}.",
            f"Feeds are {', '.join(settings.feeds) or 'none'}.",
        )
    feed = settings.feeds[name]
    return Deliverer(
        feed=feed,
        datasets=datasets_read(feed, settings),
        warehouse=warehouse or settings.open_warehouse(),
        staging=staging or settings.open_staging(),
        target=_target(feed, settings),
    )


def datasets_read(feed: Feed, settings: Settings) -> tuple[str, ...]:
    """Return the names of the datasets whose tables and views a feed reads, sorted."""
    known = relations_of(settings.datasets)
    return tuple(sorted({known[name].name for name in feed.reads}))


def loaded_keys(feed: Feed, settings: Settings) -> list[str]:
    """Return the campaigns of which a table that a feed reads holds records, sorted."""
    warehouse = settings.open_warehouse()
    found: set[str] = set()
    for dataset in datasets_read(feed, settings):
        decided: set[str] = set()
        for row in warehouse.loads(dataset=dataset):  # newest first
            if row.changes_slice and row.campaign_key not in decided:
                decided.add(row.campaign_key)
                if row.is_load and row.records:
                    found.add(row.campaign_key)
    return sorted(found)


def _target(feed: Feed, settings: Settings) -> FileDestination | TableTarget:
    destination, login = feed.destination, settings.feed_logins.get(feed.feed, Login())
    what = f"The destination of the feed {feed.feed}"
    if isinstance(destination, TableDestination):
        return TableTarget(destination, check_url(destination.url, what), login.password)
    url = destination.url
    if url.startswith("s3://"):
        return S3Destination(parse_place(url, what, _S3_FORM))
    if url.startswith("sftp://"):
        return SftpDestination(SftpUrl.parse(url), login)
    return FolderDestination(settings.home.absolute() / Path(url.removeprefix("file:")))
