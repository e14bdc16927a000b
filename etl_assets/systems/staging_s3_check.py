"""Whether the staging bucket can be used, and what guards it, as far as this process may read it."""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from etl_assets.core.errors import EtlError
from etl_assets.systems.aws import error_code
from etl_assets.systems.protocols import Check

if TYPE_CHECKING:
    from etl_assets.systems.staging_s3 import S3Staging


def check_store(staging: "S3Staging") -> list[Check]:
    """Return whether an object can be written, read back and removed; and what guards it."""
    path = f"doctor/{uuid.uuid4().hex}"
    try:
        with staging.explained("Finding", ""):
            staging.client.head_bucket(Bucket=staging.place.name)
        part = staging.put_text(path, "probe")
        with staging.fetch([part]):
            pass
        staging.delete([path])
    except EtlError as error:
        remedy = error.remedy or "Correct ETL_ASSETS_STAGING."
        return [Check("writable", ok=False, detail=error.message, remedy=remedy)]
    return [Check("writable", ok=True, detail=staging.uri("")), *bucket_notes(staging)]


def bucket_notes(staging: "S3Staging") -> list[Check]:
    """Return versioning, encryption and public access; only a public bucket is a fault."""
    client, bucket = staging.client, staging.place.name

    def versioning() -> str:
        status = client.get_bucket_versioning(Bucket=bucket).get("Status")
        return str(status or "off").lower()

    def encryption() -> str:
        answer = client.get_bucket_encryption(Bucket=bucket)
        rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
        return ", ".join(
            str(rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm"))
            for rule in rules
        )

    def public_access() -> str:
        answer = client.get_public_access_block(Bucket=bucket)
        blocked = all(answer["PublicAccessBlockConfiguration"].values())
        return "blocked" if blocked else "not blocked"

    public = _note(public_access, {"NoSuchPublicAccessBlockConfiguration": "not blocked"})
    return [
        Check("versioning", ok=True, detail=_note(versioning, {})),
        Check(
            "encryption",
            ok=True,
            detail=_note(encryption, {"ServerSideEncryptionConfigurationNotFoundError": "off"}),
        ),
        Check(
            "public access",
            ok=public != "not blocked" or staging.place.endpoint_url is not None,
            detail=public,
            remedy="Turn on the bucket's Block Public Access settings, all four.",
        ),
    ]


def _note(read: Callable[[], str], absent: dict[str, str]) -> str:
    """Return what `read` says; or that it may not, which is no fault of the bucket."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return read()
    except (ClientError, BotoCoreError) as error:
        code = error_code(error)
        return absent.get(code, f"not readable ({code})")
