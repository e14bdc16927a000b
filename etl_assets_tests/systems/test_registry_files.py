"""A registry that cannot be read must never read as an empty one: keys would be removed."""

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_assets.core.errors import DocumentError, PermanentError, RegistryError
from etl_assets.systems.connect import open_registry
from etl_assets.systems.registry_files import FileRegistry
from etl_assets_tests.small import Small

RULES = "version: 3\nrules:\n  - {id: some, kind: filter, keep: quantity > 0}\n"


@pytest.fixture
def folder(small: Small) -> Path:
    small.write_calendar("calendar: {2017-12-25: [], 2017-12-26: [AU17]}")
    small.write_rules(RULES)
    return small.home / "registry"


@pytest.fixture
def registry(folder: Path) -> FileRegistry:
    return FileRegistry(folder, ["sales"])


def test_campaigns_calendar_and_rules_are_read_together(registry: FileRegistry) -> None:
    read = registry.read()
    assert read.keys == ["AU17", "SP17", "SU17"]
    assert read.due_on(dt.date(2017, 12, 26)) == ["AU17"]
    assert read.rule_sets["sales"].version == 3
    assert all(check.ok for check in registry.check())


def test_calendar_and_rules_may_be_absent(registry: FileRegistry, small: Small) -> None:
    (registry.folder / "calendar.yaml").unlink()
    shutil.rmtree(registry.folder / "rules")
    read = registry.read()
    assert (read.entries, read.rule_sets) == ({}, {})
    dataset = small.settings().datasets["sales"]
    assert read.rules_of(dataset) == dataset.own_rules


def break_file(path: Path) -> None:
    path.unlink()


def break_text(path: Path) -> None:
    path.write_bytes(b"campaigns: [\xff]")


def break_kind(path: Path) -> None:
    path.unlink()
    path.mkdir()


def break_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("breaks", [break_file, break_text, break_kind, break_link])
def test_campaigns_that_cannot_be_read_are_an_error(
    registry: FileRegistry, breaks: Callable[[Path], None]
) -> None:
    breaks(registry.folder / "campaigns.yaml")
    with pytest.raises(RegistryError, match=r"campaigns\.yaml cannot be read"):
        registry.read()
    (check,) = registry.check()
    assert not check.ok


@pytest.mark.parametrize("breaks", [break_text, break_kind, break_link])
def test_a_calendar_that_cannot_be_read_is_an_error_and_not_an_absent_one(
    registry: FileRegistry, breaks: Callable[[Path], None]
) -> None:
    breaks(registry.folder / "calendar.yaml")
    with pytest.raises(RegistryError, match=r"calendar\.yaml cannot be read"):
        registry.read()


@pytest.mark.parametrize("breaks", [break_text, break_kind, break_link])
def test_rules_that_cannot_be_read_are_an_error_and_not_absent_ones(
    registry: FileRegistry, breaks: Callable[[Path], None]
) -> None:
    breaks(registry.folder / "rules" / "sales.yaml")
    with pytest.raises(RegistryError, match=r"sales\.yaml cannot be read"):
        registry.read()


def test_a_rules_folder_that_is_none_is_an_error(registry: FileRegistry) -> None:
    """A `rules` that could not be listed read as: there are no rules, load everything."""
    shutil.rmtree(registry.folder / "rules")
    (registry.folder / "rules").symlink_to("rules")
    with pytest.raises(RegistryError, match=r"rules cannot be read"):
        registry.read()


_AS_NOBODY = """
import os, sys
from pathlib import Path
import etl_assets.systems.registry_files as files
from etl_assets.core.errors import RegistryError
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setuid(65534)
try:
    files.FileRegistry(Path(), ["sales"]).read()
except RegistryError as error:
    print(error.message)
"""


@pytest.mark.parametrize("name", ["rules", "rules/sales.yaml", "calendar.yaml", "campaigns.yaml"])
def test_what_this_user_may_not_read_is_an_error(folder: Path, name: str) -> None:
    folder.chmod(0o755)
    (folder / name).chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", _AS_NOBODY, str(folder)], capture_output=True, text=True, check=True
    )
    (folder / name).chmod(0o755)
    assert f"{name} cannot be read (Permission denied)" in done.stdout


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        FileRegistry(tmp_path / "nowhere", []).read()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RegistryError, match=r"campaigns\.yaml cannot be read"):
        FileRegistry(tmp_path / "empty", []).read()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("campaigns.yaml", "", "it is empty"),
        ("campaigns.yaml", "campaigns: [{key: A", "line "),
        ("calendar.yaml", "calendar: {2017-02-30: []}", "2017-02-30 is not a date that exists"),
        ("calendar.yaml", "calendars: {}", "did you mean `calendar`"),
        ("rules/sale.yaml", RULES, "there is no dataset `sale`; did you mean `sales`"),
        ("rules/sales.yml", RULES, "another document has this dataset's rules"),
        ("rules/sales.yaml", RULES.replace("keep", "kep"), "did you mean `keep`"),
        ("rules/sales.yaml", RULES.replace("version", "vresion"), "did you mean `version`"),
        ("rules/sales.yaml", RULES + RULES[11:], "`rules` is written twice"),
        ("rules/sales.yaml", "", "sales.yaml is not valid"),
    ],
)
def test_a_document_that_is_not_valid_is_named_with_what_is_wrong(
    registry: FileRegistry, name: str, text: str, problem: str
) -> None:
    (registry.folder / name).write_text(text)
    with pytest.raises(DocumentError) as caught:
        registry.read()
    assert name in str(caught.value)
    assert problem in str(caught.value)


def test_what_an_editor_leaves_beside_a_document_does_not_count(registry: FileRegistry) -> None:
    for name in (".sales.yaml.swp", ".#sales.yaml", "sales.yaml~", "README.md"):
        (registry.folder / "rules" / name).write_text("{")
    assert registry.read().rule_sets.keys() == {"sales"}


def test_the_check_names_a_campaign_with_a_problem(registry: FileRegistry, small: Small) -> None:
    small.write_campaigns("campaigns: [{key: BAD, start: 2017-02-30, end: 2017-05-31}]")
    (registry.folder / "calendar.yaml").unlink()
    assert [check.name for check in registry.check() if not check.ok] == ["campaign BAD"]


def test_a_registry_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(PermanentError, match="ETL_ASSETS_REGISTRY names no system"):
        open_registry("dynamo:table", [])
