"""A cast that rounds, truncates or guesses falsifies figures that are then proven equal."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from etl_assets_tests.core.compiled import run


def cast(old: str, new: str, *values: object, on_error: str = "null") -> list[object]:
    """Cast values in order; None stands for what was not exact."""
    rule = {"id": "c", "kind": "cast", "column": "v", "type": new, "on_error": on_error}
    made = run([rule], {"id": "bigint", "v": old}, list(enumerate(values)), ["id"])
    by_id = {row[0]: row[1] for row in made.records}
    nulled = sum(by_id[n] is None and v is not None for n, v in enumerate(values))
    assert made.counts.get(("nulled", "c", "v"), 0) == nulled
    return [by_id[n] for n in range(len(values))]


@pytest.mark.parametrize(
    ("old", "new", "value", "made"),
    [
        ("text", "integer", "12", 12),
        ("text", "integer", " 12\n", 12),
        ("text", "integer", "+12", 12),
        ("text", "integer", "12.0", 12),
        ("text", "integer", "1.2e3", 1200),
        ("text", "decimal(10,2)", "1.50", Decimal("1.50")),
        ("text", "decimal(10,2)", "1.5000000000000000000000", Decimal("1.50")),
        ("text", "decimal(10,2)", ".5", Decimal("0.50")),
        ("text", "decimal(38,0)", "9" * 38, Decimal("9" * 38)),
        ("text", "double", "0.1", 0.1),
        ("text", "boolean", "true", True),
        ("text", "date", "2017-02-28", dt.date(2017, 2, 28)),
        ("text", "date", "2017-02-28 00:00:00", dt.date(2017, 2, 28)),
        ("text", "timestamp", "2017-02-28", dt.datetime(2017, 2, 28)),  # noqa: DTZ001
        ("text", "timestamp", "2017-02-28T01:02:03.000004Z", dt.datetime(2017, 2, 28, 1, 2, 3, 4)),  # noqa: DTZ001
        ("text", "varchar(3)", "grü", "grü"),
        ("double", "integer", 3.0, 3),
        ("double", "decimal(10,2)", 0.1, Decimal("0.10")),
        ("decimal(10,2)", "integer", "3.00", 3),
        ("decimal(38,30)", "bigint", "12345678", 12345678),
        ("decimal(10,4)", "decimal(6,2)", "12.3400", Decimal("12.34")),
        ("bigint", "smallint", 32767, 32767),
        ("bigint", "decimal(3,1)", 12, Decimal("12.0")),
        ("bigint", "double", 2**53, float(2**53)),
        ("bigint", "boolean", 1, True),
        ("boolean", "integer", True, 1),
        ("timestamp", "date", dt.datetime(2017, 1, 2), dt.date(2017, 1, 2)),  # noqa: DTZ001
        ("date", "timestamp", dt.date(2017, 1, 2), dt.datetime(2017, 1, 2)),  # noqa: DTZ001
        ("decimal(10,2)", "text", "1.50", "1.50"),
        ("date", "varchar(10)", dt.date(2017, 1, 2), "2017-01-02"),
    ],
)
def test_a_value_that_the_type_holds_is_cast(
    old: str, new: str, value: object, made: object
) -> None:
    assert cast(old, new, value) == [made]


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("text", "integer", "1.5"),
        ("text", "integer", "0x10"),
        ("text", "integer", "1_000"),
        ("text", "integer", ""),
        ("text", "integer", "x"),
        ("text", "integer", "1e-3"),
        ("text", "integer", "2147483648"),
        ("text", "decimal(10,2)", "1.555"),
        ("text", "decimal(10,2)", "1.5000000000000000000001"),
        ("text", "decimal(10,2)", "1.555e0"),
        ("text", "decimal(38,0)", "99999999999999999999999.5"),
        ("text", "decimal(4,2)", "100"),
        ("text", "double", "nan"),
        ("text", "double", "1e400"),
        ("text", "boolean", "maybe"),
        ("text", "date", "2017-02-30"),
        ("text", "date", "2017-02-28 10:00:00"),
        ("text", "date", "17-02-28"),
        ("text", "date", "infinity"),
        ("text", "timestamp", "2017-02-28 10:00:00.1234567"),
        ("text", "timestamp", "2017-02-28 10:00:00+02"),
        ("text", "timestamp", "epoch"),
        ("text", "varchar(3)", "long"),
        ("varchar(10)", "varchar(3)", "long"),
        ("double", "integer", 1.5),
        ("double", "integer", 1e300),
        ("double", "decimal(10,2)", 1.555),
        ("double", "real", 0.1),
        ("double", "boolean", 0.5),
        ("decimal(10,3)", "decimal(10,2)", "1.555"),
        ("decimal(10,2)", "integer", "1.50"),
        ("decimal(10,2)", "boolean", "0.50"),
        ("decimal(38,37)", "decimal(38,0)", "9.99999"),
        ("decimal(38,0)", "double", "12345678901234567891"),
        ("bigint", "decimal(3,2)", 12),
        ("bigint", "smallint", 32768),
        ("bigint", "double", 2**53 + 1),
        ("bigint", "real", 2**24 + 1),
        ("bigint", "double", 2**63 - 1),
        ("bigint", "boolean", 5),
        ("timestamp", "date", dt.datetime(2017, 1, 2, 3)),  # noqa: DTZ001
        ("date", "integer", dt.date(2017, 1, 2)),
        ("bigint", "varchar(3)", 1234),
    ],
)
def test_a_value_that_the_type_does_not_hold_is_never_changed_to_fit(
    old: str, new: str, value: object
) -> None:
    """`on_error: null` kept the rounded value, and bigint to double was never compared."""
    assert cast(old, new, value, None) == [None, None]


@pytest.mark.parametrize("policy", ["fail", "reject"])
def test_each_policy_counts_and_names_what_does_not_fit(policy: str) -> None:
    rule = {"id": "c", "kind": "cast", "column": "v", "type": "integer", "on_error": policy}
    made = run([rule], {"id": "bigint", "v": "text"}, [(1, "1.5"), (2, "2"), (3, None)], ["id"])
    outcome = {"fail": "failed", "reject": "rejected"}[policy]
    assert set(made.records) == {(2, 2), (3, None)}
    assert made.counts == {(None, None, None): 2, (outcome, "c", "v"): 1}
    assert made.refused == [(outcome, "c", "v", "1.5", "id=1")]


numbers = st.one_of(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**6), max_value=10**6
    ),
    st.decimals(allow_nan=False, allow_infinity=False),
).map(str)


@given(
    text=st.one_of(numbers, st.text("0123456789.eE+- ", max_size=24), st.text(max_size=6)),
    kind=st.sampled_from(
        [
            ("bigint", 19, 0),
            ("decimal(10,2)", 10, 2),
            ("decimal(38,18)", 38, 18),
            ("decimal(38,0)", 38, 0),
        ]
    ),
)
@example("1e30", ("decimal(38,0)", 38, 0))
@example("1.5e-17", ("decimal(38,18)", 38, 18))
def test_a_number_in_text_is_that_number_or_refused(text: str, kind: tuple[str, int, int]) -> None:
    if "\0" in text:
        return
    (made,) = cast("text", kind[0], text)
    if made is not None:
        assert Decimal(str(made)) == Decimal(text.strip())


@given(st.floats(), st.sampled_from(["bigint", "decimal(10,2)", "decimal(38,18)", "real"]))
def test_a_double_is_the_number_it_shows_or_refused(value: float, new: str) -> None:
    (made,) = cast("double", new, value)
    if made is not None and value == value:  # noqa: PLR0124  (NaN stays NaN)
        assert float(str(made)) == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_an_integer_is_itself_as_a_double_or_refused(value: int) -> None:
    for new in ("double", "real"):
        (made,) = cast("bigint", new, value)
        assert made is None or (isinstance(made, float) and int(made) == value)
