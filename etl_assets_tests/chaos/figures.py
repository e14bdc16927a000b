"""What a chaos run did, counted; the end of the run shows it."""

from collections import Counter


class Figures:
    """Counts by name, such as `wire faults`, in the order they were first added."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counter[str] = Counter()
        self._notes: dict[str, None] = {}

    def add(self, name: str, number: int = 1) -> None:
        """Count something that was done."""
        self._counts[name] += number

    def note(self, sentence: str) -> None:
        """Keep a sentence to be shown with the counts, such as what could not be reached."""
        self._notes[sentence] = None

    def lines(self) -> list[str]:
        """Return a line for each count, then the notes; none when nothing was counted."""
        width = max((len(f"{number:,}") for number in self._counts.values()), default=0)
        counted = [f"{number:>{width},} {name}" for name, number in self._counts.items()]
        return [*counted, *self._notes]
