"""What the AWS systems share: their URLs, their clients, and what AWS's error codes mean.

Credentials come from boto3's own chain (environment, shared files, container or instance
role) and are never part of a URL. boto3 is imported when a client is made, not before.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import parse_qsl, urlsplit

from etl_assets.core.errors import PermanentError, TransientError
from etl_assets.core.failure_classes import Meaning, meaning_of
from etl_assets.core.rules.expressions import nearest

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

_OPTIONS = ("region", "endpoint_url")
_NO_CONTENT, _ERROR, _SERVER_ERROR = 204, 400, 500
ATTEMPTS = 6
"""How often a request is tried; with AWS's standard backoff that takes half a minute at most."""


@dataclass(frozen=True)
class Place:
    """A bucket or table, and how it is reached.

    Attributes:
        name: Of the bucket or table.
        prefix: What every key begins with; empty, or without a slash at either end.
        region: AWS region; None means the one boto3 is configured with.
        endpoint_url: Of a compatible server; None means AWS.
    """

    name: str
    prefix: str = ""
    region: str | None = None
    endpoint_url: str | None = None


def parse_place(url: str, variable: str, form: str) -> Place:
    """Return the place that a URL names.

    Args:
        url: `SCHEME://NAME[/PREFIX][?region=…&endpoint_url=…]`.
        variable: The environment variable it comes from, for errors.
        form: How such a URL is written, for errors.

    Raises:
        PermanentError: When it is not such a URL; what may be secret is not shown.
    """
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    if "@" in parts.netloc:
        raise PermanentError(
            f"{variable} carries credentials, and URLs are shown in the UI and in logs.",
            "Take them out; boto3 finds credentials by itself (role, profile or environment).",
        )
    prefix = parts.path.strip("/")
    problem = ""
    if not parts.netloc:
        problem = "has no name after `//`"
    elif parts.fragment:
        problem = "has a `#`"
    elif prefix and any(segment in ("", ".", "..") for segment in prefix.split("/")):
        problem = "has a prefix with an empty, `.` or `..` segment"
    for number, (name, value) in enumerate(options):
        if name not in _OPTIONS:
            problem = f"has an unknown option `{name}`{nearest(name, _OPTIONS)}"
        elif not value or name in dict(options[:number]):
            problem = f"has the option `{name}` empty or twice"
        elif name == "endpoint_url" and urlsplit(value).scheme not in ("http", "https"):
            problem = "has an `endpoint_url` that begins neither `http://` nor `https://`"
    if problem:
        raise PermanentError(f"{variable} {problem}.", f"Write {form}.")
    return Place(name=parts.netloc, prefix=prefix, **dict(options))


@overload
def make_client(service: Literal["s3"], place: Place, *, attempts: int) -> "S3Client": ...


@overload
def make_client(
    service: Literal["dynamodb"], place: Place, *, attempts: int
) -> "DynamoDBClient": ...


def make_client(
    service: Literal["s3", "dynamodb"], place: Place, *, attempts: int
) -> "S3Client | DynamoDBClient":
    """Return a boto3 client; the same again for the same place, since one costs 0.1 s.

    Raises:
        PermanentError: When no region is known or the endpoint is not a URL.
    """
    return _make_client(service, place, attempts)


@lru_cache(maxsize=8)
def _make_client(
    service: Literal["s3", "dynamodb"], place: Place, attempts: int
) -> "S3Client | DynamoDBClient":
    import boto3
    from botocore.exceptions import BotoCoreError

    session = boto3.Session()
    region = place.region or session.region_name or ("us-east-1" if place.endpoint_url else None)
    if region is None:
        raise PermanentError(
            f"The AWS region of {place.name} is not known.",
            "Write `?region=…` at the end of the URL, or set AWS_REGION.",
        )
    try:
        client = session.client(
            service,
            region_name=region,
            endpoint_url=place.endpoint_url,
            config=_config(attempts, path_style=place.endpoint_url is not None),
        )
    except (BotoCoreError, ValueError) as error:
        raise PermanentError(f"AWS cannot be reached for {place.name}: {error}.") from error
    client.meta.events.register_last("before-call", _ask_for_no_leave)
    client.meta.events.register("before-parse", _refuse_unfinished)
    client.meta.events.register_first("needs-retry", _count_as_answered)
    return client


