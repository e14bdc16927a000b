"""The two kinds of failure, and what a message must say.

Every error a user can meet is an `EtlError`: one sentence that says what was
attempted, on what, and why it failed, and one that says what to do next.
"""

_SHOWN = 5


class EtlError(Exception):
    """A failure with its next action.

    Attributes:
        message: What was attempted, on which campaign or document, and why it failed.
        remedy: The next action for the reader, as an imperative sentence; may be empty.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        if message.endswith("?."):  # a reason that ends with "did you mean …?"
            message = message[:-1]
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class PermanentError(EtlError):
    """Trying again without a change gives the same failure."""


class TransientError(EtlError):
    """Trying again is safe, and may succeed: nothing was changed."""


class DocumentError(PermanentError):
    """A campaign, calendar, dataset or rule document is not valid.

    Attributes:
        problems: One sentence for each thing that is wrong, with file, line and field.
    """

    def __init__(self, source: str, problems: list[str]) -> None:
        more = len(problems) - _SHOWN
        shown = "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        super().__init__(f"{source} is not valid: {shown}.", "Correct the document and try again.")
        self.problems = problems


class RegistryError(PermanentError):
    """The registry as a whole could not be read; nothing may be concluded from that."""


class RuleError(PermanentError):
    """A rule cannot be applied to the columns or values it meets."""


class SourceError(PermanentError):
    """The source refused the query, or sent a value its column's type does not hold."""


class StagingError(PermanentError):
    """A staged object is missing, was changed, or could not be written."""


class WarehouseError(PermanentError):
    """The warehouse refused a load; it holds what it held before."""


class ProofError(WarehouseError):
    """Two copies that must be equal are not; the load was rolled back."""


class MassRemovalError(PermanentError):
    """More keys than half would be removed at once, and nobody said they may."""
