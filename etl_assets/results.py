"""What a refresh did, for people and programs."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class KeyResult:
    """What a refresh did to one key in one dataset.

    Attributes:
        status: `loaded`, `unchanged`, `kept`, `held` or `failed`.
        seconds: Wall time of the key's run, all its datasets together.
        proof: The counts that agreed; empty when it failed.
        error: Why it failed, and what to do; empty when it did not.
        held: Why the slice was kept as it is, or waits for approval; empty otherwise.
        fallback: Why it was made with earlier rules; empty when it was made with the current.
    """

    key: str
    dataset: str
    start: str
    end: str
    status: str
    source_records: int
    loaded_records: int
    filtered: int
    rejected: int
    seconds: float
    proof: str
    load_id: str
    run_id: str
    error: str = ""
    fallback: str = ""
    held: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the fields, for JSON."""
        return asdict(self)
