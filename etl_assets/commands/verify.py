"""`etl-assets verify`: the proof of every slice, taken again."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from etl_assets.core.errors import PermanentError
from etl_assets.core.rules.expressions import nearest
from etl_assets.display.stores import err, out, say
from etl_assets.display.tables import print_json
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from etl_assets.verify import Verified


@click.command()
@click.option("--key", help="Only this campaign.")
@click.option("--dataset", "name", help="Only this dataset.")
@click.option("--source", "at_source", is_flag=True, help="Compare the source, as it is now, too.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def verify(*, key: str | None, name: str | None, at_source: bool, json_: bool) -> None:
    """Prove again that every slice is what its load committed, and its parts are kept whole.

    A source that has changed since is shown, and is no fault. The exit code is 1 when a slice,
    or what is kept of its load, was changed.
    """
    from etl_assets.verify import verify as verified

    settings = Settings.from_environment()
    if name is not None and name not in settings.datasets:
        raise PermanentError(
            f"There is no dataset `{name}`{nearest(name, settings.datasets)}.", "Correct --dataset."
        )
    datasets = {n: d for n, d in settings.datasets.items() if name in (None, n)}
    found: list[Verified] = []
    with err.status("Verifying …") as status:
        for one in verified(
            datasets, settings.open_warehouse(), settings.open_staging(),
            key=key, source=settings.open_source() if at_source else None,
        ):  # fmt: skip
            found.append(one)
            status.update(f"Verifying … {len(found)} slices")
    if key is not None and not found:
        raise PermanentError(f"No table has a slice of campaign {key}.", "Correct --key.")
    if json_:
        print_json(out, [asdict(one) for one in found])
    else:
        for one in found:
            say(_line(one))
    if any(one.faults for one in found):
        sys.exit(1)


def _line(one: "Verified") -> str:
    what = "differs" if one.faults else "equal"
    said = " ".join([*one.faults, *one.notes])
    return f"{one.dataset} {one.key}: {what}, {one.records:,} records. {said}".rstrip()
