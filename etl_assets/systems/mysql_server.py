"""How a MySQL server is reached: options of the URL, TLS, credentials, and the session.

A session is pinned, so that one query has one result wherever it runs: time zone, character
set, SQL mode and isolation are set, and then asked for, since a proxy may drop what is set.
"""

import contextlib
import ipaddress
import json
import ssl
from collections.abc import Iterator
from typing import Any

import pymysql
import pymysql.converters
import sqlalchemy as sa

from etl_assets.core.errors import PermanentError, SourceError, TransientError
from etl_assets.systems.aws import is_transient
from etl_assets.systems.mysql_errors import explained

OPTIONS = (
    "ssl_ca", "secret_id", "iam_auth", "region",
    "connect_timeout", "read_timeout", "net_write_timeout", "charset",
)  # fmt: skip
"""What may follow the `?` of the URL."""

_SESSION = {
    # What sqlglot, which fences the queries, takes for granted: backslash escapes in literals,
    # "…" is text, || is OR. And neither NO_ZERO_DATE nor PAD_CHAR_TO_FULL_LENGTH, which change
    # what a cell shows.
    "sql_mode": "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    "time_zone": "+00:00",
    "group_concat_max_len": 1 << 30,  # by default GROUP_CONCAT is cut at 1,024 without an error
}
_UTF8 = ("character_set_client", "character_set_connection", "character_set_results")

_CONNECT_SECONDS = 10
_READ_SECONDS = 900  # a server that went away without a word
_NET_WRITE_SECONDS = 60  # the server ends a stream that nobody reads


class MysqlServer:
    """A server, how to log in to it, and how long to wait for it."""

    def __init__(
        self, url: sa.URL, password: str = "", *, variable: str = "ETL_ASSETS_SOURCE"
    ) -> None:
        """Check the URL; nothing is connected yet.

        Args:
            url: Of the server.
            password: Of its user.
            variable: The setting that has the URL, for errors.

        Raises:
            PermanentError: When an option is not known or has no such value.
        """
        options = {name: str(value) for name, value in url.query.items()}
        _check_options(url, options, variable)
        self._variable = variable
        self.host = url.host or "127.0.0.1"
        self.port = url.port or 3306
        self.database = url.database
        self._user = url.username or ""
        self._password = password
        self._options = options
        self.region = options.get("region")
        self.net_write_seconds = _seconds(
            options, "net_write_timeout", _NET_WRITE_SECONDS, variable
        )
        self._connect_seconds = _seconds(options, "connect_timeout", _CONNECT_SECONDS, variable)
        self._read_seconds = _seconds(options, "read_timeout", _READ_SECONDS, variable)
        self.verifies_tls = "ssl_ca" in options or not _is_loopback(self.host)
        if self._uses_iam and not self.verifies_tls:
            raise PermanentError(
                f"{variable} asks for an IAM token without TLS, which would show the token.",
                "Add `&ssl_ca=PATH`.",
            )

    @contextlib.contextmanager
    def session(self) -> "Iterator[pymysql.Connection[Any]]":
        """Open a pinned session that gives bytes; it is cut, not drained, at the end."""
        encoders = {
            k: v for k, v in pymysql.converters.conversions.items() if not isinstance(k, int)
        }
        # bytes go to the CSV parser as they come
        connection = self._pinned(use_unicode=False, conv=encoders, autocommit=True)
        try:
            yield connection
        finally:
            connection.close()

    def writer(self) -> "pymysql.Connection[Any]":
        """Return a pinned session that takes and gives Python's values, and commits when told."""
        return self._pinned(autocommit=False)

    def _pinned(self, **options: Any) -> "pymysql.Connection[Any]":  # noqa: ANN401
        with explained(f"The source {self.host} could not be opened"):
            connection = self._connect(**options)
        try:
            with explained(f"The session on {self.host} could not be pinned"):
                self._pin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, **options: Any) -> "pymysql.Connection[Any]":  # noqa: ANN401
        user, password = self._credentials()
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=user,
            password=password,
            database=self.database,
            charset="utf8mb4",
            connect_timeout=self._connect_seconds,
            read_timeout=self._read_seconds,
            write_timeout=self._read_seconds,
            ssl=self._tls(),
            **options,
        )

    def _tls(self) -> ssl.SSLContext | None:
        """Return a context that verifies certificate and host name; None on loopback."""
        if not self.verifies_tls:
            return None
        path = self._options.get("ssl_ca")
        try:
            context = ssl.create_default_context(cafile=path)
        except OSError as error:
            raise PermanentError(
                f"The certificates {path} cannot be read: {error.strerror or error}.",
                f"Correct `ssl_ca` in {self._variable}; it is a file in PEM form.",
            ) from None
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # RDS's own certificates do not pass it
        return context

    def _credentials(self) -> tuple[str, str]:
        if "secret_id" in self._options:
            return self._secret(self._options["secret_id"])
        if self._uses_iam:
            with _aws_explained("The IAM token for the source"):
                token = _aws_client("rds", self.region).generate_db_auth_token(
                    DBHostname=self.host, Port=self.port, DBUsername=self._user
                )
            return self._user, str(token)
        return self._user, self._password

    def _secret(self, secret_id: str) -> tuple[str, str]:
        with _aws_explained(f"The secret {secret_id} of the source"):
            answer = _aws_client("secretsmanager", self.region).get_secret_value(SecretId=secret_id)
        text = answer.get("SecretString", "")
        try:
            content = json.loads(text)
        except ValueError:
            content = {"password": text}
        password = content.get("password") if isinstance(content, dict) else None
        if not isinstance(password, str) or not password:
            raise SourceError(
                f"The secret {secret_id} of the source holds no `password`.",
                'Store {"username": …, "password": …}, or the password alone.',
            )
        return self._user or str(content.get("username", "")), password

    @property
    def _uses_iam(self) -> bool:
        return self._options.get("iam_auth", "false") == "true"

    def _pin(self, connection: "pymysql.Connection[Any]") -> None:
        wanted = _SESSION | {"net_write_timeout": self.net_write_seconds}
        names = [*wanted, *_UTF8]
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            for name, value in wanted.items():
                cursor.execute(f"SET SESSION {name} = %s", (value,))
            cursor.execute("SELECT " + ", ".join(f"@@SESSION.{name}" for name in names))
            row = cursor.fetchone() or ()
        found = dict(zip(names, map(_text, row), strict=True))
        expected = {name: str(value) for name, value in wanted.items()}
        expected |= dict.fromkeys(_UTF8, "utf8mb4")
        for name, value in expected.items():
            if _words(found[name]) != _words(value):
                raise SourceError(
                    f"The source's session has {name} = {found[name]!r}, although {value!r} was set.",
                    "Let the server or the proxy before it accept the setting.",
                )


