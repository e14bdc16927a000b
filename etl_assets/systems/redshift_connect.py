"""How the Redshift warehouse logs in, and what its driver's errors mean."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2
import sqlalchemy as sa

from etl_assets.core.errors import PermanentError, TransientError, WarehouseError

_DEFAULT_PORT = 5439
_CONNECT_SECONDS = 30
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SERIALIZATION = ("1023", "1018")
_RETRY_STATES = {"40001", "40P01"}
_LOST_STATES = {"57P01", "57P02", "57P03", "08000", "08003", "08006", "08001", "08004", "53300"}


@dataclass(frozen=True)
class RedshiftUrl:
    """What `redshift://user@host:5439/database?iam_role=…` says.

    Attributes:
        iam_role: ARN of the role COPY reads S3 with, or `default`.
        region: Of the bucket, when it is not the cluster's.
        schema: Where target tables are.
        login: Where the password comes from: its variable, Secrets Manager (`secret_id`),
            GetClusterCredentials (`cluster`), or serverless GetCredentials (`workgroup`).
    """

    host: str
    port: int
    database: str
    user: str
    iam_role: str
    region: str | None
    schema: str
    sslmode: str
    login: dict[str, str]

    @classmethod
    def parse(cls, url: str) -> "RedshiftUrl":
        """Read a URL.

        Raises:
            PermanentError: When something it needs is missing or unknown.
        """
        parsed = sa.make_url(url)
        query = {k: v if isinstance(v, str) else v[-1] for k, v in parsed.query.items()}
        known = {"iam_role", "region", "schema", "sslmode", "secret_id", "cluster", "workgroup"}
        if unknown := sorted(query.keys() - known):
            raise PermanentError(
                f"ETL_ASSETS_WAREHOUSE has the unknown option `{unknown[0]}`.",
                f"Options are {', '.join(sorted(known))}.",
            )
        missing = [n for n in ("host", "database") if not getattr(parsed, n)]
        if missing or "iam_role" not in query:
            raise PermanentError(
                f"ETL_ASSETS_WAREHOUSE names no {missing[0] if missing else 'iam_role'}.",
                "Write redshift://USER@HOST:5439/DATABASE?iam_role=ARN.",
            )
        host = str(parsed.host)
        secure = "prefer" if host in _LOOPBACK else "verify-full"
        return cls(
            host=host,
            port=parsed.port or _DEFAULT_PORT,
            database=str(parsed.database),
            user=parsed.username or "",
            iam_role=query["iam_role"],
            region=query.get("region"),
            schema=query.get("schema", "public"),
            sslmode=query.get("sslmode", secure),
            login={k: query[k] for k in ("secret_id", "cluster", "workgroup") if k in query},
        )


def connect(url: RedshiftUrl, password: Callable[[], str]) -> Any:
    """Return a new psycopg2 connection, in no transaction.

    Raises:
        TransientError: When the warehouse cannot be reached; nothing was changed.
        PermanentError: When it refuses the login.
    """
    user, secret = _credentials(url, password)
    try:
        return psycopg2.connect(
            host=url.host,
            port=url.port,
            dbname=url.database,
            user=user,
            password=secret,
            sslmode=url.sslmode,
            connect_timeout=_CONNECT_SECONDS,
            application_name="etl_assets",
            keepalives_idle=60,
        )
    except psycopg2.OperationalError as error:
        reason = _first_line(error)
        if "authentication" in reason or "password" in reason:
            raise PermanentError(
                f"The warehouse at {url.host} refused the login of {user}.",
                "Check the user and ETL_ASSETS_WAREHOUSE_PASSWORD, or the secret or role it uses.",
            ) from None
        raise TransientError(
            f"The warehouse at {url.host}:{url.port} cannot be reached ({reason}).",
            "Check the address, the security group and the TLS setting (`sslmode`), then try again.",
        ) from None


def is_serialization_failure(error: psycopg2.Error) -> bool:
    """Return whether the whole transaction may succeed when it is run again.

    Redshift says XX000 with the message `1023` (serializable isolation violation) or `1018`
    (relation not in the snapshot); 40P01 is a deadlock.
    """
    if error.pgcode in _RETRY_STATES:
        return True
    return (
        error.pgcode == "XX000"
        and _first_line(error).removeprefix("ERROR:").strip()[:4].strip() in _SERIALIZATION
    )


def is_connection_lost(error: psycopg2.Error) -> bool:
    """Return whether the connection, not the statement, failed."""
    if error.pgcode in _LOST_STATES:
        return True
    return error.pgcode is None and isinstance(
        error, psycopg2.OperationalError | psycopg2.InterfaceError
    )


def explain(what: str, error: psycopg2.Error) -> WarehouseError | TransientError:
    """Return our error for a driver's; statements and credentials stay out of it."""
    if is_connection_lost(error) or is_serialization_failure(error):
        return TransientError(
            f"{what} failed: {_first_line(error) or 'the connection was lost'}; nothing was changed.",
            "Try again.",
        )
    return WarehouseError(
        f"{what} failed: {_first_line(error)}; the table is as it was.",
        "See the message; `etl-assets doctor` checks what the warehouse's user may do.",
    )


def _credentials(url: RedshiftUrl, password: Callable[[], str]) -> tuple[str, str]:
    """Return user and password, from where the URL says."""
    if not url.login:
        return url.user, password()
    import json

    import boto3

    if secret_id := url.login.get("secret_id"):
        found = boto3.client("secretsmanager", region_name=url.region).get_secret_value(
            SecretId=secret_id
        )
        content = json.loads(found["SecretString"])
        return content.get("username", url.user), content["password"]
    if cluster := url.login.get("cluster"):
        given = boto3.client("redshift", region_name=url.region).get_cluster_credentials(
            ClusterIdentifier=cluster, DbUser=url.user, DbName=url.database, AutoCreate=False
        )
        return given["DbUser"], given["DbPassword"]
    given = boto3.client("redshift-serverless", region_name=url.region).get_credentials(
        workgroupName=url.login["workgroup"], dbName=url.database
    )
    return given["dbUser"], given["dbPassword"]


def now() -> dt.datetime:
    """Return the current instant, UTC."""
    return dt.datetime.now(dt.UTC)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else ""
