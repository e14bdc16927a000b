"""Removing too much loses data for good; removing too little only costs storage."""

import datetime as dt
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from etl_assets.core.keep import Keep
from etl_assets.core.manifest import Load
from etl_assets.core.retention import Folder, StoredObject, folders_of, select_removals

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def made(path: str, days: float, *names: str) -> list[StoredObject]:
    """Return the objects of a folder written so many days ago."""
    at = NOW - dt.timedelta(days=days)
    return [StoredObject(f"{path}/{name}", 10, at) for name in names or ("part", "manifest.json")]


def load(stage: str | None, extract: str | None, *, key: str = "SP17", kind: str = "load") -> Load:
    return Load(
        load_id=stage or "prune", kind=kind, dataset="sales", table="sales", campaign_key=key,
        records=1, replaced_records=0, source_records=1, filtered=0, rejected=0, rule_version=1,
        rules_digest="", inputs_digest="", extract_id=extract,
        stage=f"stage/sales/{key}/{stage}/manifest.json" if stage else None,
        run_id=None, proof="", started_at=NOW, committed_at=NOW,
    )  # fmt: skip


def removed(
    objects: list[StoredObject],
    loads: Sequence[Load],
    *,
    extract_of: dict[str, str] | None = None,
    keep_loads: int = 1,
    keep_days: int = 7,
) -> dict[str, str]:
    """Return why each folder would be removed."""
    known = extract_of or {}
    found = select_removals(
        folders_of(objects), loads, lambda stage: known.get(stage.id),
        moment=NOW, keep=lambda _: Keep(loads=keep_loads, days=keep_days),
    )  # fmt: skip
    return {removal.folder.path: removal.reason for removal in found}


def stage(id_: str, days: float, key: str = "SP17") -> list[StoredObject]:
    return made(f"stage/sales/{key}/{id_}", days)


def extract(id_: str, days: float, key: str = "SP17") -> list[StoredObject]:
    return made(f"extract/sales/{key}/{id_}", days)


def test_what_no_kept_load_needs_is_removed_with_its_extract() -> None:
    objects = [
        *extract("e1", 90), *extract("e2", 60), *extract("e3", 50),
        *stage("s1", 90), *stage("s2", 60), *stage("s3", 50),
    ]  # fmt: skip
    loads = [load("s3", "e3"), load("s2", "e2"), load("s1", "e1")]
    assert list(removed(objects, loads, extract_of={"s3": "e3"})) == [
        "extract/sales/SP17/e1", "extract/sales/SP17/e2",
        "stage/sales/SP17/s1", "stage/sales/SP17/s2",
    ]  # fmt: skip
    known = {"s3": "e3", "s2": "e2"}
    kept_two = removed(objects, loads, extract_of=known, keep_loads=2)
    assert list(kept_two) == ["extract/sales/SP17/e1", "stage/sales/SP17/s1"]


def test_the_current_load_is_kept_however_old_and_however_many_newer_stages_there_are() -> None:
    objects = [*extract("e1", 900), *stage("s1", 900), *extract("e9", 90), *stage("s9", 90)]
    assert removed(objects, [load("s1", "e1")], extract_of={"s1": "e1", "s9": "e9"}) == {}


def test_the_newest_stage_and_extract_are_kept_also_when_nothing_loaded_them() -> None:
    """The next refresh refers to them when it finds nothing changed."""
    objects = [*extract("e1", 90), *extract("e2", 80), *stage("s1", 90), *stage("s2", 80)]
    pruned = [load(None, None, kind="prune"), load("s1", "e1")]
    assert removed(objects, pruned, extract_of={"s1": "e1", "s2": "e2"}) == {}
    unused = [*extract("e0", 95), *objects, *extract("e3", 70)]
    assert list(removed(unused, pruned, extract_of={"s1": "e1", "s2": "e2"})) == [
        "extract/sales/SP17/e0"
    ]
    more = [*objects, *stage("s3", 70), *extract("e3", 70)]
    kept = removed(more, pruned, extract_of={"s1": "e1", "s3": "e3"})
    assert set(kept) == {"stage/sales/SP17/s2", "extract/sales/SP17/e2"}


