"""The channels, against receivers on this machine.

At risk: a message that is lost in silence, one that hangs the sensor, and a secret URL in an
error, a log or the UI.
"""

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from etl_assets.core.alerts import TEST, Message
from etl_assets.core.errors import EtlError, PermanentError, TransientError
from etl_assets.settings import Settings
from etl_assets.systems.alerts import Channel, Topic
from etl_assets_tests.receivers import MailReceiver, WebReceiver, mail_receiver, web_receiver
from etl_assets_tests.standins.certificate import make_certificate
from etl_assets_tests.standins.sns import SNSStandin

RIGHT, WRONG = "hunter2", "hunter3"
SENT = Message("problem", "SP17 failed", "sales: Die Quelle für <SP17> ist weg.", ("failed/SP17",))


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with mail_receiver() as receiver:
        yield receiver


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody else takes."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A certificate that this process trusts, for a server."""
    key, certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def channel(**variables: str) -> Channel:
    names = {f"ETL_ASSETS_ALERT_{name.upper()}": value for name, value in variables.items()}
    (one,) = Settings.from_environment(names).open_alerts()
    return one


def mailed(port: int, *, scheme: str = "smtp", user: str = "", password: str = "") -> Channel:
    url = f"{scheme}://{user}127.0.0.1:{port}?from=etl@example.com"
    return channel(email="anna@example.com, ben@example.com", smtp=url, smtp_password=password)


def test_a_webhook_gets_json(web: WebReceiver) -> None:
    channel(webhook=web.url).send(SENT)
    assert web.documents == [
        {"platform": "etl_assets", "event": "problem", "title": "SP17 failed",
         "text": "sales: Die Quelle für <SP17> ist weg.", "ids": ["failed/SP17"]},
    ]  # fmt: skip


def test_slack_gets_its_own_form(web: WebReceiver) -> None:
    channel(slack=web.url).send(SENT)
    assert web.documents == [
        {"text": ":red_circle: *SP17 failed*\nsales: Die Quelle für &lt;SP17&gt; ist weg."}
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, TransientError), (503, TransientError), (429, TransientError), (404, PermanentError),
     (403, PermanentError)],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["webhook", "slack"])
def test_an_answer_that_is_no_yes_is_an_error_without_the_url(
    web: WebReceiver, variable: str, status: int, kind: type[EtlError]
) -> None:
    web.status = status
    one = channel(**{variable: web.url})
    with pytest.raises(kind, match=f"at 127.0.0.1 answered {status}") as caught:
        one.send(SENT)
    assert "hunter2" not in f"{caught.value}{one!r}{one.where}"
    assert caught.value.__cause__ is None


def test_a_redirect_is_not_followed(web: WebReceiver) -> None:
    web.status, web.headers = 302, {"Location": web.url}
    with pytest.raises(PermanentError, match="answered 302"):
        channel(webhook=web.url).send(SENT)
    assert len(web.documents) == 1


def test_a_receiver_that_is_down_is_a_transient_error_without_the_url(closed_port: int) -> None:
    one = channel(slack=f"http://127.0.0.1:{closed_port}/hunter2")
    with pytest.raises(TransientError, match="cannot be reached") as caught:
        one.send(SENT)
    assert "hunter2" not in str(caught.value)


def test_a_receiver_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.systems.alerts.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for one in (channel(webhook=f"http://127.0.0.1:{port}/x"), mailed(port)):
            with pytest.raises(TransientError, match="cannot be reached"):
                one.send(SENT)


def test_a_letter_has_title_and_text(mail: MailReceiver) -> None:
    mailed(mail.port).send(Message("problem", "SP17 failed\nBcc: x@example.com", "Find it."))
    ((sender, recipients, text),) = mail.letters
    assert sender == "etl@example.com"
    assert recipients == ["anna@example.com", "ben@example.com"]
    assert "Subject: SP17 failed Bcc: x@example.com\n" in text.replace("\r", "")
    assert text.rstrip().endswith("Find it.")


def test_starttls_is_used_where_it_is_offered_and_the_login_comes_after_it(
    trusted: ssl.SSLContext,
) -> None:
    with mail_receiver(trusted) as mail:
        mailed(mail.port, user="etl@", password=RIGHT).send(SENT)
    assert mail.encrypted == [True]
    assert mail.logins == [("etl", "hunter2")]


def test_tls_from_the_first_byte_is_used_where_the_url_says_so(trusted: ssl.SSLContext) -> None:
    with mail_receiver(trusted, tls_first=True) as mail:
        mailed(mail.port, scheme="smtps").send(SENT)
    assert len(mail.letters) == 1


