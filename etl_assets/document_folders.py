"""The documents people write, in folders of one file each."""

from collections.abc import Mapping
from pathlib import Path

from etl_assets.core.datasets import Dataset
from etl_assets.core.errors import DocumentError, PermanentError
from etl_assets.core.feeds.feed import Feed, parse_feed
from etl_assets.core.inputs.contract import Contract, index_contracts, parse_contract


def read_contracts(folder: Path) -> dict[str, Contract]:
    """Return the contracts in a folder, by source; none when there is no folder.

    Raises:
        DocumentError: When one is not valid.
    """
    found = []
    for path in sorted(folder.glob("*.y*ml")):
        contract = parse_contract(read_document(path), path.name)
        if contract.source != path.stem:
            problem = f"`source` is `{contract.source}`; it must be the file's name"
            raise DocumentError(path.name, [problem])
        found.append((path.name, contract))
    return index_contracts(found)


def read_feeds(folder: Path, datasets: Mapping[str, Dataset]) -> dict[str, Feed]:
    """Return the feeds in a folder, by name; none when there is no folder.

    Raises:
        DocumentError: When one is not valid.
    """
    found = {}
    for path in sorted(folder.glob("*.y*ml")):
        feed = parse_feed(read_document(path), path.name, datasets)
        if feed.feed != path.stem:
            problem = f"`feed` is `{feed.feed}`; it must be the file's name"
            raise DocumentError(path.name, [problem])
        found[feed.feed] = feed
    return found


def read_document(path: Path) -> str:
    """Return the text of a document.

    Raises:
        PermanentError: When it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise PermanentError(
            f"The document {path} cannot be read ({reason}).",
            "Correct the file, or set ETL_ASSETS_DATASETS, ETL_ASSETS_CONTRACTS or ETL_ASSETS_FEEDS"
            " to another folder.",
        ) from error
