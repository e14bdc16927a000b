"""The deployment, as far as it can be tried without AWS and without a container engine.

At risk is what only shows in somebody's account: a template that cannot be created, a role that
may too little for the code or too much for anyone, an image that carries a secret, an instance
that behaves otherwise than the one that was tested. Each check is a function; one test holds our
files to it, another plants a fault and sees it found.
"""

import copy
import json
import os
import re
import shlex
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._serdes import ConfigurableClassData
from dagster_aws.ecs import EcsRunLauncher
from dagster_aws.s3.compute_log_manager import S3ComputeLogManager
from dagster_postgres.storage import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config

from etl_assets.home import TEMPLATE as EMBEDDED_INSTANCE
from etl_assets.settings import VARIABLES, Settings
from etl_assets_tests import permissions
from etl_assets_tests.permissions import actions_called, is_allowed, too_wide
from etl_assets_tests.stack import (
    DEPLOY,
    OPTIONAL,
    REGION,
    TEMPLATE,
    WORKGROUP,
    Stack,
    client,
    create_stack,
    emulated_aws,
    read_template,
)

ROOT = DEPLOY.parent
ACCOUNT = "123456789012"
INSTANCE_VALUES = {
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "DAGSTER_POSTGRES_HOST": "db.example.com",
    "DAGSTER_POSTGRES_DB": "dagster",
    "DAGSTER_POSTGRES_USER": "dagster",
    "DAGSTER_POSTGRES_PASSWORD": "p@ss/word",
    "DAGSTER_LOG_BUCKET": "logs",
    "DAGSTER_RUN_TASK_DEFINITION": "etl-run",
}
"""What deploy/dagster.yaml takes from the environment."""

NO_RESOURCE = {
    "ec2:DescribeNetworkInterfaces": "the launcher copies the daemon's own network to a run",
    "ecr:GetAuthorizationToken": "the registry's login is the account's",
    "ecs:DescribeTaskDefinition": "the launcher looks up the run's task definition by its name",
}
"""Actions allowed on `*`, and what they are for; AWS has no resource for them."""

BY_HAND_ONLY = {
    "dynamodb:ConditionCheckItem": "registry push, rules publish",
    "dynamodb:CreateTable": "registry init asks before it finds the stack's table",
    "dynamodb:DeleteItem": "registry push, rules publish",
    "dynamodb:PutItem": "registry init and push, rules publish",
    "dynamodb:UpdateContinuousBackups": "registry init",
    "dynamodb:UpdateItem": "registry push, rules publish",
}
"""What a task started by hand may, and a run may not: a run never changes its own rules."""

LAUNCHER_LEAVES_OUT = {
    "ecs:RegisterTaskDefinition": "the task definition is given",
    "s3:DeleteObject": "compute logs end by the bucket's lifecycle",
}
ROLES = (
    "ExecutionRole", "WorkerRole", "MaintenanceRole", "DaemonRole", "ViewerRole", "OperatorRole",
    "CopyRole",
)  # fmt: skip


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """The template as a document."""
    return read_template()


@pytest.fixture(scope="module", autouse=True)
def _emulation() -> Iterator[None]:
    """One emulated account for all; each stack has a name of its own in it."""
    with emulated_aws():
        yield


@pytest.fixture(scope="module")
def plain_stack(_emulation: None, template: dict[str, Any]) -> Stack:
    """The stack with what is required only."""
    return create_stack(template, {})


@pytest.fixture(scope="module")
def full_stack(_emulation: None, template: dict[str, Any]) -> Stack:
    """The stack with every optional part."""
    return create_stack(template, OPTIONAL)


@pytest.fixture(scope="module")
def workgroup_stack(_emulation: None, template: dict[str, Any]) -> Stack:
    """The stack for a serverless warehouse."""
    return create_stack(template, WORKGROUP)