def test_a_certificate_that_nobody_trusts_is_refused(
    trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with mail_receiver(trusted) as mail, pytest.raises(PermanentError, match="cannot be trusted"):
        mailed(mail.port, user="etl@", password=RIGHT).send(SENT)
    assert mail.logins == []


def test_a_password_does_not_cross_the_network_in_clear(
    mail: MailReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_assets.systems.alerts._LOOPBACK", ())
    with pytest.raises(PermanentError, match="offers no TLS") as caught:
        mailed(mail.port, user="etl@", password=RIGHT).send(SENT)
    assert "hunter2" not in str(caught.value)
    assert mail.logins == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("451 later", TransientError), ("554 never", PermanentError)],
)
def test_what_a_mail_server_answers_has_its_class(
    mail: MailReceiver, answer: str, kind: type[EtlError]
) -> None:
    mail.answer = answer
    with pytest.raises(kind, match=f"answered {answer[:3]}"):
        mailed(mail.port).send(SENT)


def test_a_wrong_password_is_a_permanent_error_that_does_not_say_it(
    trusted: ssl.SSLContext,
) -> None:
    with mail_receiver(trusted) as mail, pytest.raises(PermanentError, match="535") as caught:
        mailed(mail.port, user="etl@", password=WRONG).send(SENT)
    assert "hunter3" not in str(caught.value)


@pytest.fixture(scope="module")
def sns_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SNSStandin]:
    server = SNSStandin(tmp_path_factory.mktemp("sns"))
    with server.running():
        yield server


@pytest.fixture
def sns_url(sns_server: SNSStandin, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", sns_server.endpoint_url)
    return sns_server.endpoint_url


@pytest.mark.usefixtures("aws_credentials")
def test_a_topic_of_sns_gets_subject_and_text(sns_url: str) -> None:
    make: Any = boto3.client
    sns = make("sns", region_name="eu-west-1", endpoint_url=sns_url)
    sqs = make("sqs", region_name="eu-west-1", endpoint_url=sns_url)
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    queue = sqs.create_queue(QueueName="read")["QueueUrl"]
    named = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=named["Attributes"]["QueueArn"])
    channel(sns=topic).send(SENT)
    (received,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    content = json.loads(received["Body"])
    assert content["Subject"] == "SP17 failed"
    assert content["Message"] == SENT.body


@pytest.mark.usefixtures("aws_credentials", "sns_url")
def test_a_topic_that_is_not_there_is_a_permanent_error() -> None:
    with pytest.raises(PermanentError, match="NotFound"):
        channel(sns="arn:aws:sns:eu-west-1:000000000000:nowhere").send(SENT)


@pytest.mark.usefixtures("aws_credentials", "no_backoff")
def test_an_sns_that_cannot_be_reached_is_a_transient_error(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(TransientError, match="EndpointConnectionError"):
        Topic("arn:aws:sns:eu-west-1:000000000000:alerts").send(TEST)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"webhook": "ftp://h/hunter2"}, "ETL_ASSETS_ALERT_WEBHOOK is no URL"),
        ({"slack": "hunter2"}, "ETL_ASSETS_ALERT_SLACK is no URL"),
        ({"slack": "https://hunter2:x@h/y"}, "ETL_ASSETS_ALERT_SLACK is no URL"),
        ({"email": "anna@example.com"}, "ETL_ASSETS_ALERT_SMTP names no server"),
        ({"email": "anna@example.com", "smtp": "smtp://h:hunter2"}, "ALERT_SMTP names no server"),
        ({"smtp": "smtp://h"}, "ETL_ASSETS_ALERT_EMAIL holds no addresses"),
        ({"email": "anna", "smtp": "smtp://h"}, "ETL_ASSETS_ALERT_EMAIL holds no addresses"),
        ({"email": "a@b\nBcc: c@d", "smtp": "smtp://h"}, "ETL_ASSETS_ALERT_EMAIL holds no"),
        ({"email": "a@b", "smtp": "smtp://h?from=x"}, "ETL_ASSETS_ALERT_SMTP names no server"),
        ({"email": "a@b", "smtp": "smtp://u:hunter2@h"}, "ETL_ASSETS_ALERT_SMTP carries a passw"),
        ({"sns": "hunter2"}, "ETL_ASSETS_ALERT_SNS is no ARN"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_without_being_shown(
    variables: dict[str, str], says: str
) -> None:
    with pytest.raises(PermanentError, match=says) as caught:
        channel(**variables)
    assert "hunter2" not in str(caught.value)


def test_nothing_is_configured_unless_somebody_did_so() -> None:
    assert Settings.from_environment({}).open_alerts() == []
    assert not Settings.from_environment({}).has_alerts


def test_what_is_secret_is_not_in_the_words_for_settings_and_channels(web: WebReceiver) -> None:
    settings = Settings.from_environment(
        {
            "ETL_ASSETS_ALERT_WEBHOOK": web.url,
            "ETL_ASSETS_ALERT_SLACK": web.url,
            "ETL_ASSETS_ALERT_EMAIL": "a@b",
            "ETL_ASSETS_ALERT_SMTP": "smtp://u@h",
            "ETL_ASSETS_ALERT_SMTP_PASSWORD": "hunter2",
        }
    )
    shown = f"{settings!r}{settings.open_alerts()!r}{[c.where for c in settings.open_alerts()]}"
    assert "hunter2" not in shown
