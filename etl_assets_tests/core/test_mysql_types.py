"""The page people read about types must be the table the code uses."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from etl_assets.core.mysql_types import MysqlField, read_as, type_rows
from etl_assets.core.policies import Policies
from etl_assets.systems.mysql_server import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "mysql.md").read_text(encoding="utf-8")


def test_every_type_has_its_row_in_the_documentation() -> None:
    for mysql, kind, arrow, csv, redshift, duckdb, note in type_rows():
        row = f"| {mysql} | `{kind}` | `{arrow}` | {csv} | `{redshift}` | `{duckdb}` | {note} |"
        assert row in PAGE


def test_every_option_and_policy_is_documented() -> None:
    for option in set(OPTIONS) - {"charset"}:
        assert f"| `{option}" in PAGE
    for name, field in Policies.model_fields.items():
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.rpartition(" | ")[2].startswith(f"`{field.default}`,")


@pytest.mark.parametrize("code", [6, 242, 255, 200])
def test_a_type_without_a_line_has_no_way_through(code: int) -> None:
    assert read_as(MysqlField("a", code, length=10)) is None


@pytest.mark.parametrize(
    ("length", "kind"),
    [(1, "smallint"), (15, "smallint"), (16, "integer"), (31, "integer"), (32, "bigint"),
     (63, "bigint"), (64, "decimal(20,0)")],
)  # fmt: skip
def test_a_bit_column_is_the_smallest_whole_number_that_holds_it(length: int, kind: str) -> None:
    found = read_as(MysqlField("a", 16, length=length))
    assert found is not None
    assert str(found.natural) == kind


def test_a_decimal_of_more_digits_than_redshift_has_is_wide_on_either_side_of_its_point() -> None:
    for precision, scale, digits, kind in (
        (38, 37, 0, "decimal(38,37)"), (39, 0, 39, "decimal(38,0)"), (38, 38, 38, "decimal(38,37)"),
    ):  # fmt: skip
        found = read_as(MysqlField("a", 246, length=precision + 2 - (not scale), decimals=scale))
        assert found is not None
        assert (found.digits, str(found.natural)) == (digits, kind)


def test_a_policy_that_is_not_written_is_the_dataset_s() -> None:
    dataset = Policies.model_validate({"zero_date": None, "long_text": "clip"})
    column = Policies.model_validate({"zero_date": "text"})
    made = dataset.overridden_by(column)
    assert (made.zero_date, made.long_text, made.nul_byte) == ("text", "clip", "fail")
    assert dataset.overridden_by(None) == dataset
    assert dataset.zero_date == "null"


def test_a_policy_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="zero_date"):
        Policies.model_validate({"zero_date": "clip"})
