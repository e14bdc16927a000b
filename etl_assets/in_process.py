"""Jobs run in this process, for the command line: signals kept, errors and progress told."""

import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import dagster as dg

Progress = Callable[[str], None]
LOGGER = "progress"
"""The name of the run logger that the command line adds."""


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end when Ctrl-C or SIGTERM arrived within.

    Dagster makes a failed run of such a signal and goes on, or loses it between two steps.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
        with contextlib.suppress(BlockingIOError):
            if {signal.SIGINT, signal.SIGTERM} & set(reader.recv(4096)):
                raise KeyboardInterrupt


def step_errors(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return, by step, why it failed: our sentence, or the exception's first line."""
    found: dict[str, str] = {}
    for event in result.filter_events(lambda e: e.is_step_failure):
        data = event.step_failure_data
        described = data.user_failure_data.description if data.user_failure_data else None
        message = described or (data.error.to_string() if data.error else "")
        found[event.step_key or ""] = message or "It failed; see the run in the UI."
    return found


def progress_logger(progress: Progress) -> dg.LoggerDefinition:
    """Return a run logger that tells `progress` what the assets log, and prints nothing."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            meta = getattr(record, "dagster_meta", {})
            if record.levelno >= logging.INFO and meta.get("dagster_event") is None:
                progress(str(meta.get("orig_message", record.getMessage())))

    @dg.logger
    def told(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("etl_assets.progress", level=logging.INFO)  # noqa: LOG001  (one per run)
        logger.addHandler(Handler())
        return logger

    return told
