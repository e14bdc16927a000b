"""User and password for a connection: of the environment, of Secrets Manager, or of IAM."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.systems.aws import is_transient

LOGINS = ("secret_id", "cluster", "workgroup")
"""Options of a URL that say where the password comes from instead of its variable."""

_HOST = re.compile(
    r"[^.]+\.[^.]+\.(?P<region>[a-z0-9-]+)\.redshift(-serverless)?\.amazonaws\.com.*"
)


@dataclass(frozen=True)
class Login:
    """Who logs in. The password is not shown."""

    user: str
    password: str = field(repr=False)


def fetch_login(
    login: dict[str, str], host: str, user: str, database: str, password: Callable[[], str]
) -> Login:
    """Return user and password; those of IAM are good for minutes, so for one connection.

    Args:
        login: The option of `LOGINS` that the URL has, if any.
        host: The warehouse's; its region is that of the calls.
        user: The URL's.
        database: The URL's.
        password: Returns the password of the environment.

    Raises:
        PermanentError: When AWS refuses, or the secret is not one of a login.
        TransientError: When AWS cannot be reached or is busy.
    """
    if not login:
        return Login(user, password())
    from botocore import exceptions as aws

    (option, name), region = *login.items(), _region(host)
    try:
        if option == "secret_id":
            return _from_secret(name, region, user)
        if option == "cluster":
            return _from_cluster(name, region, user, database)
        return _from_workgroup(name, region, database)
    except aws.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        kind = TransientError if is_transient(error) else PermanentError
        reason = f"{code}, {error.response.get('Error', {}).get('Message', '')}"
    except aws.BotoCoreError as error:
        kind = TransientError if is_transient(error) else PermanentError
        reason = str(error)
    raise kind(
        f"AWS gave no login for the {option} {name}: {reason.rstrip('.')}.",
        "Check its name, the region, and what the role of this process may do.",
    )


def _from_secret(name: str, region: str | None, user: str) -> Login:
    import boto3

    client = boto3.client("secretsmanager", region_name=region)
    text = client.get_secret_value(SecretId=name).get("SecretString", "")
    try:
        content = json.loads(text)
        return Login(str(content.get("username", user)), str(content["password"]))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise PermanentError(
            f"The secret {name} is not the JSON of a login.",
            'Give it "username" and "password", as Secrets Manager does for Redshift.',
        ) from None


def _from_cluster(name: str, region: str | None, user: str, database: str) -> Login:
    import boto3

    given = boto3.client("redshift", region_name=region).get_cluster_credentials(
        ClusterIdentifier=name, DbUser=user, DbName=database, AutoCreate=False
    )
    return Login(given["DbUser"], given["DbPassword"])


def _from_workgroup(name: str, region: str | None, database: str) -> Login:
    import boto3

    given = boto3.client("redshift-serverless", region_name=region).get_credentials(
        workgroupName=name, dbName=database
    )
    return Login(given["dbUser"], given["dbPassword"])


def _region(host: str) -> str | None:
    """Return the region in the host's name; None for boto3's own choice."""
    match = _HOST.fullmatch(host)
    return match["region"] if match else None