def _check_options(url: sa.URL, options: dict[str, str], variable: str) -> None:
    unknown = sorted(options.keys() - set(OPTIONS))
    if url.get_driver_name() != "pymysql":
        raise PermanentError(
            f"{variable} asks for the driver {url.get_driver_name()}.",
            "Write mysql+pymysql://USER@HOST:PORT/DATABASE.",
        )
    if unknown:
        tls = "; TLS is always verified but on loopback" if unknown[0].startswith("ssl") else ""
        raise PermanentError(
            f"{variable} has the option `{unknown[0]}`, which there is not{tls}.",
            f"Options are {', '.join(OPTIONS[:-1])}.",
        )
    for name, allowed in (("iam_auth", {"true", "false"}), ("charset", {"utf8mb4"})):
        if options.get(name) not in {None, *allowed}:
            raise PermanentError(
                f"{variable} has {name}={options[name]}.",
                f"Write {' or '.join(sorted(allowed))}, or leave it out.",
            )
    if not url.database:
        raise PermanentError(
            f"{variable} names no database.", "Write mysql+pymysql://USER@HOST:PORT/DATABASE."
        )


def _seconds(options: dict[str, str], name: str, default: int, variable: str) -> int:
    text = options.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise PermanentError(f"{variable} has {name}={text}.", "Write whole seconds.")
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _words(value: str) -> set[str]:
    return set(value.split(","))


def _aws_client(service: str, region: str | None) -> Any:  # noqa: ANN401  (boto3 makes its classes)
    import boto3

    client: Any = boto3.client  # typed for literal names only
    return client(service, region_name=region)


@contextlib.contextmanager
def _aws_explained(what: str) -> Iterator[None]:
    """Turn AWS errors into ours: what could not be had, and why."""
    import botocore.exceptions as aws

    try:
        yield
    except aws.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        kind = TransientError if is_transient(error) else SourceError
        raise kind(
            f"{what} could not be had: AWS answers {code}.",
            "Check the name, the region and the permissions of the role.",
        ) from None
    except aws.BotoCoreError as error:
        if is_transient(error):
            raise TransientError(
                f"{what} could not be had: AWS cannot be reached ({type(error).__name__}).",
                "Try again.",
            ) from None
        raise SourceError(
            f"{what} could not be had: {type(error).__name__}.",
            "Check the region (`&region=…`) and the AWS credentials.",
        ) from None
