"""Which Redshift a URL means, and a connection to it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg2
import psycopg2.extensions as pg
import sqlalchemy as sa

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.core.failure_classes import meaning_in
from etl_assets.systems.redshift_errors import first_line
from etl_assets.systems.redshift_login import LOGINS, Login, fetch_login

URL_FORM = "redshift://USER@HOST:5439/DATABASE?iam_role=ARN"
_DEFAULT_PORT = 5439
_CONNECT_SECONDS = 30
_KEEPALIVE_SECONDS = 60
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OPTIONS = {"iam_role", "region", "schema", "sslmode", "sslrootcert", *LOGINS}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ROLE = r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+?"
_ROLES = re.compile(rf"default|{_ROLE}(,{_ROLE})*")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_$]{0,126}")


@dataclass(frozen=True)
class RedshiftUrl:
    """What `redshift://user@host:5439/database?iam_role=…` says.

    Attributes:
        iam_role: ARN of the role COPY reads S3 with, or several that are chained, or `default`.
        region: Of the bucket, when it is not the cluster's.
        schema: Where target tables are.
        sslmode: libpq's; TLS with the host's name verified unless the host is this machine.
        sslrootcert: File of the authorities that TLS trusts.
        login: Where the password comes from: its variable (empty), Secrets Manager
            (`secret_id`), GetClusterCredentials (`cluster`), or serverless GetCredentials
            (`workgroup`).
    """

    host: str
    port: int
    database: str
    user: str
    iam_role: str
    region: str | None
    schema: str
    sslmode: str
    sslrootcert: str
    login: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str) -> "RedshiftUrl":
        """Read a URL.

        Raises:
            PermanentError: When something it needs is missing, unknown or malformed.
        """
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):  # never with its text: it may be a secret
            raise _refused("is not a URL") from None
        query = {k: v if isinstance(v, str) else v[-1] for k, v in parsed.query.items()}
        if unknown := sorted(query.keys() - _OPTIONS):
            raise _refused(f"has the unknown option `{unknown[0]}`", _known())
        login = {name: query[name] for name in LOGINS if name in query}
        if len(login) > 1:
            raise _refused(f"names several logins: {' and '.join(login)}", "Keep one of them.")
        for name in ("host", "database"):
            if not getattr(parsed, name):
                raise _refused(f"names no {name}")
        if not parsed.username and login.keys() <= {"cluster"}:
            raise _refused("names no user")
        host = str(parsed.host)
        made = cls(
            host=host,
            port=parsed.port or _DEFAULT_PORT,
            database=str(parsed.database),
            user=parsed.username or "",
            iam_role=query.get("iam_role", ""),
            region=query.get("region"),
            schema=query.get("schema", "public").lower(),
            sslmode=query.get("sslmode", "prefer" if host in _LOOPBACK else "verify-full"),
            sslrootcert=query.get("sslrootcert", ""),
            login=login,
        )
        made._check()
        return made

    def _check(self) -> None:
        if not self.iam_role:
            raise _refused("names no iam_role")
        if not _ROLES.fullmatch(self.iam_role):
            remedy = "Write iam_role=arn:aws:iam::ACCOUNT:role/NAME, or iam_role=default."
            raise _refused(f"has the iam_role {self.iam_role!r}, which is no role's ARN", remedy)
        if not _SCHEMA.fullmatch(self.schema):
            remedy = "Write a name of small letters, digits and underscores."
            raise _refused(f"has the schema {self.schema!r}", remedy)
        if self.sslmode not in _SSL_MODES:
            raise _refused(f"has the sslmode {self.sslmode!r}", f"It is {', '.join(_SSL_MODES)}.")


def connect(url: RedshiftUrl, password: Callable[[], str]) -> pg.connection:
    """Return a new connection, in no transaction.

    Raises:
        TransientError: When the warehouse cannot be reached, or takes no more connections.
        PermanentError: When it refuses the login, or TLS cannot be trusted.
    """
    login = fetch_login(url.login, url.host, url.user, url.database, password)
    try:
        return psycopg2.connect(
            host=url.host,
            port=url.port,
            dbname=url.database,
            user=login.user,
            password=login.password,
            sslmode=url.sslmode,
            sslrootcert=url.sslrootcert or _authorities(url.sslmode),
            connect_timeout=_CONNECT_SECONDS,
            keepalives_idle=_KEEPALIVE_SECONDS,
            application_name="etl_assets",
        )
    except psycopg2.OperationalError as error:
        raise _explained(url, login, error) from None


def _authorities(sslmode: str) -> str | None:
    """Return the file of public authorities, which libpq does not find by itself."""
    import certifi

    return certifi.where() if sslmode.startswith("verify") else None


def _explained(url: RedshiftUrl, login: Login, error: psycopg2.Error) -> Exception:
    # libpq tells of each address it tried; the last is as good as any. It never has the password.
    reason = first_line(error).rpartition(" failed: ")[2].removeprefix("FATAL:").strip()
    where = f"The warehouse at {url.host}:{url.port}"
    said = f"{reason} FATAL:" if "FATAL:" in str(error) else reason
    meaning = meaning_in("Redshift connection", said)
    if meaning and not meaning.transient:
        return PermanentError(
            f"{where} {meaning.reason.format(user=login.user)}: {reason}.",
            meaning.remedy.format(sslmode=url.sslmode),
        )
    return TransientError(
        f"{where} cannot be reached: {reason}.",
        "Check address, port and security group, then try again.",
    )


def _known() -> str:
    return f"Options are {', '.join(sorted(_OPTIONS))}."


def _refused(problem: str, remedy: str = "") -> PermanentError:
    return PermanentError(f"ETL_ASSETS_WAREHOUSE {problem}.", remedy or f"Write {URL_FORM}.")
