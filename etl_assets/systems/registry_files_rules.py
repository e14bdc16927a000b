"""The rules of a file registry, and their history.

rules/<dataset>.yaml                   what counts; people may edit it, too
rules/history/<dataset>/v000002.yaml   version 2, below a line that says who published it and when
rules/history/<dataset>/.v000002.…     the same file, until its publication has ended

A version is published at the moment when its file in the history comes to be, whole, under a
name that was free; then it replaces `rules/<dataset>.yaml`. Where the process dies between the
two, the second name of the file is left, and tells readers that this version counts. That the
highest number counts would be no rule to tell them by: who puts an older document back by hand,
or removes it, would not be heard.
"""

import contextlib
import datetime as dt
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.core.rules.expressions import nearest
from etl_assets.core.rules.texts import said
from etl_assets.core.rules.versions import RuleVersion, instant, lost_race, next_version
from etl_assets.systems.registry_folder import (
    names_in,
    sync_folder,
    text_of,
    unreadable,
    write_whole,
)

_KEPT = re.compile(r"v(\d{6,})\.yaml")
_BEGUN = re.compile(r"\.(v\d{6,}\.yaml)\.\w+")
_HEADER = re.compile(r"# version \d+, (?:published by (.+)|written by hand) at (\S+)")


class RuleFiles:
    """Reads and publishes the rules in a registry's folder."""

    def __init__(self, registry: Path, datasets: Collection[str]) -> None:
        """Remember where they are; nothing is read.

        Args:
            registry: The registry's folder.
            datasets: The names there may be rules for.
        """
        self._registry = registry
        self._folder = registry / "rules"
        self._datasets = datasets

    def texts(self) -> dict[str, tuple[str, str]]:
        """Return what counts, by dataset: the document's name and its text.

        Raises:
            RegistryError: When the folder or a document cannot be read.
            DocumentError: When a document is of no dataset, or two are of one.
        """
        if "rules" not in names_in(self._registry):
            return {}
        # Before the documents: a publication that ends meanwhile is then seen in them.
        begun = {name: kept for name in self._datasets if (kept := self._unfinished(name))}
        found: dict[str, tuple[str, str]] = {}
        for dataset, file in self._files().items():
            found[dataset] = f"rules/{file}", text_of(self._folder / file)
        for dataset, kept in begun.items():
            name, text = found.get(dataset, ("", ""))
            if not name or said(text, name)[0] < kept.version:
                name = f"rules/history/{dataset}/{_file_name(kept.version)}"
                found[dataset] = name, kept.text
        return dict(sorted(found.items()))

    def versions(self, dataset: str) -> list[RuleVersion]:
        """Return every version; see `RegistryStore.rule_versions`."""
        begun = self._unfinished(dataset)
        written, found = self._written(dataset), self._history(dataset)
        current = begun
        if written and not (begun and begun.version > written.version):
            current = next((kept for kept in found if _same(kept, written)), written)
        if written and not any(_same(kept, written) for kept in found):
            found.append(written)
        marked = [replace(v, current=current is not None and v == current) for v in found]
        return sorted(marked, key=lambda v: (v.version, v.current), reverse=True)

    def publish(
        self, dataset: str, text: str, *, over: int, by: str, at: dt.datetime, comment: str
    ) -> RuleVersion:
        """Publish a version; see `RegistryStore.publish_rules`."""
        if dataset not in self._datasets:
            raise _no_dataset("rules", dataset, self._datasets)
        folder = self._folder / "history" / dataset
        try:
            with _locked(folder):
                versions = self.versions(dataset)
                made = next_version(
                    versions, dataset, text, over=over, by=by, at=at, comment=comment
                )
                self._archive(folder, versions)
                self._publish(folder, made)
        except OSError as error:
            # Where processes do not see each other's locks, another may have claimed the
            # version, or have swept away what this one was about to claim it with.
            if any(kept.version > over for kept in self._history(dataset)):
                raise lost_race(self.versions(dataset), dataset, over) from None
            raise RegistryError(
                f"Publishing version {over + 1} of the rules of {dataset} failed"
                f" ({error.filename}: {error.strerror}).",
                f"See to permissions and space; `etl-assets rules history {dataset}` tells"
                " what counts.",
            ) from error
        return made

    def _publish(self, folder: Path, made: RuleVersion) -> None:
        name = self._files().get(made.dataset, f"{made.dataset}.yaml")
        file = (self._folder / name).resolve()  # a link stays one
        token = uuid.uuid4().hex
        fresh = file.with_name(f".{file.name}.{token}.new")
        try:
            write_whole(fresh, made.text)
            if file.exists():
                shutil.copymode(file, fresh)
            _claim(folder, made, token)
            _put_in_place(fresh, file)
        finally:
            fresh.unlink(missing_ok=True)
        for left in (*folder.glob(".v*"), *file.parent.glob(f".{file.name}.*.new")):
            left.unlink(missing_ok=True)

    def _archive(self, folder: Path, versions: Sequence[RuleVersion]) -> None:
        """Keep a document that was written by hand before it is replaced."""
        written = self._written(folder.name)
        kept = self._history(folder.name)
        if written is None or any(_same(version, written) for version in kept):
            return
        if taken := [version for version in kept if version.version == written.version]:
            highest = max(version.version for version in versions)
            raise RegistryError(
                f"Nothing was published: the rules of {folder.name} were edited by hand and"
                f" still say version {written.version}, and there is another text of that"
                f" number, {taken[0].written}.",
                f"To keep the edit, set its `version:` to {highest + 1} and publish over that; to"
                f" drop it, remove it from {self._folder} and bring version {highest} back with"
                f" `etl-assets rules rollback {folder.name} {highest}`.",
            )
        _claim(folder, written, token := uuid.uuid4().hex)
        (folder / f".{_file_name(written.version)}.{token}").unlink()

    def _files(self) -> dict[str, str]:
        """Return the name of each dataset's document; made new when there is none."""
        found: dict[str, str] = {}
        for name in names_in(self._folder):
            dataset, _, extension = name.rpartition(".")
            if name.startswith(".") or extension not in ("yaml", "yml"):
                continue
            if dataset not in self._datasets:
                raise _no_dataset(f"rules/{name}", dataset, self._datasets)
            if dataset in found:
                raise DocumentError(f"rules/{name}", ["another document has this dataset's rules"])
            found[dataset] = name
        return found

    def _written(self, dataset: str) -> RuleVersion | None:
        """Return what the dataset's document says, whoever wrote it."""
        name = self._files().get(dataset) if "rules" in names_in(self._registry) else None
        if name is None:
            return None
        file = self._folder / name
        text = text_of(file)
        version, comment = said(text, f"rules/{name}")
        return RuleVersion(dataset, version, text, "", _modified(file), comment)

    def _history(self, dataset: str) -> list[RuleVersion]:
        folder = self._folder / "history" / dataset
        return [self._kept(dataset, folder / n) for n in self._kept_names(dataset)
                if _KEPT.fullmatch(n)]  # fmt: skip

    def _unfinished(self, dataset: str) -> RuleVersion | None:
        """Return the highest version whose publication has begun and not ended."""
        folder = self._folder / "history" / dataset
        for name in reversed(self._kept_names(dataset)):
            if begun := _BEGUN.fullmatch(name):
                file = folder / begun[1]
                try:
                    if file.samefile(folder / name):
                        return self._kept(dataset, file)
                except FileNotFoundError:
                    continue  # it never came to be, or has ended just now
                except OSError as error:
                    raise unreadable(file, error.strerror) from error
        return None

    def _kept_names(self, dataset: str) -> list[str]:
        """Return what is in a dataset's history; one that cannot be read is not an empty one."""
        folder = self._registry
        for name in ("rules", "history", dataset):
            if name not in names_in(folder):
                return []
            folder /= name
        return names_in(folder)

    def _kept(self, dataset: str, file: Path) -> RuleVersion:
        whole = text_of(file)
        header, _, text = whole.partition("\n")
        match = _HEADER.fullmatch(header)
        by, at = (match[1] or "", instant(match[2])) if match else ("", _modified(file))
        text = text if match else whole
        version, comment, fault = int(file.name[1:-5]), "", ""
        try:
            says, comment = said(text, file.name)
            fault = "" if says == version else f"its text says version {says}"
        except DocumentError as error:
            fault = "; ".join(error.problems)
        return RuleVersion(dataset, version, text, by, at, comment, fault=fault)


def _no_dataset(source: str, dataset: str, datasets: Collection[str]) -> DocumentError:
    hint = nearest(dataset, datasets)
    return DocumentError(source, [f"there is no dataset `{dataset}`{hint}"])


def _same(one: RuleVersion, other: RuleVersion) -> bool:
    return (one.version, one.text) == (other.version, other.text)


def _file_name(version: int) -> str:
    return f"v{version:06}.yaml"


def _modified(file: Path) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(file.stat().st_mtime), dt.UTC)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a dataset's history, which the system releases when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _claim(folder: Path, made: RuleVersion, token: str) -> None:
    """Put a version into the history, whole; FileExistsError when its number is taken."""
    name = _file_name(made.version)
    who = f"published by {made.by}" if made.by else "written by hand"
    begun = folder / f".{name}.{token}"
    write_whole(
        begun, f"# version {made.version}, {who} at {made.at:%Y-%m-%dT%H:%M:%SZ}\n{made.text}"
    )
    os.link(begun, folder / name)
    for changed in (folder, folder.parent, folder.parent.parent):
        sync_folder(changed)


def _put_in_place(fresh: Path, file: Path) -> None:
    fresh.replace(file)
    sync_folder(file.parent)