def test_an_old_extract_stays_as_long_as_a_kept_stage_was_made_from_it() -> None:
    objects = [*extract("e1", 900), *extract("e2", 800), *stage("s1", 2), *stage("s2", 50)]
    loads = [load("s2", "e2")]
    assert removed(objects, loads, extract_of={"s1": "e1", "s2": "e2"}) == {}
    without = [item for item in objects if "/s1/" not in item.path]
    assert list(removed(without, loads, extract_of={"s2": "e2"})) == ["extract/sales/SP17/e1"]


def test_all_extracts_stay_when_it_is_not_known_which_a_kept_stage_was_made_from() -> None:
    objects = [*extract("e1", 90), *extract("e2", 80), *stage("s1", 90), *stage("s2", 80)]
    assert list(removed(objects, [load("s2", "e2")])) == ["stage/sales/SP17/s1"]


def test_a_key_the_ledger_knows_nothing_of_is_left_alone() -> None:
    """An empty ledger is that of the wrong warehouse more often than not."""
    objects = [*extract("e1", 90), *extract("e2", 90), *stage("s1", 90), *stage("s2", 90)]
    assert removed(objects, []) == {}
    assert removed(objects, [load("s1", "e1", key="SU17")]) == {}


def test_parts_without_a_manifest_go_after_a_day_unless_a_load_needs_them() -> None:
    objects = [
        *made("stage/sales/SP17/s1", 0.9, "part"), *made("stage/sales/SP17/s2", 1.1, "part"),
        *made("extract/sales/NEW/e1", 1.1, "part"), *made("stage/sales/SP17/s3", 90, "part"),
    ]  # fmt: skip
    assert removed(objects, [load("s3", "e3")]) == {
        "extract/sales/NEW/e1": "never finished",
        "stage/sales/SP17/s2": "never finished",
    }


def test_one_young_object_keeps_its_folder() -> None:
    objects = [
        *made("stage/sales/SP17/s1", 5, "part-0"), *made("stage/sales/SP17/s1", 0.1, "part-1")
    ]  # fmt: skip
    assert removed(objects, []) == {}


def test_what_does_not_lie_where_the_platform_writes_is_left_alone() -> None:
    paths = ("manifest.json", "stage/x", "stage/a/b/c", "stage/a/b/c/d/e", "other/a/b/c/part")
    objects = [StoredObject(path, 1, NOW - dt.timedelta(days=900)) for path in paths]
    assert folders_of(objects) == []


def test_the_manifest_is_the_first_to_go() -> None:
    (folder,) = folders_of(made("stage/a/b/c", 1, "a", "manifest.json", "z"))
    names = [item.path.rpartition("/")[2] for item in folder.objects]
    assert names == ["manifest.json", "a", "z"]
    assert (folder.bytes, folder.complete) == (30, True)


def test_rollbacks_count_as_loads_and_what_they_put_back_stays() -> None:
    objects = [
        *extract("e1", 900), *extract("e2", 90), *extract("e3", 80),
        *stage("s1", 900), *stage("s2", 90), *stage("s3", 80),
    ]  # fmt: skip
    rolled_back = load("s1", "e1", kind="rollback")
    loads = [rolled_back, load("s3", "e3"), load("s2", "e2"), load("s1", "e1")]
    known = {"s1": "e1", "s3": "e3"}
    assert list(removed(objects, loads, extract_of=known, keep_loads=2)) == [
        "extract/sales/SP17/e2", "stage/sales/SP17/s2",
    ]  # fmt: skip
    held = [load(None, None, kind="hold"), *loads]  # by a person: the slice stays what it is
    assert "stage/sales/SP17/s1" not in removed(objects, held, extract_of=known)


def test_what_waits_for_approval_stays_until_it_is_decided_on() -> None:
    objects = [
        *extract("e1", 90), *extract("e2", 80), *extract("e3", 70),
        *stage("s1", 90), *stage("s2", 80), *stage("s3", 70),
    ]  # fmt: skip
    waiting, known = load("s2", "e2", kind="hold"), {"s1": "e1", "s2": "e2", "s3": "e3"}
    assert removed(objects, [waiting, load("s1", "e1")], extract_of=known) == {}
    refused = waiting.model_copy(update={"kind": "release", "stage": None, "undoes": "x"})
    assert list(removed(objects, [refused, waiting, load("s1", "e1")], extract_of=known)) == [
        "extract/sales/SP17/e2", "stage/sales/SP17/s2",
    ]  # fmt: skip


