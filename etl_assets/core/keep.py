"""How much of earlier loads a dataset keeps, so that they can be compared and put back."""

from pydantic import BaseModel, ConfigDict, Field


class Keep(BaseModel):
    """What is kept of each campaign: whatever either of the two says.

    Attributes:
        loads: What the newest so many loads and rollbacks were made from.
        days: Everything younger.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loads: int = Field(default=5, ge=1)
    days: int = Field(default=30, ge=1)
