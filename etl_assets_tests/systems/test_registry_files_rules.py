"""Files that people edit beside the commands, and processes that die between two of them."""

import datetime as dt
import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from etl_assets.core.errors import DocumentError, EtlError, RegistryError
from etl_assets.core.rules.versions import RuleVersion, current_of, next_version
from etl_assets.registry_sync import read_folder
from etl_assets.systems.registry_files import FileRegistry
from etl_assets_tests.command_line import CommandLine
from etl_assets_tests.small import Small

RULES = "etl_assets.systems.registry_files_rules"
AT = dt.datetime(2026, 11, 24, 23, tzinfo=dt.UTC)
ONE = "version: 1\ncomment: First.\nrules: []  # grün\n"
TWO = "version: 2\ncomment: Second.\nrules: []\n"


@pytest.fixture
def rules(small: Small) -> Path:
    """The folder of a registry's rules, with version 1 written by hand."""
    small.write_rules(ONE)
    os.utime(small.home / "registry" / "rules" / "sales.yaml", (AT.timestamp(), AT.timestamp()))
    return small.home / "registry" / "rules"


def store(rules: Path) -> FileRegistry:
    return FileRegistry(rules.parent, ["sales"])


def publish(rules: Path, over: int, text: str = TWO, by: str = "bert") -> RuleVersion:
    return store(rules).publish_rules("sales", text, over=over, by=by, at=AT, comment="Second.")


def versions(rules: Path) -> list[tuple[int, str, bool]]:
    return [(v.version, v.by, v.current) for v in store(rules).rule_versions("sales")]


def files(rules: Path) -> list[str]:
    found = (str(path.relative_to(rules)) for path in rules.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".lock"))


def counts(rules: Path) -> int:
    return store(rules).read().rule_sets["sales"].version


def test_the_history_holds_each_text_below_a_line_that_says_whose_it_is(rules: Path) -> None:
    publish(rules, 1)
    kept = rules / "history" / "sales"
    assert files(rules) == [
        "history/sales/v000001.yaml", "history/sales/v000002.yaml", "sales.yaml",
    ]  # fmt: skip
    assert (rules / "sales.yaml").read_text() == TWO
    assert (kept / "v000001.yaml").read_text() == (
        f"# version 1, written by hand at 2026-11-24T23:00:00Z\n{ONE}"
    )
    assert (kept / "v000002.yaml").read_text() == (
        f"# version 2, published by bert at 2026-11-24T23:00:00Z\n{TWO}"
    )


CLAIMED, WRITTEN = f"{RULES}:_put_in_place", f"{RULES}:_claim"


def kill_in(where: str, small: Small, text: str) -> None:
    """Publish in a process of its own, as carl, and kill that where it comes to a function."""
    edit = small.home / "edit.yaml"
    edit.write_text(text)
    arguments = ("rules", "publish", str(edit), "--dataset", "sales", "--comment", "Dying.",
                 "--by", "carl")  # fmt: skip
    with CommandLine.of(small).paused(where, *arguments, "--yes") as paused:
        assert paused.interrupt(signal.SIGKILL)[0] == -signal.SIGKILL


def test_a_version_that_was_claimed_counts_though_its_publisher_died_then(
    rules: Path, small: Small
) -> None:
    publish(rules, 1)
    kill_in(CLAIMED, small, ONE.replace("version: 1", "version: 2"))
    assert (rules / "sales.yaml").read_text() == TWO, "the file was not replaced"
    assert counts(rules) == 3
    assert read_folder(rules.parent, ["sales"])["RULES#sales"] == (
        "version: 3\ncomment: Dying.\nrules: []  # grün\n"
    )
    assert versions(rules) == [(3, "carl", True), (2, "bert", False), (1, "", False)]
    with pytest.raises(RegistryError, match=r"version 3 counts, published by carl at .*Dying"):
        publish(rules, 2)
    assert publish(rules, 3).version == 4
    assert "version: 4" in (rules / "sales.yaml").read_text()
    assert not [name for name in files(rules) if "/." in name or name.startswith(".")]