KEYS = ("A", "B")
IDS = ("1", "2", "3", "4", "5")
FOLDERS = st.dictionaries(
    st.tuples(st.sampled_from(("extract", "stage")), st.sampled_from(KEYS), st.sampled_from(IDS)),
    st.tuples(st.floats(0, 60), st.booleans()),
    max_size=20,
)
LOADS = st.lists(
    st.tuples(
        st.sampled_from(KEYS), st.sampled_from(("load", "load", "rollback", "prune")),
        st.sampled_from(IDS), st.sampled_from(IDS),
    ),
    max_size=8,
)  # fmt: skip


def build(
    written: dict[tuple[str, str, str], tuple[float, bool]],
    rows: list[tuple[str, str, str, str]],
) -> tuple[list[Folder], list[Load]]:
    objects = []
    for (kind, key, id_), (days, complete) in written.items():
        names = ("part", "manifest.json") if complete else ("part",)
        objects += made(f"{kind}/sales/{key}/{id_}", days, *names)
    loads = [
        load(None, None, key=key, kind=kind) if kind == "prune" else load(s, e, key=key, kind=kind)
        for key, kind, s, e in rows
    ]
    return folders_of(objects), loads


def test_what_an_unload_left_goes_after_a_day() -> None:
    paths = {n: f"unload/reads/all/{n}/000.parquet" for n in ("old", "young")}
    objects = [
        StoredObject(paths["old"], 1, NOW - dt.timedelta(days=2)),
        StoredObject(paths["young"], 1, NOW - dt.timedelta(hours=1)),
    ]
    removals = select_removals(
        folders_of(objects), [], lambda _: None, moment=NOW, keep=lambda _: Keep()
    )
    assert [removal.folder.id for removal in removals] == ["old"]


@given(FOLDERS, LOADS, st.dictionaries(st.sampled_from(IDS), st.sampled_from(IDS)),
       st.integers(1, 4), st.integers(1, 40))  # fmt: skip
def test_whatever_is_there_what_is_needed_stays(
    written: dict[tuple[str, str, str], tuple[float, bool]],
    rows: list[tuple[str, str, str, str]],
    extract_of: dict[str, str],
    keep_loads: int,
    keep_days: int,
) -> None:
    folders, loads = build(written, rows)

    def select(keep_loads: int, keep_days: int) -> set[str]:
        return {
            removal.folder.path
            for removal in select_removals(
                folders, loads, lambda folder: extract_of.get(folder.id),
                moment=NOW, keep=lambda _: Keep(loads=keep_loads, days=keep_days),
            )
        }  # fmt: skip

    gone = select(keep_loads, keep_days)
    stays = {folder.path for folder in folders} - gone
    for folder in folders:
        if folder.modified > NOW - dt.timedelta(days=1):
            assert folder.path in stays, "younger than a day"
        if folder.complete and folder.modified > NOW - dt.timedelta(days=keep_days):
            assert folder.path in stays, "younger than asked for"
        if folder.complete and not any(row.campaign_key == folder.key for row in loads):
            assert folder.path in stays, "not in the ledger"
    for key in KEYS:
        mine = [row for row in loads if row.campaign_key == key and row.is_load]
        for row in mine[:keep_loads]:
            assert str(row.stage).removesuffix("/manifest.json") not in gone, "a kept load"
            assert f"extract/sales/{key}/{row.extract_id}" not in gone, "its extract"
    for path in stays:
        kind, _, key, id_ = path.split("/")
        complete = any(f.path == path and f.complete for f in folders)
        if kind == "stage" and complete and id_ in extract_of:
            assert f"extract/sales/{key}/{extract_of[id_]}" not in gone, "its stage stays"
    assert select(keep_loads + 1, keep_days) <= gone, "keeping more removes no more"
    assert select(keep_loads, keep_days + 1) <= gone, "keeping longer removes no more"
