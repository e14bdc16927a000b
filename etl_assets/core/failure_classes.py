"""What the codes of drivers and of AWS mean: one table, and whether trying again may help.

A code that is not in the table is permanent: nothing is tried again blindly. Losing the
connection is the exception, whatever code it comes with: drivers give it a class of its own.
`docs/failures.md` shows the table, and a test keeps the two equal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

System = Literal["MySQL", "Redshift", "Redshift connection", "AWS", "SQLite", "DuckDB"]
Cause = Literal["lost", "busy", "conflict", "stopped", "damaged", "refused"]


@dataclass(frozen=True)
class Meaning:
    """What some codes of a system mean.

    Attributes:
        system: Whose codes they are.
        codes: Numbers, SQLSTATEs, names, or pieces of a message where there is no code.
        cause: `refused` is permanent; every other cause is transient, since nothing was changed
            and the same may work a moment later.
        reason: A clause for people; empty where the system's own text says it better and names
            nothing that is secret.
        remedy: The next action; empty where the caller knows a better one.
    """

    system: System
    codes: tuple[str, ...]
    cause: Cause
    reason: str
    remedy: str = ""

    @property
    def transient(self) -> bool:
        """Whether trying again without a change is safe and may help."""
        return self.cause != "refused"


_AGAIN = "Try again."
_QUERY = "Correct the dataset's query."
_LOGIN = "Check user and ETL_ASSETS_SOURCE_PASSWORD, or the secret or IAM role."
_GRANT = "Grant the user SELECT on the tables of the dataset's query."
_LIMIT = "Raise the server's time limit for this user, or make the query faster."
_CREDENTIALS = "Renew or correct the AWS credentials this process runs with."
_REGION = "Write the right `?region=…` at the end of the URL."
_PERMISSION = "Allow it in the policy of the role this process runs with (`etl-assets doctor`)."


def _row(system: System, codes: str, cause: Cause, reason: str, remedy: str = "") -> Meaning:
    return Meaning(system, tuple(codes.split()), cause, reason, remedy)


_MYSQL = (
    _row("MySQL", "0 1158 1159 1160 1161 2006 2013 2014 2055 4031", "lost",
         "the connection was lost", _AGAIN),
    _row("MySQL", "2002 2003 2005", "lost",
         "the server cannot be reached", "Check host, port and network."),
    _row("MySQL", "1053", "lost", "the server is shutting down", _AGAIN),
    _row("MySQL", "1040 1203 1226", "busy",
         "the server takes no more connections", "Try again later."),
    _row("MySQL", "1205", "busy", "it waited too long for a lock", _AGAIN),
    _row("MySQL", "1213", "conflict", "the server ended it because of a deadlock", _AGAIN),
    _row("MySQL", "1317", "stopped", "somebody ended it", _AGAIN),
    _row("MySQL", "1927", "stopped", "somebody ended the connection", _AGAIN),
    _row("MySQL", "1969 3024", "stopped", "the server stopped it after its time limit", _LIMIT),
    _row("MySQL", "2026", "refused", "the server offers no TLS",
         "Turn TLS on at the server; others are only read on loopback."),
    _row("MySQL", "1045 1698", "refused", "the server refused the login", _LOGIN),
    _row("MySQL", "1044", "refused", "the user may not use the database", _GRANT),
    _row("MySQL", "1049", "refused", "there is no such database",
         "Correct the database in ETL_ASSETS_SOURCE."),
    _row("MySQL", "1130", "refused", "the server takes no connections from here",
         "Allow this host at the server."),
    _row("MySQL", "1142", "refused", "the user may not read one of its tables", _GRANT),
    _row("MySQL", "1143", "refused", "the user may not read one of its columns", _GRANT),
    _row("MySQL", "1370", "refused", "the user may not run one of its functions",
         "Grant the user EXECUTE on it."),
    _row("MySQL", "1064", "refused", "the server cannot parse it", _QUERY),
    _row("MySQL", "1052 1054 1060 1146 1247 1305", "refused", "", _QUERY),
    _row("MySQL", "1690", "refused", "a number in it is out of range",
         "Cast the operands in the dataset's query."),
    _row("MySQL", "1153", "refused", "it is longer than max_allowed_packet",
         "Raise it at the server."),
)  # fmt: skip

_REDSHIFT = (
    _row("Redshift", "08000 08001 08003 08004 08006 57P01 57P02 57P03", "lost",
         "the connection was lost, or the cluster is restarting", _AGAIN),
    _row("Redshift", "XX000/1023 XX000/1018 40001", "conflict",
         "another transaction wrote to the same table first",
         "Try again when fewer sessions write to the table."),
    _row("Redshift", "40P01", "conflict", "the server ended it because of a deadlock",
         "Try again when fewer sessions write to the table."),
    _row("Redshift", "57014", "stopped", "it waited too long or was cancelled",
         "See in SVV_TRANSACTIONS who holds the lock, then try again."),
    _row("Redshift", "53300", "busy", "the cluster takes no more connections", _AGAIN),
    _row("Redshift", "XX000", "refused", "every other internal error: the message says which"),
    _row("Redshift", "42501", "refused", "the user may not do it"),
    _row("Redshift", "42P01 42703", "refused", "there is no such table or column"),
    _row("Redshift", "53100", "refused", "the disk is full"),
    Meaning("Redshift connection",
            ("SSL SYSCALL error", "SSL connection has been closed", "closed the connection"),
            "lost", "the connection was lost while it was made", _AGAIN),
    Meaning("Redshift connection",
            ("too many", "connection limit", "starting up", "shutting down", "recovery"), "busy",
            "takes no connection at the moment", _AGAIN),
    Meaning("Redshift connection", ("certificate", "SSL", "TLS"), "refused",
            "cannot be trusted", "Correct the host, or name the authority's file with"
            " sslrootcert= (sslmode is {sslmode})."),
    Meaning("Redshift connection", ("password", "FATAL:"), "refused",
            "refused the login of {user}", "Check user, database and"
            " ETL_ASSETS_WAREHOUSE_PASSWORD, or the secret or role of the URL."),
)  # fmt: skip

_AWS = (
    _row("AWS", "EndpointConnectionError ConnectionError ConnectTimeoutError ReadTimeoutError"
         " ConnectionClosedError ProxyConnectionError HTTPClientError IncompleteReadError"
         " ResponseStreamingError", "lost", "the connection was lost, or never made"),
    _row("AWS", "5xx InternalError InternalFailure InternalServerError ServiceUnavailable"
         " ServiceUnavailableException RequestTimeout RequestTimeoutException IDPCommunicationError",
         "busy", "the service had a fault of its own"),
    _row("AWS", "SlowDown Throttling ThrottlingException ThrottlingError ThrottledException"
         " RequestThrottledException RequestLimitExceeded TooManyRequestsException"
         " ProvisionedThroughputExceededException ProvisionedThroughputExceeded"
         " BandwidthLimitExceeded"
         " PriorRequestNotComplete", "busy", "too many requests at once"),
    _row("AWS", "ConditionalRequestConflict OperationAborted TransactionConflictException"
         " TransactionInProgressException TransactionConflict", "conflict",
         "another request wrote to the same object or item"),
    _row("AWS", "BadDigest XAmzContentSHA256Mismatch IncompleteBody", "damaged",
         "the bytes that arrived are not those that were sent"),
    _row("AWS", "AccessDenied AccessDeniedException 403", "refused",
         "the role may not do it", _PERMISSION),
    _row("AWS", "InvalidAccessKeyId SignatureDoesNotMatch InvalidSignatureException"
         " UnrecognizedClientException ExpiredToken ExpiredTokenException InvalidToken"
         " NoCredentialsError PartialCredentialsError CredentialRetrievalError"
         " TokenRetrievalError SSOTokenLoadError UnauthorizedSSOTokenError", "refused",
         "there are no credentials, or they are wrong or too old", _CREDENTIALS),
    _row("AWS", "RequestTimeTooSkewed", "refused",
         "this machine's clock is wrong", "Set this machine's clock right."),
    _row("AWS", "PermanentRedirect AuthorizationHeaderMalformed 301", "refused",
         "it is in another region", _REGION),
    _row("AWS", "NoRegionError", "refused", "no region is known", _REGION),
    _row("AWS", "SSLError", "refused", "the server cannot be trusted",
         "Check `endpoint_url`, and the CA bundle in AWS_CA_BUNDLE."),
    _row("AWS", "NoSuchBucket NoSuchKey 404 ResourceNotFoundException ClusterNotFound",
         "refused", "it is not there"),
    _row("AWS", "PreconditionFailed 412 ConditionalCheckFailedException", "refused",
         "somebody else wrote it first: it is decided anew, not sent again"),
    _row("AWS", "ValidationException", "refused", "the request is not valid"),
)  # fmt: skip

_EMBEDDED = (
    _row("SQLite", "5 6", "busy", "the source is locked", _AGAIN),
    _row("SQLite", "17", "conflict", "the source's tables were changed meanwhile", _AGAIN),
    _row("SQLite", "1", "refused", "", _QUERY),
    _row("SQLite", "10 11 26", "refused", "the file is damaged or cannot be read",
         "Check the file and its disk."),
    _row("SQLite", "13", "refused", "the disk is full", "Make space on the disk."),
    _row("SQLite", "14", "refused", "the file cannot be opened", "Check the file and its folder."),
    Meaning("DuckDB", ("Could not set lock on file", "is already attached by database"), "busy",
            "another process, or another thread of this one, has the file",
            "Close what uses it, then try again; the table is as it was."),
    Meaning("DuckDB", ("No space left on device",), "refused", "the disk is full",
            "Make space on the disk."),
)  # fmt: skip

TABLE: tuple[Meaning, ...] = (*_MYSQL, *_REDSHIFT, *_AWS, *_EMBEDDED)
"""The table. Nothing else in the package decides by a code whether trying again may help."""

_BY_CODE = {(row.system, code): row for row in TABLE for code in row.codes}


def meaning_of(system: System, *codes: object) -> Meaning | None:
    """Return what the first of the codes that is in the table means; None when none is.

    Args:
        system: Whose codes they are.
        codes: The most exact first.
    """
    for code in codes:
        if found := _BY_CODE.get((system, str(code))):
            return found
    return None


def meaning_in(system: System, message: str) -> Meaning | None:
    """Return what a message means that holds a piece of the table; None when it holds none."""
    rows: Iterable[Meaning] = (row for row in TABLE if row.system == system)
    return next((row for row in rows if any(code in message for code in row.codes)), None)
