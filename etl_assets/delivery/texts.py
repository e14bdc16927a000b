"""Values as text, one canonical way per type: the same bytes whatever warehouse they come from."""

import pyarrow as pa
import pyarrow.compute as pc

_EXACT_SCALE = 6
"""Arrow writes small decimals of a larger scale with an exponent."""


def texts_of(values: pa.Array) -> pa.Array:
    """Return values as texts, NULL as NULL.

    Booleans are `true` and `false`; decimals have all digits of their scale; doubles the fewest
    that read back the same; dates and moments are as in ISO 8601, with a blank between day and
    time and microseconds where there are some; bytes are hexadecimal.
    """
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_binary(kind):
        return pa.array([None if v is None else v.hex() for v in values.to_pylist()], pa.string())
    if pa.types.is_decimal(kind) and kind.scale > _EXACT_SCALE:
        plain = [None if v is None else format(v, "f") for v in values.to_pylist()]
        return pa.array(plain, pa.string())
    texts = values.cast(pa.string())
    if pa.types.is_timestamp(kind):
        return pc.replace_substring_regex(texts, r"\.0+$", "")
    return texts
