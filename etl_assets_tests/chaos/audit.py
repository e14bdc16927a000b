"""Known weaknesses of the locked dependencies, as pip-audit finds them.

    python -m etl_assets_tests.chaos.audit

pip-audit passes over what its source does not know, so that one that cannot be reached looks
like one without findings. A release with known weaknesses is therefore asked for first: an
answer without them is no answer.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "constraints.txt"
PLANTED = "urllib3==1.26.4"
"""Has had published weaknesses since 2021 (CVE-2021-33503)."""

SERVICES = ("pypi", "osv")
WEAK, UNASKED = 1, 2
_FOLDER = ROOT / "var" / "audit"


@dataclass(frozen=True)
class Report:
    """What pip-audit said.

    Attributes:
        audited: Distributions its source knows.
        passed_over: Those it does not know, with the reason.
        weaknesses: `name version: ids, fixed in …` of each that has some.
    """

    audited: int
    passed_over: tuple[str, ...]
    weaknesses: tuple[str, ...]


def read_report(text: str) -> Report:
    """Return what pip-audit's JSON says.

    Raises:
        ValueError: When it is none.
    """
    found: list[dict[str, Any]] = json.loads(text)["dependencies"]
    known = [d for d in found if "skip_reason" not in d]
    return Report(
        len(known),
        tuple(f"{d['name']}: {d['skip_reason']}" for d in found if "skip_reason" in d),
        tuple(_weakness(d) for d in known if d["vulns"]),
    )


def conclude(planted: Report | None, locked: Report | None, source: str) -> tuple[int, str]:
    """Return the exit code, and the sentence that says what is known."""
    if planted is None or not planted.weaknesses:
        return UNASKED, (
            f"Dependencies NOT audited: {source} did not tell of the known weaknesses of"
            f" {PLANTED}, so its silence means nothing. Run `make audit` with the network."
        )
    if locked is None:
        return UNASKED, f"Dependencies NOT audited: {source} did not answer for {LOCK.name}."
    said = f"{locked.audited} dependencies audited ({source})"
    if locked.weaknesses:
        return WEAK, f"{said}; known weaknesses: {'; '.join(locked.weaknesses)}."
    if locked.passed_over:
        return UNASKED, f"{said}; not known there: {'; '.join(locked.passed_over)}."
    return 0, f"{said}; no known weakness."


def audit() -> tuple[int, str]:
    """Ask each source until one answers; return the exit code and what is known."""
    program = _install()
    if program is None:
        return UNASKED, "Dependencies NOT audited: pip-audit could not be installed."
    said = (UNASKED, "")
    for source in SERVICES:
        planted = _ask(program, source, [PLANTED])
        locked = None
        if planted and planted.weaknesses:
            locked = _ask(program, source, LOCK.read_text(encoding="utf-8").splitlines())
        said = conclude(planted, locked, source)
        if said[0] != UNASKED:
            break
    return said


def _weakness(dependency: dict[str, Any]) -> str:
    ids = ", ".join(v["id"] for v in dependency["vulns"])
    fixed = sorted({version for v in dependency["vulns"] for version in v["fix_versions"]})
    return f"{dependency['name']} {dependency['version']}: {ids}, fixed in {', '.join(fixed)}"


def _install() -> Path | None:
    """Install pip-audit into a folder of its own; None when it cannot be had."""
    program = _FOLDER / "bin" / "pip-audit"
    if not program.exists():
        for command in (
            [sys.executable, "-m", "venv", str(_FOLDER)],
            [str(_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet", "pip-audit"],
        ):
            if subprocess.run(command, check=False).returncode:
                return None
    return program


def _ask(program: Path, source: str, pins: Sequence[str]) -> Report | None:
    """Return what a source says of pinned distributions; None when it says nothing."""
    file = _FOLDER / "asked.txt"
    file.write_text("\n".join(pins) + "\n", encoding="utf-8")
    done = subprocess.run(
        [
            str(program), "--requirement", str(file), "--no-deps", "--disable-pip", "--format", "json",
            "--progress-spinner", "off", "--vulnerability-service", source, "--timeout", "15",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        return read_report(done.stdout)
    except (ValueError, KeyError):
        return None


def main() -> None:
    """Say what is known; exit with 1 for a weakness, 2 when nobody could be asked."""
    code, sentence = audit()
    sys.stdout.write(sentence + "\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
