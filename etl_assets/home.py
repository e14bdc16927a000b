"""Dagster's home below ETL_ASSETS_HOME: made when absent, opened, and locked for a refresh."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.instance.ref import InstanceRef

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.partitions import IN_FLIGHT
from etl_assets.run_tags import TRIGGER_TAG
from etl_assets.settings import Settings

TEMPLATE = Path(__file__).parent / "dagster.yaml"
WORKSPACE = """\
load_from:
  - python_module: {module_name: etl_assets.definitions, location_name: etl_assets}
"""
"""What the UI and the daemon load: as workspace.yaml in the repository, wherever we are."""

REPOSITORY_TAGS = {".dagster/repository": "__repository__@etl_assets"}
"""What Dagster gives runs of a loaded repository; by it the UI finds the runs of a job."""

COMMAND_LINE_TAG = "etl_assets/command_line"
"""Marks runs that live in a process of the command line, not in one the daemon launched."""

COMMAND_LINE_TAGS = {**REPOSITORY_TAGS, COMMAND_LINE_TAG: "true", TRIGGER_TAG: "command line"}
"""What every run of the command line has."""

# The command line draws on the terminal itself; Dagster must not redirect it per step.
_NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def prepare_home(settings: Settings) -> Path:
    """Make Dagster's home, with the configuration of the template, unless it is there.

    Raises:
        PermanentError: When the folder cannot be written.
    """
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists():
            config.write_text(TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
        if not os.access(home, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise PermanentError(
            f"The folder {home} cannot be written ({error.strerror}).",
            "Give this user write access and space there, or set ETL_ASSETS_HOME to another folder.",
        ) from error
    return home


@contextlib.contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance that the UI and the daemon use, too.

    Raises:
        PermanentError: When its files cannot be read or written, also later.
    """
    home = prepare_home(settings)
    reference = InstanceRef.from_dir(str(home), overrides=_NO_CAPTURE)
    try:
        with dg.DagsterInstance.from_ref(reference) as instance:
            yield instance
    except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
        cause = error.orig if isinstance(error, sa.exc.OperationalError) else error
        raise PermanentError(
            f"Dagster's own files in {home} failed: {cause}; the tables are as the last committed"
            " load left them.",
            "Check that the disk has space and the folder can be written, then try again.",
        ) from error


@contextlib.contextmanager
def refresh_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock that one refresh of the command line holds at a time.

    The operating system releases it when the process ends, however it ends.

    Raises:
        TransientError: When another refresh holds it.
    """
    path = prepare_home(settings).parent / "refresh.lock"
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise TransientError(
                f"Another refresh is running from the command line (process {holder}).",
                "Wait until it has ended, or stop it with Ctrl-C where it runs.",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of killed command-line processes as failed; return their ids.

    Called by the holder of the refresh lock: every such run still in flight has lost its
    process, and would block its key and its pool slots for ever.
    """
    filters = dg.RunsFilter(statuses=IN_FLIGHT, tags={COMMAND_LINE_TAG: "true"})
    dead = list(instance.get_runs(filters))
    for run in dead:
        instance.report_run_failed(
            run,
            "The process of this run was killed; the table is as its last committed load left it.",
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]
