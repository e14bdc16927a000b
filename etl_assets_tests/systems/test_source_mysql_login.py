"""A password in a log, or a server that only says it is the one, gives the data away."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import dagster as dg
import pytest
import sqlalchemy as sa

from etl_assets.core.errors import PermanentError, SourceError, TransientError
from etl_assets.resources import SourceResource, build_resources
from etl_assets.settings import Settings
from etl_assets.systems.connect import open_source
from etl_assets.systems.mysql_server import MysqlServer
from etl_assets_tests import servers
from etl_assets_tests.servers import MariaDBServer, MissingServerError, ensure_packages

PASSWORD = "hidden away"  # noqa: S105  (no server's)
REMOTE = "mysql+pymysql://reader@db.example.com/shop"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, and a `server.pem` and `server.key` that it signed for 127.0.0.1."""
    ensure_packages("openssl")
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(
        *new, "-x509", "-days", "2", "-subj", "/CN=Test CA", "-keyout", "ca.key", "-out", "ca.pem"
    )
    openssl(*new, "-subj", "/CN=test", "-keyout", "server.key", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-days", "2", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-extfile", "names", "-out", "server.pem")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def tls_server(certificates: Path) -> Iterator[MariaDBServer]:
    """A server with a certificate for 127.0.0.1, and none for localhost."""
    options = (f"--ssl-cert={certificates}/server.pem", f"--ssl-key={certificates}/server.key")
    with MariaDBServer(*options) as server:
        server.run("CREATE TABLE one (id INT)")
        yield server


def _open(url: str, password: str = "") -> None:
    with MysqlServer(sa.make_url(url), password).session():
        pass


def test_a_certificate_that_a_known_authority_signed_is_accepted(
    tls_server: MariaDBServer, certificates: Path
) -> None:
    url = f"{tls_server.url}?ssl_ca={certificates}/ca.pem"
    (found,) = open_source(url, tls_server.password).check()
    assert found.ok
    assert "TLS verified" in found.detail
    with MysqlServer(sa.make_url(url), tls_server.password).session() as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        assert (cursor.fetchone() or ("", ""))[1]


def test_a_certificate_that_nobody_known_signed_is_refused(
    tls_server: MariaDBServer, tmp_path: Path, certificates: Path
) -> None:
    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-x509", "-subj", "/CN=Other",
         "-keyout", str(tmp_path / "key"), "-out", str(other)], check=True, capture_output=True,
    )  # fmt: skip
    del certificates
    with pytest.raises(SourceError, match="certificate could not be verified") as caught:
        _open(f"{tls_server.url}?ssl_ca={other}", tls_server.password)
    assert "ssl_ca" in caught.value.remedy


def test_a_certificate_for_another_name_is_refused(
    tls_server: MariaDBServer, certificates: Path
) -> None:
    url = tls_server.url.replace("127.0.0.1", "localhost") + f"?ssl_ca={certificates}/ca.pem"
    with pytest.raises(SourceError, match="certificate could not be verified"):
        _open(url, tls_server.password)


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(
    mariadb: MariaDBServer, certificates: Path
) -> None:
    with pytest.raises(SourceError, match="offers no TLS"):
        _open(f"{mariadb.url}?ssl_ca={certificates}/ca.pem", mariadb.password)


