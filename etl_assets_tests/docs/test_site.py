"""The documentation site is built as `make docs` does, and a fault in it stops that."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("docs", "etl_assets_tests/standins/redshift", "CHANGELOG.md", "mkdocs.yml")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the site is made from, except the package, which is installed."""
    folder = tmp_path_factory.mktemp("site")
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target)
        else:
            shutil.copy(ROOT / name, target)
    return folder


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site; not with `--quiet`, which hides the warnings from `strict`, too."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder / "site")],
        cwd=folder,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_is_built_without_a_warning(checkout: Path) -> None:
    done = build(checkout)
    assert (done.returncode, "WARNING" in done.stderr) == (0, False), done.stderr
    commands = (checkout / "site" / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "etl-assets refresh [OPTIONS]" in commands
    documents = (checkout / "site" / "reference" / "documents.html").read_text(encoding="utf-8")
    assert "source_proof" in documents
    pages = list((checkout / "site").rglob("*.html"))
    assert [p for p in pages if "fonts.googleapis" in p.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("[gone](nowhere.md)", "nowhere.md"),
        ("[gone](concepts.md#no-such-heading)", "no-such-heading"),
        ("::: etl_assets.core.nothing.Nothing", "Nothing"),
        ('--8<-- "nothing.md"', "nothing.md"),
    ],
)
def test_a_link_or_a_name_that_leads_nowhere_stops_it(
    checkout: Path, fault: str, said: str
) -> None:
    page = checkout / "docs" / "start.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n{fault}\n", encoding="utf-8")
    try:
        done = build(checkout)
    finally:
        page.write_text(text, encoding="utf-8")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