def test_who_dies_before_the_claim_has_published_nothing_and_is_in_nobodys_way(
    rules: Path, small: Small
) -> None:
    publish(rules, 1)
    kill_in(WRITTEN, small, TWO.replace("[]", "[]  # new"))
    assert (counts(rules), len(versions(rules))) == (2, 2)
    publish(rules, 2)
    assert not [name for name in files(rules) if "/." in name or name.startswith(".")]


def test_a_first_version_that_was_claimed_counts_where_there_was_no_document(
    rules: Path, small: Small
) -> None:
    (rules / "sales.yaml").unlink()
    kill_in(CLAIMED, small, "rules: []\n")
    assert (counts(rules), versions(rules)) == (1, [(1, "carl", True)])
    assert publish(rules, 1).version == 2


def test_a_document_edited_after_a_publisher_died_counts_when_its_number_is_as_high(
    rules: Path, small: Small
) -> None:
    kill_in(CLAIMED, small, ONE.replace("grün", "rot"))
    (rules / "sales.yaml").write_text(TWO)
    assert store(rules).read().rule_sets["sales"].comment == "Second."
    with pytest.raises(RegistryError, match="still say version 2, and there is another text"):
        publish(rules, 2)


def test_where_locks_do_not_work_the_claim_still_decides(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2)

    def at_the_same_time(*args: object, **kwargs: object) -> RuleVersion:
        made = next_version(*args, **kwargs)  # type: ignore[arg-type]
        together.wait()
        return made

    publish(rules, 1)
    monkeypatch.setattr(fcntl, "flock", lambda _handle, _how: None)
    monkeypatch.setattr(f"{RULES}.next_version", at_the_same_time)
    outcomes: dict[str, RuleVersion | EtlError] = {}

    def author(name: str) -> None:
        try:
            outcomes[name] = publish(rules, 2, f"# {name}\nrules: []\n", by=name)
        except EtlError as error:
            outcomes[name] = error

    threads = [threading.Thread(target=author, args=(name,)) for name in ("anna", "bert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (lost,) = [outcome for outcome in outcomes.values() if isinstance(outcome, EtlError)]
    (won,) = [outcome for outcome in outcomes.values() if isinstance(outcome, RuleVersion)]
    assert f"version 3 counts, published by {won.by}" in str(lost)
    assert won.text == (rules / "sales.yaml").read_text()
    assert versions(rules)[0] == (3, won.by, True)


def test_a_document_edited_by_hand_under_the_next_number_is_kept_and_published_over(
    rules: Path,
) -> None:
    """The flow of the README goes on working beside the commands."""
    publish(rules, 1)
    (rules / "sales.yaml").write_text(ONE.replace("version: 1", "version: 3"))
    assert counts(rules) == 3
    assert versions(rules) == [(3, "", True), (2, "bert", False), (1, "", False)]
    publish(rules, 3)
    assert versions(rules) == [
        (4, "bert", True),
        (3, "", False),
        (2, "bert", False),
        (1, "", False),
    ]


def test_a_document_edited_by_hand_under_its_old_number_is_not_lost(rules: Path) -> None:
    publish(rules, 1)
    edited = TWO + "# by hand\n"
    (rules / "sales.yaml").write_text(edited)
    assert store(rules).read().rule_sets["sales"].version == 2
    assert versions(rules) == [(2, "", True), (2, "bert", False), (1, "", False)]
    with pytest.raises(
        RegistryError, match=r"edited by hand and still say version 2.* by bert"
    ) as c:
        publish(rules, 2)
    assert "set its `version:` to 3" in c.value.remedy
    assert (rules / "sales.yaml").read_text() == edited
    (rules / "sales.yaml").write_text(edited.replace("version: 2", "version: 3"))
    publish(rules, 3)
    assert (rules / "history/sales/v000003.yaml").read_text().endswith("# by hand\n")


def test_an_older_document_put_back_by_hand_counts(rules: Path) -> None:
    """Readers that took the highest number did not hear of it."""
    publish(rules, 1)
    (rules / "sales.yaml").write_text(ONE)
    assert counts(rules) == 1
    assert versions(rules) == [(2, "bert", False), (1, "", True)]
    with pytest.raises(RegistryError, match="there was a version 2 already") as caught:
        publish(rules, 1)
    assert "to 3" in caught.value.remedy
    (rules / "sales.yaml").write_text(ONE.replace("version: 1", "version: 3"))
    assert publish(rules, 3).version == 4


@pytest.mark.parametrize("text", ["rules: [", "[]", "version: two\nrules: []\n"])
def test_a_document_that_is_none_is_not_overwritten(rules: Path, text: str) -> None:
    (rules / "sales.yaml").write_text(text)
    with pytest.raises(DocumentError, match=r"rules/sales\.yaml is not valid"):
        publish(rules, 1)
    assert (rules / "sales.yaml").read_text() == text


def test_a_version_whose_file_was_changed_is_shown_with_its_fault_and_the_others_stay(
    rules: Path,
) -> None:
    publish(rules, 1)
    publish(rules, 2, TWO + "# three\n")
    kept = rules / "history" / "sales"
    (kept / "v000001.yaml").write_text("rules: [")
    (kept / "v000002.yaml").write_text(ONE)
    found = store(rules).rule_versions("sales")
    assert [v.fault for v in found][:2] == ["", "its text says version 1"]
    assert "line 1" in found[2].fault
    assert (found[1].by, found[1].text) == ("", ONE)
    assert publish(rules, 3).version == 4


@pytest.mark.parametrize("name", ["history", "history/sales"])
def test_a_history_that_cannot_be_read_is_not_an_empty_one(rules: Path, name: str) -> None:
    """It may hold the version that counts."""
    (rules / name).parent.mkdir(exist_ok=True)
    (rules / name).write_text("")
    with pytest.raises(RegistryError, match=f"{name} cannot be read"):
        store(rules).read()
    with pytest.raises(RegistryError, match=r"Publishing version 2 .* failed|cannot be read"):
        publish(rules, 1)


def test_a_full_disk_changes_nothing(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device", "the disk")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RegistryError, match=r"Publishing version 2 .*No space left on device") as c:
        publish(rules, 1)
    assert "rules history sales" in c.value.remedy
    assert (counts(rules), versions(rules)) == (1, [(1, "", True)])
    monkeypatch.undo()
    assert publish(rules, 1).version == 2


def test_the_document_keeps_its_name_its_mode_and_its_place_behind_a_link(
    rules: Path, tmp_path: Path
) -> None:
    real = tmp_path / "elsewhere.yaml"
    (rules / "sales.yaml").rename(real)
    real.chmod(0o640)
    (rules / "sales.yml").symlink_to(real)
    swap = tmp_path / ".elsewhere.yaml.swp"
    swap.write_text("an editor's")
    publish(rules, 1)
    assert (rules / "sales.yml").is_symlink()
    assert not (rules / "sales.yaml").exists()
    assert real.read_text() == TWO
    assert real.stat().st_mode & 0o777 == 0o640
    assert swap.exists()


def test_what_is_no_version_in_the_history_does_not_count(rules: Path) -> None:
    publish(rules, 1)
    for name in ("README.md", "v000003.yaml~", ".v000009.yaml.abc", "v3.yaml", "v000007.yml"):
        (rules / "history" / "sales" / name).write_text("version: 9\nrules: []\n")
    assert (counts(rules), len(versions(rules))) == (2, 2)
    assert current_of(store(rules).rule_versions("sales")) is not None
