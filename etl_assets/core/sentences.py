"""Parts of sentences that are said in several places."""

from collections.abc import Sequence


def some(names: Sequence[str], shown: int) -> str:
    """Return the first names of a list, and how many more there are.

    Args:
        names: All of them.
        shown: How many are named.
    """
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
