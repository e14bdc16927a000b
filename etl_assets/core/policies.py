"""What happens to values that cannot be kept as they are, declared in a dataset's document.

Nothing is lost silently: a policy that changes or leaves out anything must be written, and
what it touched is counted per column. So the defaults are `fail`, except where the value
can be kept exactly in another form.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

_YamlNull = BeforeValidator(lambda value: "null" if value is None else value)
"""In YAML `zero_date: null`, without quotes, is not the word but nothing; the word is meant."""


class Policies(BaseModel):
    """A dataset's or a column's policies.

    `fail` stops the campaign and names the record, `null` makes the value NULL, `reject`
    leaves the record out and lists it by its primary key.

    Attributes:
        zero_date: A date no calendar has: month or day 0, year 0, 31 February. `text` makes
            the column text, which keeps it. Default `fail`: NULL would say "not known".
        nul_byte: Text with a NUL character, which no warehouse's CSV takes. `strip` removes
            the character. Default `fail`: text cut or changed is not what the source has.
        long_text: Text or bytes longer than their column: 65,535 bytes, or n characters of a
            varchar(n). `clip` cuts at a character. Default `fail`: the end of a text matters.
        wide_decimal: A DECIMAL of more than 38 digits, or 37 after the point. `text` makes the
            column text, exact; otherwise it is a decimal(38,s), s at most 37, and the policy
            is for values that do not fit.
            Default `text`: nothing is lost, and no figure needs to be looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zero_date: Annotated[Literal["fail", "null", "text", "reject"], _YamlNull] = "fail"
    nul_byte: Annotated[Literal["fail", "null", "strip", "reject"], _YamlNull] = "fail"
    long_text: Annotated[Literal["fail", "null", "clip", "reject"], _YamlNull] = "fail"
    wide_decimal: Annotated[Literal["text", "null", "fail", "reject"], _YamlNull] = "text"

    def overridden_by(self, other: "Policies | None") -> "Policies":
        """Return these policies with those that another document part sets."""
        if other is None:
            return self
        return self.model_copy(update=other.model_dump(exclude_unset=True))
