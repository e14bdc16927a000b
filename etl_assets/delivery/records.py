"""Our records of deliveries, in the staging store: `feeds/<feed>/<scope>/<id>.json`.

They are written after the delivery itself. When a process dies in between, the next delivery
puts the same bytes there once more.
"""

from pydantic import ValidationError

from etl_assets.core.errors import StagingError
from etl_assets.core.feeds.delivery import Delivery
from etl_assets.systems.protocols import Staging

_KEPT = 20
"""Records of each feed and scope; older ones go when one is written."""


def last_delivery(staging: Staging, feed: str, scope: str) -> Delivery | None:
    """Return the newest record of a feed and scope; None when there is none."""
    found = deliveries(staging, feed, scope, limit=1)
    return found[0] if found else None


def deliveries(staging: Staging, feed: str, scope: str = "", *, limit: int = 0) -> list[Delivery]:
    """Return records of a feed, newest first.

    Raises:
        StagingError: When one was changed or cannot be read.
    """
    folder = f"feeds/{feed}/{scope}" if scope else f"feeds/{feed}"
    paths = sorted(
        (stored.path for stored in staging.objects(folder)),
        key=lambda path: path.rpartition("/")[2],
        reverse=True,
    )
    return [_read(staging, path) for path in paths[: limit or None]]


def newest_of_scopes(staging: Staging, feed: str) -> list[Delivery]:
    """Return the newest record of each scope of a feed; errors as `deliveries`."""
    newest: dict[str, str] = {}
    for stored in staging.objects(f"feeds/{feed}"):  # by path, so the newest comes last
        newest[stored.path.split("/")[2]] = stored.path
    return [_read(staging, path) for path in newest.values()]


def write_delivery(staging: Staging, delivery: Delivery) -> None:
    """Write a record, and remove those that are older than the newest ones.

    Raises:
        StagingError: When it cannot be written.
    """
    folder = f"feeds/{delivery.feed}/{delivery.scope}"
    path = f"{folder}/{delivery.delivery}.json"
    staging.put_text(path, delivery.model_dump_json(indent=2))
    paths = sorted(stored.path for stored in staging.objects(folder))
    staging.delete(paths[:-_KEPT])


def _read(staging: Staging, path: str) -> Delivery:
    try:
        return Delivery.model_validate_json(staging.read_text(path))
    except ValidationError as error:
        raise StagingError(
            f"The record of a delivery {staging.uri(path)} was changed.",
            "Remove it; the feed is then delivered again.",
        ) from error
