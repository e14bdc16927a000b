"""Runs the commands of a documentation page, and compares what they print with what it shows.

A fenced block with the language `console` is a terminal: lines that begin with `$` are commands
for a shell, the lines below are some of what they print, in its order; `…` stands for what is left
out. A block of YAML or Python with the title of a file is written there; where it says `# … what is there`, its
fields and the items of its list are put into what is there. A comment `<!-- $ … -->` is a command
that the page tells of in words.

What differs from one day to the next is not compared: names of loads, moments, seconds. A load's
name that was printed where the page shows another one takes its place in the commands below.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LOAD = r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}"
PATIENCE_SECONDS = 300

_BLOCK = re.compile(
    r"^(?P<mark>```+)(?P<language>\w*)(?P<title> [^\n]*)?\n(?P<text>.*?)^(?P=mark)$"
    r"|^<!-- (?P<unseen>\$ [^\n]+) -->$",
    re.MULTILINE | re.DOTALL,
)
_FAILS = re.compile(r"# exits with (\d+)$")
_INSTEAD = {"make demo": "etl-assets demo"}
"""What a target of the Makefile runs once it has installed the package."""

_VARYING = (
    (LOAD, "LOAD"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?( UTC)?", "MOMENT"),
    (r"\(\d+\.\d s\)|\bin \d+\.\d s\b|\b\d+\.\d(?= +(loaded|unchanged)\b)", "SECONDS"),
    (r"─+", "─"),
    (r"[ \u00a0]+", " "),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file in its title if it has one, and its text."""

    language: str
    file: str
    text: str


@dataclass
class Page:
    """A page that is being run in a folder.

    Attributes:
        folder: The working directory of its commands.
        environment: Of its commands.
        problems: What is not as the page shows it.
        loads: The names of loads that the page shows, with those that were printed.
    """

    folder: Path
    environment: Mapping[str, str]
    problems: list[str] = field(default_factory=list)
    loads: dict[str, str] = field(default_factory=dict)

    def run(self, text: str) -> list[str]:
        """Run a page from top to bottom and return its problems; it ends with the first."""
        for block in blocks(text):
            if block.language in ("yaml", "python") and block.file:
                write(self.folder / block.file, block.text)
            elif block.language == "console":
                for command, shown in commands(block.text):
                    self._run(command, shown)
                    if self.problems:
                        return self.problems
        return []

    def _run(self, command: str, shown: list[str]) -> None:
        wanted = _FAILS.search(command)
        for there, here in self.loads.items():
            command = command.replace(there, here)
        done = subprocess.run(
            ["bash", "-c", _INSTEAD.get(command, command)],
            cwd=self.folder,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        printed = done.stdout.splitlines()
        if done.returncode != (int(wanted[1]) if wanted else 0):
            self.problems.append(f"$ {command}: exit code {done.returncode}\n{done.stdout}")
            return
        left = iter(printed)
        for line in shown:
            match = next((one for one in left if same(line, one)), None)
            if match is None:
                self.problems.append(f"$ {command}: does not print {line!r}, but\n{done.stdout}")
                return
            self.loads |= dict(zip(re.findall(LOAD, line), re.findall(LOAD, match), strict=False))


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for found in _BLOCK.finditer(text):
        title = re.search(r'title="([^"]+)"', found["title"] or "")
        if found["unseen"]:
            yield Block("console", "", found["unseen"])
        else:
            yield Block(found["language"], title[1] if title else "", found["text"])


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the commands of a terminal, each with the lines that are shown of its output."""
    command, shown = "", list[str]()
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line.removeprefix("$ "), []
        elif line.strip() not in ("", "…"):
            shown.append(line)
    if command:
        yield command, shown


def plain(line: str) -> str:
    """Return a line without what differs from one day to the next, nor where columns begin."""
    for pattern, word in _VARYING:
        line = re.sub(pattern, word, line)
    return line.strip()


def same(shown: str, printed: str) -> bool:
    """Return whether a line is the one that is shown; there, `…` stands for anything."""
    pattern = re.escape(plain(shown)).replace(re.escape("…"), ".*")
    return re.fullmatch(pattern, plain(printed)) is not None


def write(file: Path, example: str) -> None:
    """Write an example; one with a line `# … what is there` is put into the document there."""
    before, *rest = re.split(r"^ +# … [^\n]+\n", example, maxsplit=1, flags=re.MULTILINE)
    if not rest:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(example, encoding="utf-8")
        return
    text = file.read_text(encoding="utf-8")
    for line in before.splitlines():
        name, _, value = line.partition(":")
        if value and not line.startswith("#"):
            text = re.sub(rf"^{name}:.*$", line, text, flags=re.MULTILINE)
    file.write_text(text + rest[0], encoding="utf-8")


def environment(folder: Path, programs: Path) -> dict[str, str]:
    """Return what the commands of a page have as their environment.

    Args:
        folder: Their working directory and home.
        programs: The folder with `etl-assets`.
    """
    path = os.pathsep.join([str(programs), "/usr/bin", "/bin"])
    documents = {
        "ETL_ASSETS_DATASETS": "etl_assets/datasets",
        "ETL_ASSETS_CONTRACTS": "etl_assets/contracts",
        "ETL_ASSETS_FEEDS": "etl_assets/feeds",
    }
    return {"PATH": path, "HOME": str(folder), "USER": "ann", "LOGNAME": "ann", **documents}
