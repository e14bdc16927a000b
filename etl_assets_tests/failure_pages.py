"""What docs/failures.md says of codes and of attempts, made of the tables in the code.

`python -m etl_assets_tests.failure_pages` writes it into the page, between its marks.
"""

from pathlib import Path

from etl_assets.core.failure_classes import TABLE, Meaning
from etl_assets.core.retries import BODY, DELIVERY, LOCK, REGISTRY, STATEMENT
from etl_assets.failures import RETRIES
from etl_assets.systems.aws import ATTEMPTS

PAGE = Path(__file__).parent.parent / "docs" / "failures.md"
_DEPTHS = (
    ("statement", "a transaction of Redshift that lost against another, or a deadlock", STATEMENT),
    ("statement", "opening DuckDB's file; for a minute at most", LOCK),
    ("statement", "a reading of the registry while somebody pushes", REGISTRY),
    ("part", "the bytes of an object of S3 that stopped half way", BODY),
    ("part", "a file or table of a feed", DELIVERY),
)
"""Depth, what is tried, and the bound."""


def classes() -> str:
    """Return the table of codes."""
    lines = ["| system | codes | class | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(_class, TABLE)])


def _class(row: Meaning) -> str:
    codes = ", ".join(f"`{code}`" for code in row.codes)
    kind = f"transient, {row.cause}" if row.transient else "permanent"
    reason = row.reason.replace(" of {user}", "") or "the system's own text says it"
    return f"| {row.system} | {codes} | {kind} | {reason} |"


def retries() -> str:
    """Return the table of depths."""
    lines = ["| depth | what | attempts | each wait is below |", "|---|---|---|---|"]
    for depth, what, bound in _DEPTHS:
        first, longest = bound.first_seconds, bound.longest_seconds
        lines.append(
            f"| {depth} | {what} | {bound.attempts:,} | {first:g} s, doubled up to {longest:g} s |"
        )
    boto3 = (
        f"| part | a request to S3 or DynamoDB, by boto3 | {ATTEMPTS} | 1 s, doubled up to 20 s |"
    )
    waits = f"{RETRIES.delay} s, then {3 * (RETRIES.delay or 0)} s"
    key = f"| key | a step of a key's run | {RETRIES.max_retries + 1} | {waits} |"
    return "\n".join([*lines, boto3, key])


def filled(page: str) -> str:
    """Return the page with both tables as the code says them."""
    for mark, made in (("classes", classes()), ("retries", retries())):
        begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{made}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
