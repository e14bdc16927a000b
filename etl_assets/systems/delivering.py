"""Where files of feeds go: each is there whole under its name, or as it was before."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Login:
    """What a destination is told who delivers. Nothing of it is shown.

    Attributes:
        password: Of the URL's user.
        key_file: Path of a private key.
    """

    password: str = field(default="", repr=False)
    key_file: str = field(default="", repr=False)


class FileDestination(Protocol):
    """A folder of some kind that others take files from."""

    def put(self, name: str, file: Path) -> None:
        """Put a finished file under a name, in the place of one that is there.

        Whoever reads meanwhile has the earlier file or this one, whole.

        Raises:
            PermanentError: When the destination refuses.
            TransientError: When it cannot be reached, or the connection was lost; under the name
                is then what was there before, or the file.
        """
        ...

    def uri(self, name: str) -> str:
        """Return where a file is, for people; without what is secret."""
        ...


def partial_name(name: str, mark: str) -> str:
    """Return the name of a file in the making; it begins with a point, so that nobody takes it."""
    return f".{name}.{mark}.part"
