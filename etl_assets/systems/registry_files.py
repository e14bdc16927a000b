"""The registry as YAML files in a folder.

campaigns.yaml          campaigns: [{key: CJ15, start: 2017-09-20, end: 2018-02-28, …}, …]
calendar.yaml           calendar: {2017-12-25: [], 2017-12-26: [CJ15]}      (may be absent)
rules/<dataset>.yaml    version: 1, comment: …, rules: […]                  (may be absent)
"""

import os
from collections.abc import Collection
from pathlib import Path

from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.core.expressions import nearest
from etl_assets.core.registry import Registry, parse_campaigns, parse_entries
from etl_assets.core.rules import RuleSet
from etl_assets.systems.protocols import Check


class FileRegistry:
    """Reads the registry from a folder."""

    def __init__(self, folder: Path, datasets: Collection[str]) -> None:
        """Remember where the registry is; nothing is read.

        Args:
            folder: Holds the documents.
            datasets: The names that campaigns and rule sets may refer to.
        """
        self.folder = folder
        self._datasets = datasets

    def read(self) -> Registry:
        """Return everything; see `RegistryStore.read`."""
        campaigns, problems = parse_campaigns(self._document("campaigns.yaml"), self._datasets)
        keys = {*campaigns, *problems}
        calendar = "calendar.yaml" in self._names(self.folder)
        entries = parse_entries(self._document("calendar.yaml"), keys) if calendar else {}
        return Registry(campaigns, entries, self._rule_sets(), problems)

    def _rule_sets(self) -> dict[str, RuleSet]:
        found: dict[str, RuleSet] = {}
        there = "rules" in self._names(self.folder)
        for name in self._names(self.folder / "rules") if there else []:
            dataset, _, extension = name.rpartition(".")
            if name.startswith(".") or extension not in ("yaml", "yml"):
                continue
            if dataset not in self._datasets:
                hint = nearest(dataset, self._datasets)
                raise DocumentError(f"rules/{name}", [f"there is no dataset `{dataset}`{hint}"])
            if dataset in found:
                raise DocumentError(f"rules/{name}", ["another document has this dataset's rules"])
            document = self._document(f"rules/{name}")
            found[dataset] = document.validate(RuleSet, document.data)
        return found

    def _names(self, folder: Path) -> list[str]:
        """Return what is in a folder; one that cannot be read is never an empty one."""
        try:
            return sorted(entry.name for entry in os.scandir(folder))
        except OSError as error:
            raise _unreadable(folder, error.strerror or "") from error

    def _document(self, name: str) -> Document:
        try:
            return Document((self.folder / name).read_text(encoding="utf-8"), name)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise _unreadable(self.folder / name, reason or "") from error

    def check(self) -> list[Check]:
        """Return whether the folder can be read and written, and its documents are valid."""
        try:
            registry = self.read()
        except (RegistryError, DocumentError) as error:
            return [Check("readable", ok=False, detail=error.message, remedy=error.remedy)]
        rules = ", ".join(f"{n} v{r.version}" for n, r in sorted(registry.rule_sets.items()))
        checks = [
            Check(
                "readable", ok=True, detail=f"{len(registry.campaigns)} campaigns; rules: {rules}"
            ),
            Check(
                "writable",
                ok=os.access(self.folder, os.W_OK),
                detail=str(self.folder),
                remedy="Give this user write access to the folder.",
            ),
        ]
        checks += [
            Check(f"campaign {key}", ok=False, detail=problem, remedy="Correct the document.")
            for key, problem in registry.problems.items()
        ]
        return checks


def _unreadable(path: Path, reason: str) -> RegistryError:
    return RegistryError(
        f"The registry's {path} cannot be read ({reason}).",
        "Check ETL_ASSETS_REGISTRY and the permissions; `etl-assets demo --no-refresh` makes a"
        " sample registry.",
    )
