"""The channels that messages go out by. Each is off until its variable is set.

A channel's address may itself be a secret (Slack's is), so errors name the channel and at most
its host. Nothing is sent for longer than a few seconds, and nobody follows a redirect.
"""

import contextlib
import http.client
import json
import re
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from etl_assets.core.alerts import Message, slack_document, webhook_document
from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.systems.aws import aws_explained

TIMEOUT_SECONDS = 5
_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):\d{12}:[\w-]{1,256}")
_SMTP_FORM = "smtp://[USER@]HOST[:PORT][?from=ADDRESS], or smtps://…"
_SUBJECT_CHARACTERS = 100
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CLIENT_ERRORS = range(400, 500)
_TRY_LATER = (408, 425, 429)


class Channel(Protocol):
    """Where messages go."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def where(self) -> str:
        """Where it leads to, as far as that may be shown."""

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            TransientError: When it may be taken later.
            PermanentError: When the receiver or its address does not take it.
        """


@dataclass(frozen=True)
class Webhook:
    """A URL that takes JSON by POST, of our form or Slack's."""

    name: str
    url: str = field(repr=False)
    slack: bool = False

    @property
    def where(self) -> str:
        """The host alone: the rest of such a URL is often its password."""
        return urlsplit(self.url).hostname or ""

    def send(self, message: Message) -> None:
        """POST a message; see `Channel.send`."""
        document = slack_document(message) if self.slack else webhook_document(message)
        request = urllib.request.Request(  # noqa: S310  (`_webhook` looked at the scheme)
            self.url,
            data=json.dumps(document).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "etl_assets"},
            method="POST",
        )
        what = f"The {self.name} at {self.where}"
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS):
                return
        except urllib.error.HTTPError as error:
            error.close()
            refused = error.code in _CLIENT_ERRORS and error.code not in _TRY_LATER
            kind = PermanentError if refused or error.code < min(_CLIENT_ERRORS) else TransientError
            raise kind(f"{what} answered {error.code}.", "Check the URL and its service.") from None
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(
                f"{what} cannot be reached ({_why(error)}).", "Check host, port and network."
            ) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other: what was sent is not for another host."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


@dataclass(frozen=True)
class Email:
    """Messages by SMTP, with STARTTLS where the server offers it.

    Attributes:
        recipients: Addresses.
        sender: Address.
        host: Of the server.
        port: Of the server.
        user: Logs in when there is one.
        password: Of the user.
        tls_first: Whether TLS begins before SMTP does (`smtps:`).
    """

    recipients: tuple[str, ...]
    sender: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls_first: bool = False
    name: str = "e-mail"

    @property
    def where(self) -> str:
        """The recipients and the server."""
        return f"{', '.join(self.recipients)} by {self.host}:{self.port}"

    def send(self, message: Message) -> None:
        """Send a message; see `Channel.send`."""
        mail = EmailMessage()
        mail["Subject"], mail["From"] = message.subject, self.sender
        mail["To"] = ", ".join(self.recipients)
        mail.set_content(message.body)
        what = f"The e-mail server {self.host}:{self.port}"
        try:
            with self._connected(what) as server:
                server.send_message(mail)
        except ssl.SSLError as error:
            raise PermanentError(
                f"{what} cannot be trusted ({error.reason}).", "Correct its certificate or name."
            ) from None
        except smtplib.SMTPResponseException as error:
            kind = PermanentError if error.smtp_code >= 500 else TransientError  # noqa: PLR2004
            raise kind(f"{what} answered {error.smtp_code}.", _CHECK_MAIL) from None
        except smtplib.SMTPRecipientsRefused:
            raise PermanentError(f"{what} refused the recipients.", _CHECK_MAIL) from None
        except (OSError, smtplib.SMTPException) as error:
            raise TransientError(
                f"{what} cannot be reached ({_why(error)}).", "Check host, port and network."
            ) from None

    @contextlib.contextmanager
    def _connected(self, what: str) -> Iterator[smtplib.SMTP]:
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)
            if self.tls_first
            else smtplib.SMTP(self.host, self.port, timeout=TIMEOUT_SECONDS)
        )
        with server:
            server.ehlo()
            safe = self.tls_first or self.host in _LOOPBACK
            if not self.tls_first and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                safe = True
            if self.user:
                if not safe:
                    raise PermanentError(
                        f"{what} offers no TLS, and a password would cross the network in clear.",
                        "Turn TLS on there, or take the user out of ETL_ASSETS_ALERT_SMTP.",
                    )
                server.login(self.user, self.password)
            yield server


