"""The registry as YAML files in a folder.

campaigns.yaml          campaigns: [{key: CJ15, start: 2017-09-20, end: 2018-02-28, …}, …]
calendar.yaml           calendar: {2017-12-25: [], 2017-12-26: [CJ15]}      (may be absent)
rules/<dataset>.yaml    version: 1, comment: …, rules: […]                  (may be absent)
rules/history           what `etl-assets rules publish` keeps: see registry_files_rules.py
"""

import datetime as dt
import os
from collections.abc import Collection
from pathlib import Path

from etl_assets.core.documents import Document
from etl_assets.core.errors import DocumentError, RegistryError
from etl_assets.core.registry import Registry, parse_campaigns, parse_entries
from etl_assets.core.rules.rule_set import RuleSet
from etl_assets.core.rules.versions import RuleVersion, read_rules
from etl_assets.systems.protocols import Check
from etl_assets.systems.registry_files_rules import RuleFiles
from etl_assets.systems.registry_folder import names_in, text_of


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
        self._rules = RuleFiles(folder, datasets)

    def read(self, revision: int | None = None) -> Registry:
        """Return everything; see `RegistryStore.read`. Files have no revisions."""
        del revision
        campaigns, problems = parse_campaigns(self._document("campaigns.yaml"), self._datasets)
        keys = {*campaigns, *problems}
        calendar = "calendar.yaml" in names_in(self.folder)
        entries = parse_entries(self._document("calendar.yaml"), keys) if calendar else {}
        return Registry(campaigns, entries, self._rule_sets(), problems)

    def rule_texts(self) -> dict[str, str]:
        """Return the text of each rule set that counts, by dataset; errors as `read`."""
        return {dataset: text for dataset, (_, text) in self._rules.texts().items()}

    def rule_versions(self, dataset: str) -> list[RuleVersion]:
        """Return every version of a dataset's rules; see `RegistryStore.rule_versions`."""
        return self._rules.versions(dataset)

    def publish_rules(
        self, dataset: str, text: str, *, over: int, by: str, at: dt.datetime, comment: str
    ) -> RuleVersion:
        """Publish a version of a dataset's rules; see `RegistryStore.publish_rules`."""
        return self._rules.publish(dataset, text, over=over, by=by, at=at, comment=comment)

    def _rule_sets(self) -> dict[str, RuleSet]:
        texts = self._rules.texts()
        return {dataset: read_rules(text, name) for dataset, (name, text) in texts.items()}

    def _document(self, name: str) -> Document:
        return Document(text_of(self.folder / name), name)

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
