"""What a MySQL driver's error means: looked up by its code, as a sentence without secrets.

The driver's own text may hold hosts, statements and values, so it is shown only for codes
where it names nothing but tables and columns.
"""

import contextlib
import ssl
from collections.abc import Iterator

import pymysql

from etl_assets.core.errors import EtlError, SourceError, TransientError
from etl_assets.core.failure_classes import meaning_of


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the driver's errors into ours; nothing of the statement or the URL is in them.

    Args:
        what: Begins the sentence, such as "The query of sales failed for campaign SP17".
    """
    try:
        yield
    except pymysql.err.Error as error:
        raise _translate(what, error) from None  # the driver's text may hold what we do not show


def _translate(what: str, error: pymysql.err.Error) -> EtlError:
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "verify_message", "") or cause.reason or "TLS failed"
        return SourceError(
            f"{what}: the server's certificate could not be verified ({reason}).",
            "Add `?ssl_ca=PATH` with the certificates that sign it (for RDS: global-bundle.pem).",
        )
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    if code is None:
        return SourceError(
            f"{what}: the driver refused it ({type(error).__name__}).",
            "Correct the dataset's query.",
        )
    meaning = meaning_of("MySQL", code)
    if meaning is None:
        return SourceError(
            f"{what}: the server refused it with error {code}.",
            "Look the number up in MySQL's error reference; the query can be tried by hand.",
        )
    reason = meaning.reason or str(error.args[-1])
    kind = TransientError if meaning.transient else SourceError
    return kind(f"{what}: {reason} (MySQL error {code}).", meaning.remedy)