@pytest.mark.parametrize(
    ("host", "verified"),
    [("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("db.example.com", True),
     ("10.0.0.1", True), ("localhost.example.com", True), ("127.0.0.1.example.com", True)],
)  # fmt: skip
def test_tls_is_verified_on_every_host_but_loopback(host: str, *, verified: bool) -> None:
    server = MysqlServer(sa.make_url(f"mysql+pymysql://reader@{host}/shop"))
    assert server.verifies_tls is verified
    context = server._tls()
    assert (context is not None) is verified
    assert context is None or (
        context.check_hostname and context.verify_mode.name == "CERT_REQUIRED"
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"{REMOTE}?ssl_verify_cert=false", "`ssl_verify_cert`.* TLS is always verified"),
        (f"{REMOTE}?ssl_disabled=true", "`ssl_disabled`.* TLS is always verified"),
        (f"{REMOTE}?local_infile=1", "`local_infile`, which there is not"),
        (f"{REMOTE}?iam_auth=maybe", "iam_auth=maybe"),
        (f"{REMOTE}?charset=latin1", "charset=latin1"),
        (f"{REMOTE}?read_timeout=0", "read_timeout=0"),
        (f"{REMOTE}?read_timeout=-5", "read_timeout=-5"),
        ("mysql+pymysql://reader@127.0.0.1/shop?iam_auth=true", "IAM token without TLS"),
        ("mysql+mysqldb://reader@127.0.0.1/shop", "driver mysqldb"),
        ("mysql+pymysql://reader@127.0.0.1", "names no database"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(url: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        open_source(url)


def test_certificates_that_are_not_there_are_named() -> None:
    with pytest.raises(PermanentError, match=r"certificates nothing\.pem cannot be read"):
        _open(f"{REMOTE}?ssl_ca=nothing.pem")


def test_a_wrong_password_is_an_error_that_shows_neither_password_nor_user(
    mariadb: MariaDBServer,
) -> None:
    with pytest.raises(SourceError, match="refused the login") as caught:
        _open(mariadb.url, PASSWORD)
    assert PASSWORD not in str(caught.value)
    assert "reader" not in str(caught.value)


def test_the_password_is_shown_by_nothing_that_carries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_ASSETS_SOURCE_PASSWORD", PASSWORD)
    settings = Settings.from_environment(
        {"ETL_ASSETS_SOURCE": REMOTE, "ETL_ASSETS_SOURCE_PASSWORD": PASSWORD}
    )
    resource = build_resources(settings)["source"]
    assert isinstance(resource, SourceResource)
    shown = [
        settings,
        resource,
        resource.open(),
        vars(resource),
        dg.Definitions(resources={"s": resource}),
    ]
    assert not [thing for thing in shown if PASSWORD in repr(thing) + str(thing)]
    assert resource.open()._server._password == PASSWORD  # type: ignore[attr-defined]


def test_a_password_in_the_url_is_refused() -> None:
    with pytest.raises(PermanentError, match=r"carries a password.*ETL_ASSETS_SOURCE_PASSWORD"):
        Settings(source_url="mysql+pymysql://reader:secret@host/shop")


class _Aws:
    """Stands for boto3's clients."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def client(self, service: str, **options: object) -> "_Aws":
        self.asked.append((service, options))
        return self

    def get_secret_value(self, **arguments: object) -> object:
        return self._answer(arguments)

    def generate_db_auth_token(self, **arguments: object) -> object:
        return self._answer(arguments)

    def _answer(self, arguments: dict[str, object]) -> object:
        self.asked.append((arguments,))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _use(monkeypatch: pytest.MonkeyPatch, answer: object) -> _Aws:
    aws = _Aws(answer)
    monkeypatch.setattr(boto3, "client", aws.client)
    return aws


@pytest.mark.parametrize("form", ["json", "alone"])
def test_the_password_comes_from_a_secret(
    mariadb: MariaDBServer, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    content = {"username": "reader", "password": mariadb.password}
    secret = json.dumps(content) if form == "json" else mariadb.password
    aws = _use(monkeypatch, {"SecretString": secret})
    user = "" if form == "json" else "reader@"
    _open(
        f"mysql+pymysql://{user}127.0.0.1:{mariadb.port}/shop?secret_id=rds/shop&region=eu-west-1"
    )
    assert aws.asked == [
        ("secretsmanager", {"region_name": "eu-west-1"}),
        ({"SecretId": "rds/shop"},),
    ]


def test_an_iam_token_is_the_password(
    tls_server: MariaDBServer, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = _use(monkeypatch, tls_server.password)
    options = f"?iam_auth=true&region=eu-west-1&ssl_ca={certificates}/ca.pem"
    _open(tls_server.url + options, "not this one")
    asked = {"DBHostname": "127.0.0.1", "Port": tls_server.port, "DBUsername": "reader"}
    assert aws.asked == [("rds", {"region_name": "eu-west-1"}), (asked,)]


def _client_error(code: str) -> Exception:
    answer: Any = {"Error": {"Code": code, "Message": "hidden"}}
    error: Exception = botocore.exceptions.ClientError(answer, "Get")
    return error


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (_client_error("AccessDeniedException"), SourceError, "AWS answers AccessDeniedException"),
        (_client_error("ThrottlingException"), TransientError, "AWS answers ThrottlingException"),
        (botocore.exceptions.NoCredentialsError(), SourceError, "NoCredentialsError"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="x"), TransientError, "reached"),
        ({"SecretString": '{"user": "reader"}'}, SourceError, "holds no `password`"),
        ({"SecretBinary": b""}, SourceError, "holds no `password`"),
    ],
)
def test_a_secret_that_cannot_be_had_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, answer: object, kind: type[Exception], message: str
) -> None:
    _use(monkeypatch, answer)
    with pytest.raises(kind, match=f"secret rds/shop of the source.*{message}"):
        _open(f"{REMOTE}?secret_id=rds/shop")


def test_a_server_that_is_not_installed_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "_find", lambda _: None)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingServerError, match="run `apt-get install mariadb-server`"):
        ensure_packages("mariadbd")
