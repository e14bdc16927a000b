"""Who logs in where, and that a password stays out of everything people read."""

import json
import re
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import boto3
import psycopg2
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from etl_assets.core.errors import EtlError, PermanentError, TransientError
from etl_assets.resources import WarehouseResource
from etl_assets.settings import Settings
from etl_assets.systems.connect import open_warehouse
from etl_assets.systems.redshift_connect import RedshiftUrl, connect
from etl_assets.systems.redshift_login import Login, fetch_login
from etl_assets.systems.warehouse_redshift import RedshiftWarehouse
from etl_assets_tests.standins.certificate import make_certificate
from etl_assets_tests.standins.redshift import RedshiftStandin
from etl_assets_tests.systems.redshift_server import ROLE, Redshift

pytest_plugins = ["etl_assets_tests.systems.redshift_fixtures"]

SECRET = "Corr3ct-horse"  # noqa: S105  (what must be found nowhere)
CLUSTER = "cluster.abc123.eu-west-1.redshift.amazonaws.com"
URL = f"redshift://loader@{CLUSTER}:5440/dev?iam_role={ROLE}"


def test_a_url_says_everything_but_the_password() -> None:
    url = RedshiftUrl.parse(f"{URL}&region=us-east-1&schema=Marts&sslrootcert=/ca.pem")
    assert (url.host, url.port, url.database, url.user) == (CLUSTER, 5440, "dev", "loader")
    assert (url.iam_role, url.region, url.schema) == (ROLE, "us-east-1", "marts")
    assert (url.sslmode, url.sslrootcert, url.login) == ("verify-full", "/ca.pem", {})


def test_what_a_url_does_not_say_has_a_safe_default() -> None:
    url = RedshiftUrl.parse("redshift://u@example.com/dev?iam_role=default")
    assert (url.port, url.schema, url.region) == (5439, "public", None)
    assert (url.sslmode, url.sslrootcert, url.login) == ("verify-full", "", {})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_needs_no_tls_and_any_other_host_does(host: str) -> None:
    assert RedshiftUrl.parse(f"redshift://u@{host}/dev?iam_role=default").sslmode == "prefer"
    for other in (f"{host.strip('[]:')}.example.com", "10.0.0.5", "127.0.0.1.example.com"):
        url = RedshiftUrl.parse(f"redshift://u@{other}/dev?iam_role=default")
        assert url.sslmode == "verify-full"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redshift://u@h/dev", "names no iam_role"),
        ("redshift://u@h?iam_role=default", "names no database"),
        ("redshift:///dev?iam_role=default", "names no host"),
        ("redshift://h/dev?iam_role=default", "names no user"),
        ("redshift://u@h:port/dev?iam_role=default", "is not a URL"),
        ("redshift://u@h/dev?iam_role=default&colour=red", "the unknown option `colour`"),
        ("redshift://u@h/dev?iam_role=loader", "'loader', which is no role's ARN"),
        ("redshift://u@h/dev?iam_role=arn:aws:iam::1:role/x", "no role's ARN"),
        ("redshift://u@h/dev?iam_role=arn:aws:iam::123456789012:user/x", "no role's ARN"),
        (f"redshift://u@h/dev?iam_role={ROLE}' CREDENTIALS '", "no role's ARN"),
        ("redshift://u@h/dev?iam_role=default&schema=a%25s", "has the schema 'a%s'"),
        ("redshift://u@h/dev?iam_role=default&sslmode=maybe", "has the sslmode 'maybe'"),
        ("redshift://u@h/dev?iam_role=default&cluster=a&secret_id=b", "several logins"),
    ],
)
def test_a_url_that_lacks_something_says_what(url: str, problem: str) -> None:
    with pytest.raises(PermanentError, match=f"ETL_ASSETS_WAREHOUSE .*({problem})") as caught:
        RedshiftUrl.parse(url)
    assert caught.value.remedy


@pytest.mark.parametrize("role", ["default", ROLE, f"{ROLE},{ROLE.replace('loader', 'a/b+c')}"])
def test_a_role_is_an_arn_several_or_the_clusters_default(role: str) -> None:
    assert RedshiftUrl.parse(f"redshift://u@h/dev?iam_role={quote(role)}").iam_role == role


def test_a_password_in_the_url_is_refused_without_showing_it() -> None:
    with pytest.raises(PermanentError, match="ETL_ASSETS_WAREHOUSE carries a password") as caught:
        Settings(warehouse_url=URL.replace("loader@", f"loader:{SECRET}@"))
    assert SECRET not in shown(caught.value)
    assert isinstance(open_warehouse(URL, SECRET), RedshiftWarehouse)


