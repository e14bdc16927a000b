"""How the command line shows versions of rules, and what differs between two."""

import difflib
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from etl_assets.core.errors import DocumentError
from etl_assets.core.rules.versions import RuleVersion
from etl_assets.display.tables import new_table

_DIGITS = 12
"""So many of a digest tell versions apart."""

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def versions_table(versions: Sequence[RuleVersion]) -> Table:
    """Return versions, with who published each and what is wrong with those not to be read."""
    table = new_table("version", "", "published (UTC)", "by", "digest", "comment")
    for version in versions:
        digest, problem = _digest(version)
        table.add_row(
            str(version.version),
            "[green]current[/]" if version.current else "",
            f"{version.at:%Y-%m-%d %H:%M:%S}" if version.at else "",
            escape(version.by) if version.by else "[dim]by hand[/]",
            digest[:_DIGITS],
            f"[red]{escape(problem)}[/]" if problem else escape(version.comment),
        )
    return table


def version_row(version: RuleVersion) -> dict[str, object]:
    """Return a version for JSON."""
    digest, problem = _digest(version)
    return {
        "dataset": version.dataset,
        "version": version.version,
        "current": version.current,
        "by": version.by or None,
        "at": version.at.isoformat() if version.at else None,
        "comment": version.comment,
        "digest": digest or None,
        "problem": problem or None,
    }


def difference(old: RuleVersion, new: RuleVersion) -> Text:
    """Return the lines that differ between two texts, with some around them; may be empty."""
    lines = difflib.unified_diff(
        old.text.splitlines(), new.text.splitlines(), _title(old), _title(new), lineterm=""
    )
    shown = Text()
    for line in lines:
        heading = line.startswith(("--- ", "+++ ")) and not shown.plain.count("\n") > 1
        shown.append(line + "\n", "bold" if heading else _STYLES.get(line[:1], ""))
    return shown


def _title(version: RuleVersion) -> str:
    return f"version {version.version}, {version.written}"


def _digest(version: RuleVersion) -> tuple[str, str]:
    """Return a version's digest; or nothing, and why it has none."""
    try:
        return version.digest, ""
    except DocumentError as error:
        return "", "; ".join(error.problems)