def _config(attempts: int, *, path_style: bool) -> "Config":
    from botocore.config import Config

    return Config(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path" if path_style else "auto"},
        request_checksum_calculation="when_required",  # SHA-256 is given where it counts
        response_checksum_validation="when_required",  # and proven by us
    )


def _ask_for_no_leave(params: dict[str, Any], **_: object) -> None:
    """Send a body at once; boto3 waits for ever for a "100 Continue" that broke off."""
    params["headers"].pop("Expect", None)


def _refuse_unfinished(
    response_dict: dict[str, Any],
    operation_model: Any,  # noqa: ANN401  (botocore has no types for it)
    **_: object,
) -> None:
    """Turn an answer that broke off into one that is worth another attempt.

    boto3 takes it for whole: headers without an end for all there are, and half a body of JSON
    for an empty one, in which a record that is there is not found.
    """
    status, body = response_dict["status_code"], response_dict["body"]
    head = operation_model.http["method"] == "HEAD"
    if status == _NO_CONTENT or (head and status >= _ERROR):
        return  # has no body that could be missing
    if head and operation_model.name != "HeadObject":
        return  # tells no length of anything
    length = response_dict["headers"].get("Content-Length", "")
    if head or not isinstance(body, bytes):  # a stream is measured while it is read
        whole = length.isdigit()
    else:  # http.client itself sees to the end of what comes in chunks
        whole = length == str(len(body)) or "Transfer-Encoding" in response_dict["headers"]
    if not whole:
        code, said = "RequestTimeout", "the answer broke off"  # boto3 tries this one again
        xml = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
        in_xml = "xml" in operation_model.service_model.resolved_protocol
        text = xml if in_xml else json.dumps({"__type": code, "message": said})
        response_dict |= {"status_code": _SERVER_ERROR, "body": text.encode()}


def _count_as_answered(response: tuple[Any, dict[str, Any]] | None, **_: object) -> None:
    """Give boto3 the status that `_refuse_unfinished` set, by which it tries again."""
    if response is not None:
        answer, parsed = response
        answer.status_code = parsed["ResponseMetadata"]["HTTPStatusCode"]


def error_code(error: Exception) -> str:
    """Return AWS's code of an error, or the name of boto3's own."""
    return str(_answered(error).get("Code", "")) or type(error).__name__


def _answered(error: Exception) -> dict[str, Any]:
    """Return what AWS said of an error; nothing when the connection ended before it could."""
    response: dict[str, dict[str, Any]] | None = getattr(error, "response", None)
    return (response or {}).get("Error", {})


def is_transient(error: Exception) -> bool:
    """Return whether trying again may help: busy, throttled, unreachable or cut off."""
    meaning = _meaning(error)
    return meaning is not None and meaning.transient


def _meaning(error: Exception) -> Meaning | None:
    response: dict[str, Any] | None = getattr(error, "response", None)
    status = (response or {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    kinds = [
        kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith("botocore")
    ]
    server = ["5xx"] if status >= _SERVER_ERROR else []
    return meaning_of("AWS", error_code(error), *server, *kinds)


@contextlib.contextmanager
def aws_explained(
    what: str, kind: type[PermanentError], remedies: dict[str, str] | None = None
) -> Iterator[None]:
    """Turn what boto3 raises into our errors.

    Args:
        what: What was attempted, on what; begins the sentence.
        kind: The error of what trying again does not change.
        remedies: What to do, by AWS's error code; before those all services share.

    Raises:
        TransientError: When AWS was busy, throttled or unreachable to the last attempt.
        PermanentError: Of that `kind`, for everything else AWS refuses.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        said = _answered(error).get("Message") or str(error)
        reason = f"{what} failed: {code}, {' '.join(str(said).split()).rstrip('.')}."
        if is_transient(error):
            raise TransientError(reason, "Try again in a few minutes.") from error
        meaning = _meaning(error)
        shared = meaning.remedy if meaning else ""
        raise kind(reason, (remedies or {}).get(code, shared)) from error
