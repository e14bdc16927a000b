"""What policies allow, and what code asks of AWS; for the tests of the deployment."""

import ast
import fnmatch
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import cfnlint
from botocore import xform_name

Statement = dict[str, Any]

SERVICES = {
    "dynamodb": "dynamodb",
    "ecs": "ecs",
    "logs": "logs",
    "redshift": "redshift",
    "redshift-serverless": "redshift-serverless",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "sns": "sns",
}
"""boto3's service: prefix of its actions."""

NAMED_OTHERWISE = {
    "delete_objects": {"s3:DeleteObject"},
    "download_fileobj": {"s3:GetObject"},
    "generate_db_auth_token": {"rds-db:connect"},
    "get_bucket_encryption": {"s3:GetEncryptionConfiguration"},
    "get_public_access_block": {"s3:GetBucketPublicAccessBlock"},
    "head_bucket": {"s3:ListBucket"},
    "head_object": {"s3:GetObject"},
    "list_objects": {"s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "transact_get_items": {"dynamodb:GetItem"},
    "transact_write_items": {
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    },
    "upload_fileobj": {"s3:AbortMultipartUpload", "s3:PutObject"},
}
"""Calls that need other actions than their own name says."""

_ENTRANCES = {"get_paginator", "get_waiter"}
_USES = ("boto3", "botocore", "dagster_aws", "systems.aws", "self.ecs", "ecs.run_task")


def actions_called(source: str) -> set[str]:
    """Return the actions that a module's calls of boto3 need; none when it does not use boto3."""
    if not any(word in source for word in _USES):
        return set()
    operations = _operations()
    actions: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = node.func.attr
            if name in _ENTRANCES and node.args and isinstance(node.args[0], ast.Constant):
                name = str(node.args[0].value)
            actions |= operations.get(name, set())
    return actions


@cache
def _operations() -> dict[str, set[str]]:
    session = botocore.session.Session()
    found: dict[str, set[str]] = {}
    for service, prefix in SERVICES.items():
        for operation in session.get_service_model(service).operation_names:
            found.setdefault(xform_name(operation), set()).add(f"{prefix}:{operation}")
    return found | NAMED_OTHERWISE


def listed(value: str | Sequence[str]) -> list[str]:
    """Return a policy's value as a list; a single one may stand alone."""
    return [value] if isinstance(value, str) else list(value)


def is_allowed(statements: Iterable[Statement], action: str, resource: str) -> bool:
    """Return whether an action on a resource is allowed, whatever the conditions are."""
    matching = [
        statement["Effect"]
        for statement in statements
        if any(fnmatch.fnmatchcase(action, a) for a in listed(statement["Action"]))
        and any(fnmatch.fnmatchcase(resource, r) for r in listed(statement["Resource"]))
    ]
    return "Allow" in matching and "Deny" not in matching


def takes_no_resource(action: str) -> bool:
    """Return whether AWS lists no resource for an action, so that only `*` can be written."""
    service, _, name = action.partition(":")
    return not _aws_actions()[service]["Actions"][name.lower()].get("Resources")


@cache
def _aws_actions() -> dict[str, Any]:
    file = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def too_wide(statements: Iterable[Statement], reasons: dict[str, str]) -> list[str]:
    """Return what is allowed with a wildcard and has no reason.

    A resource may end in `*` below a name; an action may not, and a resource that is nothing
    but `*` only where AWS has no other form and `reasons` says what it is for.
    """
    wide = []
    for statement in statements:
        if statement["Effect"] == "Deny":
            continue
        if "NotAction" in statement or "NotResource" in statement:
            wide.append(f"{statement.get('Sid')}: everything but")
            continue
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        wide += [action for action in actions if "*" in action]
        wide += [r for r in resources if r != "*" and not _is_named(r)]
        if "*" in resources:
            wide += [
                f"{action} on *"
                for action in actions
                if "*" not in action and not (action in reasons and takes_no_resource(action))
            ]
    return wide


def _is_named(arn: str) -> bool:
    """Return whether an ARN names one account's or bucket's thing before its first wildcard."""
    parts = arn.split(":", 5)
    return len(parts) == 6 and parts[5][0] != "*" and "*" not in "".join(parts[:5])