_CHECK_MAIL = "Check sender, recipients, user and ETL_ASSETS_ALERT_SMTP_PASSWORD."


@dataclass(frozen=True)
class Topic:
    """A topic of SNS, for whoever subscribed to it."""

    arn: str
    name: str = "SNS"

    @property
    def where(self) -> str:
        """The topic."""
        return self.arn

    def send(self, message: Message) -> None:
        """Publish a message; see `Channel.send`."""
        import boto3
        from botocore.config import Config

        match = _TOPIC.fullmatch(self.arn)
        config = Config(
            connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 2},
        )  # fmt: skip
        with aws_explained(f"Publishing to {self.arn}", PermanentError):
            make: Any = boto3.client  # typed for literal names only
            client = make("sns", region_name=match["region"] if match else None, config=config)
            subject = message.subject.encode("ascii", "replace").decode()[:_SUBJECT_CHARACTERS]
            client.publish(TopicArn=self.arn, Subject=subject, Message=message.body)


def open_channels(
    *, webhook: str, slack: str, email: str, smtp: str, smtp_password: str, sns: str
) -> list[Channel]:
    """Return the channels whose variables are set; nothing is connected.

    Raises:
        PermanentError: When one is not what it has to be; its value is not shown.
    """
    channels: list[Channel] = []
    if webhook:
        channels.append(_webhook("webhook", webhook, "ETL_ASSETS_ALERT_WEBHOOK", slack=False))
    if slack:
        channels.append(_webhook("Slack webhook", slack, "ETL_ASSETS_ALERT_SLACK", slack=True))
    if email or smtp:
        channels.append(_email(email, smtp, smtp_password))
    if sns:
        if not _TOPIC.fullmatch(sns):
            raise PermanentError(
                "ETL_ASSETS_ALERT_SNS is no ARN of a topic.",
                "Write arn:aws:sns:REGION:ACCOUNT:NAME.",
            )
        channels.append(Topic(sns))
    return channels


def _webhook(name: str, url: str, variable: str, *, slack: bool) -> Webhook:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise PermanentError(f"{variable} is no URL of a web server.", "Write https://HOST/PATH.")
    return Webhook(name, url, slack)


def _email(recipients: str, smtp: str, password: str) -> Email:
    addresses = tuple(filter(None, (part.strip() for part in recipients.split(","))))
    if not addresses or not all(_ADDRESS.fullmatch(address) for address in addresses):
        raise PermanentError(
            "ETL_ASSETS_ALERT_EMAIL holds no addresses.", "Write ADDRESS, or several with commas."
        )
    parts = urlsplit(smtp)
    if parts.password:
        raise PermanentError(
            "ETL_ASSETS_ALERT_SMTP carries a password.",
            "Take it out of the URL and set ETL_ASSETS_ALERT_SMTP_PASSWORD.",
        )
    try:
        port = parts.port or (465 if parts.scheme == "smtps" else 25)
    except ValueError:
        port = 0
    sender = parse_qs(parts.query).get("from", [addresses[0]])[0]
    if (
        parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or not port
        or not _ADDRESS.fullmatch(sender)
    ):
        raise PermanentError(
            "ETL_ASSETS_ALERT_SMTP names no server for the messages to ETL_ASSETS_ALERT_EMAIL.",
            f"Write {_SMTP_FORM}.",
        )
    return Email(
        addresses, sender, parts.hostname, port, unquote(parts.username or ""), password,
        parts.scheme == "smtps",
    )  # fmt: skip


def _why(error: Exception) -> str:
    """Return why there was no answer, in words in which no address can be."""
    reason = getattr(error, "reason", error)
    return getattr(reason, "strerror", None) or type(reason).__name__