@pytest.fixture(params=["plain_stack", "full_stack", "workgroup_stack"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Each of the three."""
    made: Stack = request.getfixturevalue(request.param)
    return made


# The template.


def lint(file: Path) -> list[str]:
    """Return what cfn-lint says of a template, hints included, one line each."""
    command = ["cfn-lint", "--include-checks", "I", "--format", "json", "--", str(file)]
    program = str(Path(sys.executable).parent / command[0])
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True)
    assert done.stderr == ""
    return sorted(f"{m['Rule']['Id']} {m['Message']}" for m in json.loads(done.stdout or "[]"))


def test_cfn_lint_finds_nothing_in_the_template() -> None:
    assert lint(TEMPLATE) == []
    assert "cfn-lint" not in TEMPLATE.read_text(encoding="utf-8"), "no rule is switched off"


def test_cfn_lint_finds_an_action_that_does_not_exist_and_a_parameter_nobody_uses(
    tmp_path: Path,
) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    planted = text.replace('"dynamodb:Query"', '"dynamodb:Querry"').replace(
        "\nRules:\n", "\n  Colour: {Type: String, Description: Of nothing.}\n\nRules:\n"
    )
    file = tmp_path / "planted.yaml"
    file.write_text(planted, encoding="utf-8")
    assert [found.split()[0] for found in lint(file)] == ["W2001", "W3037"]


def test_every_parameter_is_described_and_every_text_is_constrained(
    template: dict[str, Any],
) -> None:
    for name, parameter in template["Parameters"].items():
        assert parameter.get("Description"), name
        constraints = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue"}
        assert parameter["Type"].startswith(("AWS::", "List<")) or constraints & set(parameter), (
            name
        )


def test_the_stack_is_created_with_every_resource_whose_condition_holds(
    stack: Stack, template: dict[str, Any]
) -> None:
    conditional = {
        name for name, resource in template["Resources"].items() if "Condition" in resource
    }
    assert set(template["Resources"]) - conditional <= set(stack.resources)
    assert set(stack.resources) <= set(template["Resources"])


def test_the_optional_parts_are_there_when_they_are_asked_for(
    plain_stack: Stack, full_stack: Stack
) -> None:
    operator = {"OperatorRole", "OperatorTask", "OperatorService", "OperatorDiscovery"}
    assert {"SourceSecret", "WarehouseSecret"} <= set(plain_stack.resources)
    assert not ({"DaemonMemoryAlarm", "AlertPolicy", *operator} & set(plain_stack.resources))
    assert not ({"SourceSecret", "WarehouseSecret"} & set(full_stack.resources))
    assert {"DaemonMemoryAlarm", "AlertPolicy", *operator} <= set(full_stack.resources)


# What is kept.


def wrong_with_bucket(bucket: str) -> list[str]:
    """Return what a staging bucket lacks."""
    s3 = client("s3")
    wrong = []
    try:
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    except s3.exceptions.ClientError as error:
        return [error.response["Error"]["Code"]]
    if not all(blocked.values()):
        wrong.append("public access")
    if not encryption["Rules"]:
        wrong.append("encryption")
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        wrong.append("versioning")
    if not any("AbortIncompleteMultipartUpload" in rule for rule in rules):
        wrong.append("incomplete uploads")
    if not any("NoncurrentVersionExpiration" in rule for rule in rules):
        wrong.append("noncurrent versions")
    denied = [
        s["Condition"]
        for s in policy
        if s["Effect"] == "Deny" and f"{bucket}/*" in s["Resource"][1]
    ]
    if {"Bool": {"aws:SecureTransport": "false"}} not in denied:
        wrong.append("TLS")
    return wrong


def create_bucket(template: dict[str, Any]) -> str:
    """Create the bucket and its policy alone; return its name."""
    alone = {
        "Parameters": {
            n: template["Parameters"][n] for n in ("LogRetentionDays", "NoncurrentDays")
        },
        "Resources": {n: template["Resources"][n] for n in ("Bucket", "BucketPolicy")},
    }
    return create_stack(alone, {}).resources["Bucket"]


def test_the_bucket_is_private_encrypted_versioned_and_cleaned(stack: Stack) -> None:
    assert wrong_with_bucket(stack.resources["Bucket"]) == []


@pytest.mark.parametrize(
    ("path", "planted", "found"),
    [
        ("Bucket/PublicAccessBlockConfiguration/BlockPublicPolicy", "false", "public access"),
        ("Bucket/VersioningConfiguration/Status", "Suspended", "versioning"),
        ("Bucket/LifecycleConfiguration/Rules/0/Status", None, "incomplete uploads"),
        ("Bucket/LifecycleConfiguration/Rules/1/Status", None, "noncurrent versions"),
        ("BucketPolicy/PolicyDocument/Statement/0/Effect", "Allow", "TLS"),
    ],
)
def test_a_bucket_that_lacks_something_is_found(
    template: dict[str, Any], path: str, planted: str | None, found: str
) -> None:
    broken = copy.deepcopy(template)
    resource, *steps, last = path.split("/")
    place: Any = broken["Resources"][resource]["Properties"]
    for step in steps[:-1] if planted is None else steps:
        place = place[int(step)] if step.isdigit() else place[step]
    if planted is None:
        del place[int(steps[-1])]
    else:
        place[last] = planted
    assert wrong_with_bucket(create_bucket(broken)) == [found]


def test_a_bucket_without_encryption_is_found(template: dict[str, Any]) -> None:
    broken = copy.deepcopy(template)
    del broken["Resources"]["Bucket"]["Properties"]["BucketEncryption"]
    assert wrong_with_bucket(create_bucket(broken)) == [
        "ServerSideEncryptionConfigurationNotFoundError"
    ]


def test_nothing_under_extract_or_stage_can_be_overwritten(stack: Stack) -> None:
    bucket = stack.resources["Bucket"]
    policy = json.loads(client("s3").get_bucket_policy(Bucket=bucket)["Policy"])
    (statement,) = [s for s in policy["Statement"] if s["Sid"] == "NothingStagedIsOverwritten"]
    assert statement["Effect"] == "Deny"
    assert statement["Action"] == "s3:PutObject"
    assert statement["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert [r.rpartition(bucket)[2] for r in statement["Resource"]] == [
        "/etl_assets/extract/*",
        "/etl_assets/stage/*",
    ]


def test_the_table_has_the_registrys_key_stream_and_expiry(stack: Stack) -> None:
    table = client("dynamodb").describe_table(TableName=stack.resources["Table"])["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "PK", "KeyType": "HASH"},
        {"AttributeName": "SK", "KeyType": "RANGE"},
    ]
    assert {a["AttributeType"] for a in table["AttributeDefinitions"]} == {"S"}
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"


def test_table_and_bucket_outlive_the_stack_and_the_table_can_be_recovered(
    template: dict[str, Any],
) -> None:
    for name in ("Table", "Bucket"):
        assert template["Resources"][name]["DeletionPolicy"] == "Retain"
        assert template["Resources"][name]["UpdateReplacePolicy"] == "Retain"
    table = template["Resources"]["Table"]["Properties"]
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_dagsters_database_is_encrypted_private_and_tls_only(stack: Stack) -> None:
    rds = client("rds")
    found = rds.describe_db_instances(DBInstanceIdentifier=stack.resources["Database"])
    (database,) = found["DBInstances"]
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    resources = read_template()["Resources"]  # the emulator does not keep these
    assert resources["Database"]["Properties"]["DeletionProtection"] is True
    assert resources["DatabaseParameters"]["Properties"]["Parameters"] == {"rds.force_ssl": "1"}


def test_the_generated_logins_are_long_and_fit_a_url(plain_stack: Stack) -> None:
    for name, user in (
        ("DatabaseSecret", "dagster"),
        ("SourceSecret", "etl_assets"),
        ("WarehouseSecret", "etl_assets"),
    ):
        found = client("secretsmanager").get_secret_value(SecretId=plain_stack.resources[name])
        login = json.loads(found["SecretString"])
        assert login["username"] == user
        assert len(login["password"]) >= 32
        assert urllib.parse.quote(login["password"]) == login["password"]


# The network.


def open_to_strangers(groups: list[dict[str, Any]]) -> list[str]:
    """Return the groups that let in an address that is not private."""
    return [
        group["GroupName"]
        for group in groups
        for permission in group["IpPermissions"]
        for address in permission.get("IpRanges", []) + permission.get("Ipv6Ranges", [])
        if not str(address.get("CidrIp")).startswith(("10.", "172.", "192.168."))
    ]


def test_the_webservers_are_reached_from_inside_the_vpc_only(full_stack: Stack) -> None:
    ids = [i for name, i in full_stack.resources.items() if name.endswith("SecurityGroup")]
    groups = client("ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"]
    assert len(groups) == 3
    assert open_to_strangers(groups) == []
    broken = copy.deepcopy(groups)
    for group in broken:
        for permission in group["IpPermissions"]:
            permission["IpRanges"] = [{"CidrIp": "0.0.0.0/0"}]
    assert set(open_to_strangers(broken)) == {group["GroupName"] for group in groups}
    for name in ("CodeLocationService", "DaemonService", "ViewerService", "OperatorService"):
        service = read_template()["Resources"][name]["Properties"]
        network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"


@pytest.mark.parametrize("range_", ["0.0.0.0/0", "8.8.8.0/24", "172.32.0.0/16", "10.0.0.0", "::/0"])
def test_a_range_that_is_not_private_cannot_be_given(template: dict[str, Any], range_: str) -> None:
    pattern = template["Parameters"]["VpcCidr"]["AllowedPattern"]
    assert re.fullmatch(pattern, "10.0.0.0/16")
    assert re.fullmatch(pattern, "172.31.0.0/16")
    assert not re.fullmatch(pattern, range_)


# The roles.


def test_no_role_may_more_than_named_actions_on_named_things(stack: Stack) -> None:
    for role in ROLES:
        if role in stack.resources:
            assert stack.statements(role)
            assert too_wide(stack.statements(role), NO_RESOURCE) == [], role


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ({"Action": "s3:*", "Resource": "arn:aws:s3:::b/*"}, ["s3:*"]),
        ({"Action": "*", "Resource": "arn:aws:s3:::b/*"}, ["*"]),
        ({"Action": ["s3:GetObject"], "Resource": "*"}, ["s3:GetObject on *"]),
        ({"Action": "s3:Get*", "Resource": ["*"]}, ["s3:Get*"]),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::*"}, ["arn:aws:s3:::*"]),
        (
            {"Action": "ecs:StopTask", "Resource": "arn:aws:ecs:*:*:task/a"},
            ["arn:aws:ecs:*:*:task/a"],
        ),
        ({"Action": "ec2:DescribeInstances", "Resource": "*"}, ["ec2:DescribeInstances on *"]),
        ({"NotAction": "iam:PassRole", "Resource": "*"}, ["None: everything but"]),
    ],
)
def test_a_wildcard_without_a_reason_is_found(statement: dict[str, Any], found: list[str]) -> None:
    assert too_wide([{"Effect": "Allow", **statement}], NO_RESOURCE) == found


def test_aws_has_no_resource_for_what_is_allowed_on_everything() -> None:
    for action in NO_RESOURCE:
        assert permissions.takes_no_resource(action), action
    assert not permissions.takes_no_resource("ecs:StopTask")


def test_every_reason_for_a_wildcard_is_still_needed(full_stack: Stack) -> None:
    used = {
        action
        for role in ROLES
        for statement in full_stack.statements(role)
        if "*" in permissions.listed(statement["Resource"])
        for action in permissions.listed(statement["Action"])
    }
    assert used == set(NO_RESOURCE)


def arns(stack: Stack) -> dict[str, str]:
    """Return the ARNs that the tables below abbreviate."""
    bucket = f"arn:aws:s3:::{stack.resources['Bucket']}"
    cluster = stack.resources["Cluster"]
    redshift = f"arn:aws:redshift:{REGION}:{ACCOUNT}"
    return {
        "bucket": bucket,
        "extract": f"{bucket}/etl_assets/extract/sales/CJ15/1/part-00000.parquet",
        "stage": f"{bucket}/etl_assets/stage/sales/CJ15/1/manifest.json",
        "probe": f"{bucket}/etl_assets/doctor/1",
        "log": f"{bucket}/dagster/storage/1/compute_logs/a.err",
        "elsewhere": f"{bucket}/other/1",
        "table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{stack.resources['Table']}",
        "another table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/another",
        "source user": f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{OPTIONAL['SourceResourceId']}/etl_assets",
        "source admin": f"arn:aws:rds-db:{REGION}:{ACCOUNT}:dbuser:{OPTIONAL['SourceResourceId']}/admin",
        "warehouse user": f"{redshift}:dbuser:reports/etl_assets",
        "warehouse database": f"{redshift}:dbname:reports/reports",
        "warehouse admin": f"{redshift}:dbuser:reports/admin",
        "workgroup": f"arn:aws:redshift-serverless:{REGION}:{ACCOUNT}:workgroup/"
        + WORKGROUP["WarehouseWorkgroupId"],
        "source secret": stack.resources.get("SourceSecret", "-"),
        "warehouse secret": stack.resources.get("WarehouseSecret", "-"),
        "database secret": stack.resources["DatabaseSecret"],
        "image": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/etl-assets",
        "run": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{stack.name}-run:7",
        "another program": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/another:7",
        "task": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/0123",
        "another cluster": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/another/0123",
        "worker role": client("iam").get_role(RoleName=stack.resources["WorkerRole"])["Role"][
            "Arn"
        ],
        "admin role": f"arn:aws:iam::{ACCOUNT}:role/admin",
        "run log": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/etl-assets/{stack.name}/runs:log-stream:run/run/1",
        "topic": OPTIONAL["AlarmTopicArn"],
        "another topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:another",
        "*": "*",
    }


MAY = """
WorkerRole  dynamodb:GetItem            table
WorkerRole  dynamodb:Query              table
WorkerRole  s3:PutObject                extract
WorkerRole  s3:GetObject                extract
WorkerRole  s3:PutObject                stage
WorkerRole  s3:GetObject                stage
WorkerRole  s3:DeleteObject             probe
WorkerRole  s3:ListBucket               bucket
WorkerRole  s3:PutObject                log
WorkerRole  rds-db:connect              source user
WorkerRole  redshift:GetClusterCredentials  warehouse user
WorkerRole  redshift:GetClusterCredentials  warehouse database
WorkerRole  sns:Publish                 topic
MaintenanceRole  dynamodb:PutItem       table
MaintenanceRole  dynamodb:Query         table
MaintenanceRole  s3:DeleteObject        extract
MaintenanceRole  s3:DeleteObject        stage
CopyRole    s3:GetObject                stage
CopyRole    s3:ListBucket               bucket
ExecutionRole  secretsmanager:GetSecretValue  database secret
ExecutionRole  ecr:BatchGetImage        image
ExecutionRole  logs:PutLogEvents        run log
DaemonRole  ecs:RunTask                 run
DaemonRole  ecs:TagResource             task
DaemonRole  ecs:StopTask                task
DaemonRole  ecs:DescribeTasks           task
DaemonRole  iam:PassRole                worker role
DaemonRole  logs:GetLogEvents           run log
DaemonRole  ec2:DescribeNetworkInterfaces  *
ViewerRole  s3:GetObject                log
OperatorRole  s3:GetObject              log
OperatorRole  ecs:StopTask              task
"""

MAY_NOT = """
WorkerRole  dynamodb:GetItem            another table
WorkerRole  dynamodb:PutItem            table
WorkerRole  dynamodb:DeleteTable        table
WorkerRole  s3:DeleteObject             extract
WorkerRole  s3:DeleteObject             stage
WorkerRole  s3:PutObject                elsewhere
WorkerRole  s3:PutBucketPolicy          bucket
WorkerRole  rds-db:connect              source admin
WorkerRole  redshift:GetClusterCredentials  warehouse admin
WorkerRole  secretsmanager:GetSecretValue  database secret
WorkerRole  ecs:RunTask                 run
WorkerRole  iam:PassRole                worker role
WorkerRole  sns:Publish                 another topic
MaintenanceRole  dynamodb:DeleteTable   table
MaintenanceRole  s3:DeleteObjectVersion  stage
CopyRole    s3:GetObject                extract
CopyRole    s3:GetObject                log
CopyRole    s3:PutObject                stage
ExecutionRole  s3:GetObject             stage
DaemonRole  ecs:RunTask                 another program
DaemonRole  ecs:StopTask                another cluster
DaemonRole  iam:PassRole                admin role
DaemonRole  s3:GetObject                stage
DaemonRole  dynamodb:GetItem            table
ViewerRole  s3:GetObject                stage
ViewerRole  s3:PutObject                log
ViewerRole  ecs:StopTask                task
OperatorRole  ecs:RunTask               run
OperatorRole  dynamodb:GetItem          table
"""


def rows(table: str) -> list[tuple[str, str, str]]:
    """Return role, action and resource of each line."""
    split = [line.split(maxsplit=2) for line in table.strip().splitlines()]
    return [(role, action, resource.strip()) for role, action, resource in split]


def wrong_permissions(stack: Stack, table: str, *, may: bool) -> list[str]:
    """Return the lines that the stack's roles do not keep."""
    named = arns(stack)
    return [
        f"{role} {action} {resource}"
        for role, action, resource in rows(table)
        if is_allowed(stack.statements(role), action, named[resource]) is not may
    ]


def test_each_role_may_what_its_process_does_and_not_what_it_does_not(full_stack: Stack) -> None:
    assert wrong_permissions(full_stack, MAY, may=True) == []
    assert wrong_permissions(full_stack, MAY_NOT, may=False) == []


def test_a_permission_that_is_missing_or_too_much_is_found(template: dict[str, Any]) -> None:
    broken = copy.deepcopy(template)
    document = broken["Resources"]["CopyRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    document["Statement"][0]["Resource"] = {"Fn::Sub": "${Bucket.Arn}/etl_assets/extract/*"}
    made = create_stack(broken, OPTIONAL)
    assert wrong_permissions(made, MAY, may=True) == ["CopyRole s3:GetObject stage"]
    assert wrong_permissions(made, MAY_NOT, may=False) == ["CopyRole s3:GetObject extract"]


def test_passwords_and_serverless_credentials_are_allowed_when_they_are_used(
    plain_stack: Stack, workgroup_stack: Stack
) -> None:
    may = (
        "WorkerRole secretsmanager:GetSecretValue source secret\n"
        "WorkerRole secretsmanager:GetSecretValue warehouse secret"
    )
    assert wrong_permissions(plain_stack, may, may=True) == []
    may_not = (
        "WorkerRole rds-db:connect source user\n"
        "WorkerRole secretsmanager:GetSecretValue database secret"
    )
    assert wrong_permissions(plain_stack, may_not, may=False) == []
    may = "WorkerRole redshift-serverless:GetCredentials workgroup"
    assert wrong_permissions(workgroup_stack, may, may=True) == []


def not_allowed(stack: Stack, role: str, actions: set[str]) -> list[str]:
    """Return the actions that no statement of a role names, on whatever resource."""
    granted = {
        action
        for statement in stack.statements(role)
        if statement["Effect"] == "Allow"
        for action in permissions.listed(statement["Action"])
    }
    return sorted(actions - granted)


def our_calls() -> set[str]:
    """Return the actions that the package's own calls of AWS need, but for the logins."""
    sources = [f.read_text(encoding="utf-8") for f in (ROOT / "etl_assets").rglob("*.py")]
    calls = {action for source in sources for action in actions_called(source)}
    logins = ("rds-db:", "redshift:", "redshift-serverless:", "secretsmanager:")
    return {action for action in calls if not action.startswith(logins)}


def test_the_roles_allow_what_the_package_calls(full_stack: Stack) -> None:
    calls = our_calls()
    assert not_allowed(full_stack, "MaintenanceRole", calls) == []
    assert not_allowed(full_stack, "WorkerRole", calls - set(BY_HAND_ONLY)) == []


def test_a_call_that_no_role_allows_is_found(full_stack: Stack) -> None:
    source = """
import boto3
client = boto3.client("dynamodb")
client.get_item(TableName="a")
for page in client.get_paginator("scan").paginate(): pass
client.transact_write_items(TransactItems=[])
"""
    calls = actions_called(source)
    assert not_allowed(full_stack, "MaintenanceRole", calls) == ["dynamodb:Scan"]
    assert not_allowed(full_stack, "WorkerRole", calls - set(BY_HAND_ONLY)) == ["dynamodb:Scan"]
    assert actions_called("connection.get_item()") == set()


def test_the_roles_allow_what_dagsters_launcher_and_log_manager_call(full_stack: Stack) -> None:
    import dagster_aws.ecs.launcher
    import dagster_aws.ecs.tasks
    import dagster_aws.ecs.utils
    import dagster_aws.s3.compute_log_manager

    def calls(*modules: Any) -> set[str]:  # noqa: ANN401  (modules have no narrower type)
        sources = [Path(module.__file__).read_text(encoding="utf-8") for module in modules]
        return {a for s in sources for a in actions_called(s)} - set(LAUNCHER_LEAVES_OUT)

    launcher = calls(dagster_aws.ecs.launcher, dagster_aws.ecs.tasks, dagster_aws.ecs.utils)
    assert {"ecs:RunTask", "ecs:StopTask", "logs:GetLogEvents"} <= launcher
    assert not_allowed(full_stack, "DaemonRole", launcher) == []
    logs = calls(dagster_aws.s3.compute_log_manager)
    writing = {"s3:PutObject", "s3:AbortMultipartUpload"}
    assert not_allowed(full_stack, "WorkerRole", logs & writing) == []
    assert not_allowed(full_stack, "ViewerRole", logs - writing) == []


def test_only_aws_services_of_this_account_may_take_the_roles(full_stack: Stack) -> None:
    for role in ROLES:
        found = client("iam").get_role(RoleName=full_stack.resources[role])["Role"]
        (statement,) = found["AssumeRolePolicyDocument"]["Statement"]
        services = permissions.listed(statement["Principal"]["Service"])
        expected = "redshift" if role == "CopyRole" else "ecs-tasks"
        assert all(service.startswith(expected) for service in services)
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


# The programs.


def containers(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the container of each task definition, by its logical id."""
    ecs = client("ecs")
    return {
        name: ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"][
            "containerDefinitions"
        ][0]
        for name, arn in stack.resources.items()
        if ":task-definition/" in arn
    }


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's variables that are no secrets."""
    return {pair["name"]: pair["value"] for pair in container["environment"]}


def test_the_systems_urls_are_settings_the_package_knows_and_the_outputs_show(
    stack: Stack,
) -> None:
    found = containers(stack)
    for name in ("RunTask", "CodeLocationTask"):
        environment = environment_of(found[name])
        ours = {k: v for k, v in environment.items() if k.startswith("ETL_ASSETS_")}
        assert set(ours) <= set(VARIABLES.values())
        settings = Settings.from_environment(ours)
        assert settings.registry_url == stack.outputs["Registry"]
        assert settings.source_url == stack.outputs["Source"]
        assert settings.staging_url == stack.outputs["Staging"]
        assert settings.warehouse_url == stack.outputs["Warehouse"]
        assert sa.make_url(settings.source_url).password is None
        assert sa.make_url(settings.warehouse_url).query["region"] == REGION


def test_the_urls_say_the_login_that_was_chosen(
    plain_stack: Stack, full_stack: Stack, workgroup_stack: Stack
) -> None:
    for made, source, warehouse in (
        (plain_stack, "secret_id", "secret_id"),
        (full_stack, "iam_auth", "cluster"),
        (workgroup_stack, "secret_id", "workgroup"),
    ):
        assert set(sa.make_url(made.outputs["Source"]).query) == {"ssl_ca", source}
        query = set(sa.make_url(made.outputs["Warehouse"]).query)
        assert query == {"iam_role", "region", warehouse}


def test_no_password_stands_in_a_containers_environment(full_stack: Stack) -> None:
    for container in containers(full_stack).values():
        assert not [n for n in environment_of(container) if is_secret_name(n)]
        (secret,) = container["secrets"]
        assert secret["name"] == "DAGSTER_POSTGRES_PASSWORD"
        assert secret["valueFrom"] == f"{full_stack.resources['DatabaseSecret']}:password::"


def is_secret_name(name: str) -> bool:
    """Return whether a variable's name says that its value is secret."""
    return bool(re.search(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|ACCESS_KEY", name.upper()))


def test_every_process_is_given_what_its_instance_and_workspace_ask_for(
    full_stack: Stack,
) -> None:
    asked = set(re.findall(r"\{env: (\w+)\}", (DEPLOY / "dagster.yaml").read_text("utf-8")))
    workspace = set(re.findall(r"\{env: (\w+)\}", (DEPLOY / "workspace.yaml").read_text("utf-8")))
    assert asked == set(INSTANCE_VALUES) - {"AWS_DEFAULT_REGION"}
    assert workspace == {"CODE_LOCATION_HOST"}
    for name, container in containers(full_stack).items():
        given = set(environment_of(container)) | {s["name"] for s in container["secrets"]}
        assert asked <= given, name
        if "--workspace" in container["command"]:
            assert workspace <= given, name


def test_the_first_webserver_is_read_only_and_only_the_optional_one_is_not(
    full_stack: Stack,
) -> None:
    found = containers(full_stack)
    assert "--read-only" in found["ViewerTask"]["command"]
    assert "--read-only" not in found["OperatorTask"]["command"]


def test_every_command_and_option_of_the_containers_exists(full_stack: Stack) -> None:
    """The command lines are parsed by the programs themselves, and not run."""
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli
    from dagster_webserver.cli import create_dagster_webserver_cli

    from etl_assets.cli import cli

    programs = {
        "dagster": create_dagster_cli(),  # type: ignore[no-untyped-call]
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": create_dagster_webserver_cli(),  # type: ignore[no-untyped-call]
        "etl-assets": cli,
    }
    image_command = json.loads(dict(instructions(DOCKERFILE))["CMD"])
    commands = [c["command"] for c in containers(full_stack).values()]
    assert image_command in commands
    for command, *arguments in commands:
        program: Any = programs[command]
        while hasattr(program, "commands"):
            program = program.commands[arguments.pop(0)]
        # a path that only the image has: the same file here
        here = [a.replace("/opt/etl_assets/workspace", f"{DEPLOY}/workspace") for a in arguments]
        context = program.make_context(command, here)
        assert context.args == []


def test_never_two_daemons_run_and_their_launch_type_can_be_copied(
    template: dict[str, Any],
) -> None:
    daemon = template["Resources"]["DaemonService"]["Properties"]
    assert daemon["DesiredCount"] == 1
    assert daemon["DeploymentConfiguration"]["MaximumPercent"] == 100
    assert daemon["LaunchType"] == "FARGATE"
    assert "CapacityProviderStrategy" not in daemon


# Dagster's instance.


def shared_settings(text: str) -> dict[str, Any]:
    """Return an instance's settings but for those that are about AWS."""
    content: dict[str, Any] = yaml.safe_load(text)
    return {
        k: v for k, v in content.items() if k not in {"storage", "compute_logs", "run_launcher"}
    }


def test_the_deployed_instance_shares_the_embedded_ones_settings() -> None:
    embedded = EMBEDDED_INSTANCE.read_text(encoding="utf-8")
    deployed = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    assert shared_settings(deployed) == yaml.safe_load(embedded)
    planted = deployed.replace("max_tick_retries: 3", "max_tick_retries: 0")
    assert shared_settings(planted) != yaml.safe_load(embedded)


def instance_config(folder: Path, text: str) -> dict[str, Any]:
    """Return an instance's configuration as Dagster validates it."""
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    config, _ = dagster_instance_config(str(folder))
    return dict(config)


def part(config: Mapping[str, Any], name: str) -> ConfigurableClassData:
    """Return a part of the instance that names its class."""
    section = config[name]
    return ConfigurableClassData(
        section["module"], section["class"], yaml.safe_dump(dict(section["config"]))
    )


@pytest.fixture
def instance_environment() -> Iterator[None]:
    """The variables that the task definitions give a process."""
    with mock.patch.dict(os.environ, INSTANCE_VALUES):
        yield


def open_parts(folder: Path, text: str, stack: Stack) -> tuple[EcsRunLauncher[Any], Any]:
    """Return the launcher and the log manager of an instance, as a process of the stack does."""
    with mock.patch.dict(os.environ, {"DAGSTER_RUN_TASK_DEFINITION": f"{stack.name}-run"}):
        config = instance_config(folder, text)
        launcher = part(config, "run_launcher").rehydrate(as_type=EcsRunLauncher)
        return launcher, part(config, "compute_logs").rehydrate(as_type=S3ComputeLogManager)


@pytest.mark.usefixtures("instance_environment")
def test_the_deployed_instance_is_what_dagster_accepts(plain_stack: Stack, tmp_path: Path) -> None:
    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    launcher, logs = open_parts(tmp_path, text, plain_stack)
    assert launcher.task_definition == plain_stack.outputs["RunTaskDefinition"]
    assert launcher.secrets_tags == []
    assert logs.upload_interval == 30


@pytest.mark.usefixtures("instance_environment")
def test_dagsters_storage_is_reached_by_psycopg2_and_proves_the_server(tmp_path: Path) -> None:
    config = instance_config(tmp_path, (DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    result = process_config(
        resolve_to_config_type(DagsterPostgresStorage.config_type()), config["storage"]["postgres"]
    )
    assert result.success, result.errors
    url = sa.make_url(pg_url_from_config(result.value or {}))
    assert sa.create_engine(url).dialect.driver == "psycopg2"
    assert url.password == INSTANCE_VALUES["DAGSTER_POSTGRES_PASSWORD"]
    assert url.query == {"sslmode": "verify-full", "sslrootcert": "/opt/etl_assets/rds-ca.pem"}


@pytest.mark.usefixtures("instance_environment")
@pytest.mark.parametrize(
    ("right", "planted"),
    [
        ("max_concurrent_runs: 4", "max_concurent_runs: 4"),
        ("secrets_tag: null", "secret_tag: null"),
        ("container_name: run", "container_name: runner"),
    ],
)
def test_an_instance_that_dagster_does_not_accept_is_found(
    plain_stack: Stack, tmp_path: Path, right: str, planted: str
) -> None:
    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    assert right in text
    with pytest.raises(Exception, match=r"config|container"):
        open_parts(tmp_path, text.replace(right, planted), plain_stack)


# The image.

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")


def instructions(text: str) -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions and what they say."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    split = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, rest in split]


def wrong_with_image(text: str) -> list[str]:
    """Return what an image must not be."""
    found = instructions(text)
    wrong = []
    for word, rest in found:
        if word == "FROM" and not re.match(r"python:3\.11\.\d+-slim-\w+( |$)", rest):
            wrong.append(f"base {rest}")
        if word in ("ENV", "ARG") and any(is_secret_name(n) for n in re.findall(r"(\w+)=", rest)):
            wrong.append(f"secret {rest}")
        if word == "RUN" and "pip install" in rest and "--constraint constraints.txt" not in rest:
            wrong.append("constraints")
        if word == "ADD" and not re.search(r" https://\S+ ", f" {rest} "):
            wrong.append(f"download {rest}")
    last_stage = found[max(n for n, (word, _) in enumerate(found) if word == "FROM") :]
    users = [rest for word, rest in last_stage if word == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", users[-1]):
        wrong.append("user")
    if "HEALTHCHECK" not in dict(last_stage):
        wrong.append("health check")
    return wrong


def sources(text: str) -> list[str]:
    """Return the files and folders that a Dockerfile copies from the repository."""
    copied = []
    for word, rest in instructions(text):
        words = shlex.split(rest)
        if word == "COPY" and not any(w.startswith("--from=") for w in words):
            copied += [w for w in words if not w.startswith("--")][:-1]
    return copied


def missing_sources(text: str, ignore: str) -> list[str]:
    """Return what is copied but does not exist, or is kept from the build."""
    let_in = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    return [s for s in sources(text) if not (ROOT / s).exists() or s not in let_in]


def test_the_image_is_pinned_constrained_without_secrets_and_not_root() -> None:
    assert wrong_with_image(DOCKERFILE) == []


@pytest.mark.parametrize(
    ("right", "planted", "found"),
    [
        ("USER 10001:10001", "USER root", "user"),
        ("USER 10001:10001", "USER 0", "user"),
        ("USER 10001:10001\n", "", "user"),
        ("python:3.11.14-slim-bookworm\n", "python:latest\n", "base python:latest"),
        ("--constraint constraints.txt ", "", "constraints"),
        ("PYTHONUNBUFFERED=1", "DB_PASSWORD=x", "secret"),
        ('RDS_CA_SHA256=""', 'API_TOKEN=""', "secret"),
        ("https://truststore", "http://truststore", "download"),
        ("HEALTHCHECK", "LABEL", "health check"),
    ],
)
def test_an_image_that_is_not_so_is_found(right: str, planted: str, found: str) -> None:
    assert right in DOCKERFILE
    (problem,) = wrong_with_image(DOCKERFILE.replace(right, planted))
    assert problem.startswith(found)


def test_every_file_the_image_copies_exists_and_reaches_the_build() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    assert "deploy/dagster.yaml" in sources(DOCKERFILE)
    assert missing_sources(DOCKERFILE, ignore) == []
    planted = DOCKERFILE.replace("deploy/healthcheck.py", "deploy/health.py")
    assert missing_sources(planted, ignore) == ["deploy/health.py"]
    assert missing_sources(DOCKERFILE, ignore.replace("!LICENSE\n", "")) == ["LICENSE"]


def test_the_image_puts_things_where_the_instance_and_the_template_look_for_them() -> None:
    image = "\n".join(rest for _, rest in instructions(DOCKERFILE))
    others = "\n".join(
        (DEPLOY / name).read_text(encoding="utf-8")
        for name in ("cloudformation.yaml", "dagster.yaml")
    )
    for path in set(re.findall(r"/opt/etl_assets/[\w./-]*\w", others)):
        folder, name = path.rsplit("/", 1)
        assert path in image or (f"{folder}/" in image and f"deploy/{name}" in image), path
    settings = Settings.from_environment({"ETL_ASSETS_HOME": "/opt/etl_assets/home"})
    assert f"DAGSTER_HOME={settings.dagster_home}" in image
    assert "PGSSLROOTCERT=/etc/ssl/certs/ca-certificates.crt" in image


def test_the_image_holds_no_file_that_is_not_meant_for_it() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if line and not line.startswith(("#", "!"))) == "*"


# The health checks.

HEALTHCHECK = DEPLOY / "healthcheck.py"


def health(code: str) -> int:
    """Run a piece of code in a process of its own, with the health check imported."""
    program = f"import sys; sys.path.insert(0, {str(DEPLOY)!r})\nimport healthcheck\n{code}"
    return subprocess.run([sys.executable, "-c", program], check=False).returncode


def test_a_webserver_is_healthy_when_it_answers_and_not_when_it_is_gone() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/server_info" else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    check = "sys.exit(not healthcheck.check_webserver({!r}))"
    try:
        assert health(check.format(f"{url}/server_info")) == 0
        assert health(check.format(f"{url}/elsewhere")) == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert health(check.format(f"{url}/server_info")) == 1


def test_a_code_location_is_healthy_when_its_server_serves_and_not_when_it_is_gone() -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_health.v1.health import HealthServicer

    server = grpc.server(ThreadPoolExecutor(1))
    servicer = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    check = f"sys.exit(not healthcheck.check_code_location({address!r}))"
    server.start()
    try:
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert health(check) == 1
        servicer.set("DagsterApi", health_pb2.HealthCheckResponse.SERVING)
        assert health(check) == 0
    finally:
        server.stop(None).wait()
    assert health(check) == 1


def test_a_daemon_without_heartbeats_is_not_healthy(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "PATH": path}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(HEALTHCHECK), "daemon"],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Daemon(s) not running" in done.stderr + done.stdout


def test_a_process_the_health_check_does_not_know_is_an_error() -> None:
    assert health("sys.exit(healthcheck.main(['colour']))") == 2


def test_each_process_has_the_health_check_of_its_kind(full_stack: Stack) -> None:
    kinds = {
        name: c.get("healthCheck", {}).get("command") for name, c in containers(full_stack).items()
    }
    command = ["CMD", "python", "/opt/etl_assets/healthcheck.py"]
    assert kinds == {
        "RunTask": None,
        "CodeLocationTask": [*command, "code-location"],
        "DaemonTask": [*command, "daemon"],
        "ViewerTask": [*command, "webserver"],
        "OperatorTask": [*command, "webserver"],
    }


# What the page says.


def undocumented(page: str, template: Mapping[str, Any]) -> list[str]:
    """Return parameters of choice and allowed actions that the page does not name."""
    statements = re.findall(r'"((?:[a-z0-9-]+):[A-Za-z]+)"', json.dumps(template["Resources"]))
    actions = {a for a in statements if not a.startswith(("aws:", "sts:", "iam:Passed"))}
    actions -= {"ecs:cluster", "ecs:CreateAction", "s3:prefix", "s3:if-none-match", "s3:TlsVersion"}
    assert {"dynamodb:GetItem", "iam:PassRole", "redshift-serverless:GetCredentials"} <= actions
    return sorted(a for a in actions if f"`{a}`" not in page and f"`{a.split(':')[1]}`" not in page)


def test_every_permission_is_explained_in_the_guide(template: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert undocumented(page, template) == []
    assert undocumented(page.replace("`ecs:RunTask`", ""), template) == ["ecs:RunTask"]


@pytest.mark.usefixtures("instance_environment")
def test_what_a_run_is_started_with_fits_into_ecss_limit(
    tmp_path: Path,
) -> None:
    """ECS takes 8,192 characters of overrides; the instance's configuration is part of them."""
    from dagster._core.instance.ref import InstanceRef
    from dagster._serdes import serialize_value

    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(text, encoding="utf-8")
    reference = serialize_value(InstanceRef.from_dir(str(tmp_path)))
    assert len(json.dumps(reference)) < 6000
    assert INSTANCE_VALUES["DAGSTER_POSTGRES_PASSWORD"] not in reference
