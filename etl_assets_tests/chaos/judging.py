"""What must be true of a platform at every moment, whatever was killed."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from etl_assets.core.manifest import Extract, Load, Stage
from etl_assets.core.retention import Folder, folders_of
from etl_assets.kept import extract_of, stage_of
from etl_assets_tests.chaos.actions import clean
from etl_assets_tests.chaos.backends import Backend, Record

Contents = Mapping[str, list[Record]]
"""Records by key; a key without records is absent."""


def contents(backend: Backend) -> dict[str, list[Record]]:
    """Return what a reader sees, once it is held against the ledger.

    Raises:
        AssertionError: When table and ledger do not agree, or a slice is not of one load that
            was staged whole.
    """
    slices = backend.slices()
    settings = backend.settings()
    staging = settings.open_staging()
    for key, rows in ledger(backend).items():
        current = next((row for row in rows if row.changes_slice), None)
        ids, records = slices.get(key, (set(), []))
        if current is None or not current.records:
            assert not records, f"{key} has records of no load"
            continue
        assert ids == {current.load_id}, f"{key} has records of other loads than its last"
        assert len(records) == current.records, f"{key} has not the records its ledger row says"
        stage = stage_of(current, staging)
        assert stage is not None, f"what {key} was loaded from is gone"
        staging.verify(stage.parts)
    return {key: records for key, (_, records) in slices.items()}


def ledger(backend: Backend) -> dict[str, list[Load]]:
    """Return the rows of each key, newest first, once their order is proven."""
    rows: dict[str, list[Load]] = defaultdict(list)
    for row in backend.settings().open_warehouse().loads():
        rows[row.campaign_key].append(row)
    for mine in rows.values():
        moments = [row.committed_at for row in mine]
        assert len(set(moments)) == len(moments)
        assert moments == sorted(moments, reverse=True)
        # Nothing is lost in between: each row replaced what the one before it left.
        had = 0
        for row in reversed(mine):
            assert not row.changes_slice or row.replaced_records == had, f"{row} replaced others"
            had = row.records
    return rows


def expect(backend: Backend, *allowed: Contents) -> int:
    """Return which of several states the table is in.

    Raises:
        AssertionError: When it is in none.
    """
    found = contents(backend)
    assert found in allowed, f"the table is in none of {len(allowed)} allowed states: {found}"
    return allowed.index(found)


def age_scratch(backend: Backend) -> int:
    """Make what is left in scratch folders old; return how many there are."""
    past = time.time() - 3600
    left = list(backend.scratch.glob("etl_assets-scratch-*" if backend.staging_url else "tmp*"))
    for folder in left:
        os.utime(folder, (past, past))
    return len(left)


def leftovers_go(backend: Backend, *, keep_loads: int = 1) -> int:
    """Clean the store; return how many folders went, once what is left is proven to be needed."""
    removed = clean(backend, keep_loads)
    assert clean(backend, keep_loads) == [], "one cleaning does not do"
    settings = backend.settings()
    staging = settings.open_staging()
    rows = ledger(backend)
    needed: set[str] = set()
    for mine in rows.values():
        for row in _needed(mine, keep_loads):
            stage, extract = stage_of(row, staging), extract_of(row, staging)
            assert stage is not None, f"the stage of {row.load_id} was removed"
            assert isinstance(extract, Extract), f"the extract of {row.load_id} was removed"
            staging.verify([*stage.parts, *extract.parts])
            needed |= {str(row.stage).rpartition("/")[0]}
            needed |= {f"extract/{row.dataset}/{row.campaign_key}/{row.extract_id}"}
    left = folders_of(staging.objects())
    for kind in ("extract", "stage"):
        for key in {folder.key for folder in left}:
            stored = [folder for folder in left if (folder.kind, folder.key) == (kind, key)]
            # The newest whole one is what an unchanged refresh refers to.
            newest = max((f.path for f in stored if f.complete), default="")
            surplus = {f.path for f in stored} - needed - {newest} - _made_from(backend, left)
            assert not surplus or not rows.get(key), f"nothing needs {surplus}"
    return len(removed)


def _needed(rows: Sequence[Load], keep_loads: int) -> list[Load]:
    current = next((row for row in rows if row.changes_slice), None)
    loads = [row for row in rows if row.is_load][:keep_loads]
    return [*loads, *([current] if current and current.is_load else [])]


def _made_from(backend: Backend, left: Sequence[Folder]) -> set[str]:
    """Return the extracts of the newest whole stage of each key."""
    staging = backend.settings().open_staging()
    found = set()
    for folder in left:
        if folder.kind == "stage" and folder.complete:
            stage = Stage.model_validate_json(staging.read_text(f"{folder.path}/sidecar.json"))
            found.add(f"extract/{stage.dataset}/{stage.campaign_key}/{stage.extract_id}")
    return found
