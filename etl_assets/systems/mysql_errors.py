"""What a MySQL driver's error means: one table by code, and sentences without secrets.

The driver's own text may hold hosts, statements and values, so it is shown only for codes
where it names nothing but tables and columns.
"""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pymysql

from etl_assets.core.errors import EtlError, SourceError, TransientError


@dataclass(frozen=True)
class _Meaning:
    """What a code means.

    Attributes:
        reason: A clause; empty where the driver's own text is shown.
        remedy: The next action.
        transient: Whether trying again may help.
    """

    reason: str
    remedy: str
    transient: bool = False


_CREDENTIALS = "Check user and ETL_ASSETS_SOURCE_PASSWORD, or the secret or IAM role."
_QUERY = "Correct the dataset's query."
_AGAIN = "Try again."
_GRANT = "Grant the user SELECT on the tables of the dataset's query."
_LIMIT = "Raise the server's time limit for this user, or make the query faster."
_LOST = _Meaning("the connection was lost", _AGAIN, transient=True)
_BUSY = _Meaning("the server takes no more connections", "Try again later.", transient=True)
_STOPPED = _Meaning("the server stopped it after its time limit", _LIMIT, transient=True)

_MEANINGS: dict[int, _Meaning] = {
    1040: _BUSY,
    1203: _BUSY,
    1226: _BUSY,
    1053: _Meaning("the server is shutting down", _AGAIN, transient=True),
    1205: _Meaning("it waited too long for a lock", _AGAIN, transient=True),
    1213: _Meaning("the server ended it because of a deadlock", _AGAIN, transient=True),
    1317: _Meaning("somebody ended it", _AGAIN, transient=True),
    1927: _Meaning("somebody ended the connection", _AGAIN, transient=True),
    1969: _STOPPED,
    3024: _STOPPED,
    **dict.fromkeys((0, 1158, 1159, 1160, 1161, 2006, 2013, 2014, 2055, 4031), _LOST),
    **dict.fromkeys(
        (2002, 2003, 2005),
        _Meaning("the server cannot be reached", "Check host, port and network.", transient=True),
    ),
    2026: _Meaning(
        "the server offers no TLS", "Turn TLS on at the server; others are only read on loopback."
    ),
    1044: _Meaning("the user may not use the database", _GRANT),
    1045: _Meaning("the server refused the login", _CREDENTIALS),
    1698: _Meaning("the server refused the login", _CREDENTIALS),
    1049: _Meaning("there is no such database", "Correct the database in ETL_ASSETS_SOURCE."),
    1130: _Meaning("the server takes no connections from here", "Allow this host at the server."),
    1142: _Meaning("the user may not read one of its tables", _GRANT),
    1143: _Meaning("the user may not read one of its columns", _GRANT),
    1370: _Meaning("the user may not run one of its functions", "Grant the user EXECUTE on it."),
    1064: _Meaning("the server cannot parse it", _QUERY),
    **dict.fromkeys((1052, 1054, 1060, 1146, 1247, 1305), _Meaning("", _QUERY)),
    1690: _Meaning("a number in it is out of range", "Cast the operands in the dataset's query."),
    1153: _Meaning("it is longer than max_allowed_packet", "Raise it at the server."),
}
"""The table. A code that is not in it is permanent, and shown as a number."""


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
        return SourceError(f"{what}: the driver refused it ({type(error).__name__}).", _QUERY)
    meaning = _MEANINGS.get(code)
    if meaning is None:
        return SourceError(
            f"{what}: the server refused it with error {code}.",
            "Look the number up in MySQL's error reference; the query can be tried by hand.",
        )
    reason = meaning.reason or str(error.args[-1])
    kind = TransientError if meaning.transient else SourceError
    return kind(f"{what}: {reason} (MySQL error {code}).", meaning.remedy)