def test_readers_of_the_environment_reach_the_warehouse() -> None:
    environment = {"ETL_ASSETS_WAREHOUSE": URL, "ETL_ASSETS_READERS": "analysts"}
    with pytest.raises(PermanentError, match="ETL_ASSETS_READERS has 'analysts'"):
        Settings.from_environment(environment).open_warehouse()
    with pytest.MonkeyPatch.context() as patched:
        for name, value in environment.items():
            patched.setenv(name, value)
        with pytest.raises(PermanentError, match="ETL_ASSETS_READERS has 'analysts'"):
            WarehouseResource(url=URL).open()


def shown(error: BaseException) -> str:
    """Return everything of an error that can reach a log, its causes included."""
    return "".join(traceback.format_exception(error)) + repr(error)


def at(redshift: Redshift, **changed: str) -> RedshiftUrl:
    """Return the stand-in's URL with other parts."""
    url = redshift.url
    for old, new in changed.items():
        url = url.replace(getattr(redshift.standin, old) + {"user": "@", "database": "?"}[old],
                          new + {"user": "@", "database": "?"}[old])  # fmt: skip
    return RedshiftUrl.parse(url)


def test_a_wrong_password_is_permanent_names_the_user_and_shows_nothing(
    redshift: Redshift,
) -> None:
    with pytest.raises(PermanentError, match="refused the login of awsuser") as caught:
        connect(RedshiftUrl.parse(redshift.url), lambda: SECRET)
    assert SECRET not in shown(caught.value)
    assert "ETL_ASSETS_WAREHOUSE_PASSWORD" in caught.value.remedy
    (check,) = RedshiftWarehouse(redshift.url, lambda: SECRET).check()
    assert not check.ok
    assert SECRET not in f"{check}"


def test_an_empty_password_is_permanent(redshift: Redshift) -> None:
    with pytest.raises(PermanentError, match="refused the login of awsuser"):
        connect(RedshiftUrl.parse(redshift.url), lambda: "")


def test_a_database_or_user_that_is_not_there_is_permanent(redshift: Redshift) -> None:
    with pytest.raises(PermanentError, match='database "nowhere" does not exist'):
        connect(at(redshift, database="nowhere"), redshift.password)
    with pytest.raises(PermanentError, match="refused the login of nobody"):
        connect(at(redshift, user="nobody"), redshift.password)


def test_a_host_that_does_not_answer_is_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"redshift://u@127.0.0.1:{port}/dev?iam_role=default"
    with pytest.raises(TransientError, match=rf"127\.0\.0\.1:{port} cannot be reached") as caught:
        connect(RedshiftUrl.parse(url), lambda: SECRET)
    assert SECRET not in shown(caught.value)
    (check,) = RedshiftWarehouse(url, lambda: SECRET).check()
    assert (check.name, check.ok) == ("reachable", False)


def test_a_name_that_nobody_knows_is_transient() -> None:
    with pytest.raises(TransientError, match=r"nowhere\.invalid:5439 cannot be reached"):
        connect(RedshiftUrl.parse("redshift://u@nowhere.invalid/dev?iam_role=default"), lambda: "")


@pytest.mark.parametrize(
    "reason",
    ["too many connections for database", "the database system is starting up",
     'connection limit "500" exceeded for non-bootstrap users'],
)  # fmt: skip
def test_a_warehouse_that_is_full_or_starting_is_transient(
    monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def refuse(**_: object) -> None:
        raise psycopg2.OperationalError(
            f'connection to server at "h", port 1 failed: FATAL:  {reason}'
        )

    monkeypatch.setattr(psycopg2, "connect", refuse)
    with pytest.raises(TransientError, match=f"cannot be reached: {reason}"):
        connect(RedshiftUrl.parse(URL), lambda: SECRET)


@pytest.fixture(scope="module")
def tls(
    redshift_server: Redshift, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RedshiftStandin, Path]]:
    """A stand-in with TLS for the name localhost, and its certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = make_certificate(folder, "DNS:localhost")
    endpoint = redshift_server.bucket.endpoint
    with RedshiftStandin(endpoint, tls_certificate=str(certificate), tls_key=str(key)) as standin:
        yield standin, certificate


def tls_url(tls: tuple[RedshiftStandin, Path], host: str, options: str) -> RedshiftUrl:
    url = f"redshift://awsuser@{host}:{tls[0].port}/dev?iam_role=default&{options}"
    return RedshiftUrl.parse(url)


def test_tls_is_verified_against_the_authority_and_the_name(
    tls: tuple[RedshiftStandin, Path],
) -> None:
    options = f"sslmode=verify-full&sslrootcert={tls[1]}"
    connection = connect(tls_url(tls, "localhost", options), lambda: tls[0].password)
    assert connection.info.ssl_in_use
    connection.close()
    with pytest.raises(PermanentError, match=r"cannot be trusted: .*does not match host name"):
        connect(tls_url(tls, "127.0.0.1", options), lambda: tls[0].password)


def test_a_certificate_of_no_public_authority_is_not_trusted(
    tls: tuple[RedshiftStandin, Path],
) -> None:
    with pytest.raises(PermanentError, match=r"cannot be trusted: .*certificate verify failed"):
        connect(tls_url(tls, "localhost", "sslmode=verify-full"), lambda: tls[0].password)


def test_a_server_without_tls_is_not_used_where_tls_is_asked_for(redshift: Redshift) -> None:
    url = RedshiftUrl.parse(f"{redshift.url}&sslmode=verify-full")
    with pytest.raises(PermanentError, match=r"cannot be trusted: .*does not support SSL"):
        connect(url, redshift.password)


@pytest.fixture
def aws(redshift_server: Redshift, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS on this machine: moto's server, its credentials, no settings of the machine's user."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", redshift_server.bucket.endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")


def login(option: str = "", name: str = "") -> Login:
    options = {option: name} if option else {}
    return fetch_login(options, CLUSTER, "loader", "dev", lambda: SECRET)


def test_the_password_of_the_environment_is_asked_for_when_nothing_else_is_said() -> None:
    assert login() == Login("loader", SECRET)
    assert SECRET not in f"{login()!r}"


@pytest.mark.usefixtures("aws")
def test_a_secret_gives_user_and_password_in_the_region_of_the_host() -> None:
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    content = {"username": "etl", "password": "p", "engine": "redshift"}
    secrets.create_secret(Name="with-user", SecretString=json.dumps(content))
    secrets.create_secret(Name="without", SecretString='{"password": "p"}')
    assert login("secret_id", "with-user") == Login("etl", "p")
    assert login("secret_id", "without") == Login("loader", "p")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("text", ["no JSON", '"text"', '{"username": "u"}', "[]", "null"])
def test_a_secret_that_is_no_login_is_refused_without_showing_it(text: str) -> None:
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    name = f"odd-{len(text)}"
    secrets.create_secret(Name=name, SecretString=text)
    with pytest.raises(PermanentError, match=f"The secret {name} is not the JSON") as caught:
        login("secret_id", name)
    assert text not in str(caught.value)


@pytest.mark.usefixtures("aws")
def test_a_secret_that_is_not_there_is_permanent_and_named() -> None:
    with pytest.raises(PermanentError, match="secret_id gone: ResourceNotFoundException"):
        login("secret_id", "gone")


@pytest.mark.usefixtures("aws")
def test_a_cluster_gives_a_user_that_lasts_for_minutes() -> None:
    boto3.client("redshift", region_name="eu-west-1").create_cluster(
        ClusterIdentifier="reports", NodeType="ra3.large", DBName="dev",
        MasterUsername="master", MasterUserPassword="Passw0rd",
    )  # fmt: skip
    made = login("cluster", "reports")
    assert made.user == "IAM:loader"
    assert made.password


class Serverless:
    """The one call of redshift-serverless that moto does not know."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: dict[str, str] = {}

    def client(self, service: str, region_name: str | None) -> "Serverless":
        self.asked = {"service": service, "region": region_name or ""}
        return self

    def get_credentials(self, **given: str) -> dict[str, str]:
        self.asked |= given
        if self.error:
            raise self.error
        return {"dbUser": "IAMR:worker", "dbPassword": "p"}


def test_a_workgroup_gives_the_user_of_the_role(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Serverless()
    monkeypatch.setattr(boto3, "client", fake.client)
    host = "reports.123456789012.us-west-2.redshift-serverless.amazonaws.com"
    made = fetch_login({"workgroup": "reports"}, host, "", "dev", lambda: "")
    assert made == Login("IAMR:worker", "p")
    assert fake.asked == {
        "service": "redshift-serverless", "region": "us-west-2",
        "workgroupName": "reports", "dbName": "dev",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NoCredentialsError(), PermanentError),
        (EndpointConnectionError(endpoint_url="https://x"), TransientError),
        (ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "g"), TransientError),
        (ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "g"), PermanentError),
    ],
    ids=["no credentials", "no network", "throttled", "denied"],
)  # fmt: skip
def test_what_aws_answers_is_permanent_or_transient(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[EtlError]
) -> None:
    monkeypatch.setattr(boto3, "client", Serverless(error).client)
    with pytest.raises(kind, match="AWS gave no login for the workgroup reports: ") as caught:
        login("workgroup", "reports")
    assert re.fullmatch(r".+[^.]\.", caught.value.message)


def test_a_host_outside_aws_leaves_the_region_to_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Serverless()
    monkeypatch.setattr(boto3, "client", fake.client)
    fetch_login({"workgroup": "w"}, "warehouse.example.com", "", "dev", lambda: "")
    assert fake.asked["region"] == ""
