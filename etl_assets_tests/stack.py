"""Creates deploy/cloudformation.yaml in moto's emulator, in this process.

moto's CloudFormation does not know six of the template's resource types, and makes a bucket with
few of its properties. They are added here, each created through the API of its own service. The template is handed over with the short
forms of its functions written out, of which moto's reader knows too few. Roles get their managed
policies afterwards, since moto's roles take no notice of them.
"""

import ast
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import cfnlint.decode
from moto import mock_aws
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel
from moto.rds.models import DBParameterGroup

DEPLOY = Path(__file__).parent.parent / "deploy"
TEMPLATE = DEPLOY / "cloudformation.yaml"
REGION = "eu-west-1"
OPTIONAL = {
    "SourceLogin": "iam",
    "SourceResourceId": "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "WarehouseLogin": "cluster",
    "WarehouseCluster": "reports",
    "OperatorWebserver": "yes",
    "AlarmTopicArn": f"arn:aws:sns:{REGION}:123456789012:alarms",
}
"""Parameters with which every optional part is created."""
WORKGROUP = {
    "WarehouseLogin": "workgroup",
    "WarehouseWorkgroup": "reports",
    "WarehouseWorkgroupId": "01234567-89ab-cdef-0123-456789abcdef",
}

Properties = dict[str, Any]


@cache
def client(service: str) -> Any:  # noqa: ANN401  (boto3 makes its classes at run time)
    """Return the client of a service; to be used while AWS is emulated, and only then."""
    made: Any = boto3.client  # typed for literal names only
    return made(service)


class _Made:
    """A resource that was made by a service's own API."""

    def __init__(self, physical_resource_id: str, attributes: Mapping[str, str] = {}) -> None:
        self.physical_resource_id = physical_resource_id
        self.attributes = attributes

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    def is_created(self) -> bool:
        return True


def _make_secret(name: str, properties: Properties) -> _Made:
    generate = properties["GenerateSecretString"]
    password = client("secretsmanager").get_random_password(
        PasswordLength=generate["PasswordLength"], ExcludePunctuation=True
    )["RandomPassword"]
    content = json.loads(generate["SecretStringTemplate"]) | {
        generate["GenerateStringKey"]: password
    }
    made = client("secretsmanager").create_secret(
        Name=name, SecretString=json.dumps(content), Description=properties["Description"]
    )
    return _Made(made["ARN"])


def _make_bucket(name: str, properties: Properties) -> _Made:
    s3, bucket = client("s3"), name.lower()
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration=properties["VersioningConfiguration"]
    )
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            k: str(v).lower() == "true"
            for k, v in properties["PublicAccessBlockConfiguration"].items()
        },
    )
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls=properties["OwnershipControls"]
    )
    if "BucketEncryption" in properties:
        rules = [
            {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
            for rule in properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        ]
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    lifecycle = [_lifecycle_rule(r) for r in properties["LifecycleConfiguration"]["Rules"]]
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": lifecycle}
    )
    return _Made(bucket, {"Arn": f"arn:aws:s3:::{bucket}"})


def _lifecycle_rule(rule: Properties) -> Properties:
    """Return a rule as S3's own API writes it."""
    written = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule["Prefix"]}}
    if "ExpirationInDays" in rule:
        written["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "ExpiredObjectDeleteMarker" in rule:
        written["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if "NoncurrentVersionExpiration" in rule:
        days = int(rule["NoncurrentVersionExpiration"]["NoncurrentDays"])
        written["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "AbortIncompleteMultipartUpload" in rule:
        written["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
    return written


def _make_bucket_policy(name: str, properties: Properties) -> _Made:
    client("s3").put_bucket_policy(
        Bucket=properties["Bucket"], Policy=json.dumps(properties["PolicyDocument"])
    )
    return _Made(name)


def _make_egress(name: str, properties: Properties) -> _Made:
    group = properties["DestinationSecurityGroupId"]
    permission = {
        "IpProtocol": properties["IpProtocol"],
        "FromPort": int(properties["FromPort"]),
        "ToPort": int(properties["ToPort"]),
        "UserIdGroupPairs": [{"GroupId": group, "Description": properties["Description"]}],
    }
    client("ec2").authorize_security_group_egress(
        GroupId=properties["GroupId"], IpPermissions=[permission]
    )
    return _Made(name)


def _make_namespace(name: str, properties: Properties) -> _Made:
    discovery = client("servicediscovery")
    operation = discovery.create_private_dns_namespace(
        Name=properties["Name"], Vpc=properties["Vpc"], CreatorRequestId=name
    )["OperationId"]
    made = discovery.get_operation(OperationId=operation)["Operation"]
    return _Made(made["Targets"]["NAMESPACE"])


def _make_discovery(name: str, properties: Properties) -> _Made:
    made = client("servicediscovery").create_service(
        Name=properties["Name"],
        NamespaceId=properties["NamespaceId"],
        DnsConfig=properties["DnsConfig"],
        CreatorRequestId=name,
    )["Service"]
    return _Made(made["Id"], {"Arn": made["Arn"]})


def _make_alarm(name: str, properties: Properties) -> _Made:
    renamed = {k: v for k, v in properties.items() if k != "Dimensions"}
    client("cloudwatch").put_metric_alarm(
        AlarmName=name, Dimensions=properties["Dimensions"], **renamed
    )
    return _Made(name)


_MAKERS: dict[str, Callable[[str, Properties], _Made]] = {
    "AWS::SecretsManager::Secret": _make_secret,
    "AWS::S3::Bucket": _make_bucket,
    "AWS::S3::BucketPolicy": _make_bucket_policy,
    "AWS::EC2::SecurityGroupEgress": _make_egress,
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _make_namespace,
    "AWS::ServiceDiscovery::Service": _make_discovery,
    "AWS::CloudWatch::Alarm": _make_alarm,
}


def _teach(kind: str, make: Callable[[str, Properties], _Made]) -> None:
    """Make a resource type known to moto's CloudFormation."""

    def create(
        _: type,
        /,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        *__: object,
        **___: object,
    ) -> _Made:
        return make(resource_name, cloudformation_json["Properties"])

    members = {
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: kind),
        "has_cfn_attr": classmethod(lambda _, __: True),
        "create_from_cloudformation_json": classmethod(create),
    }
    _TAUGHT.append(type(kind.rpartition(":")[2], (CloudFormationModel,), members))


_TAUGHT: list[type] = []
for _kind, _make in _MAKERS.items():
    _teach(_kind, _make)
# moto's parameter groups have no reference of their own, which its databases then trip over.
DBParameterGroup.physical_resource_id = property(lambda self: self.resource_id)  # type: ignore[attr-defined]
for _cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
    _cached.cache_clear()


@dataclass(frozen=True)
class Stack:
    """A created stack.

    Attributes:
        name: Its name, another one for each.
        resources: Physical ids by logical id.
        outputs: The stack's outputs.
    """

    name: str
    resources: dict[str, str]
    outputs: dict[str, str]

    def statements(self, role: str) -> list[dict[str, Any]]:
        """Return the statements of a role's policies, inline and managed, as IAM holds them."""
        iam, name = client("iam"), self.resources[role]
        documents = [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=arn, VersionId=version)
            documents.append(found["PolicyVersion"]["Document"])
        # the emulator writes a template's managed policies as Python, not as JSON
        read = [ast.literal_eval(d) if isinstance(d, str) else d for d in documents]
        return [statement for document in read for statement in document["Statement"]]


@contextmanager
def emulated_aws() -> Iterator[None]:
    """Replace AWS, and what this machine knows of it, by an empty account."""
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    with mock.patch.dict(os.environ, environment), mock_aws():
        os.environ.pop("AWS_PROFILE", None)
        client.cache_clear()
        yield
        client.cache_clear()


def read_template() -> dict[str, Any]:
    """Return the template, the short forms of its functions written out.

    Raises:
        AssertionError: When it is no CloudFormation template.
    """
    template, problems = cfnlint.decode.decode(str(TEMPLATE))
    assert template is not None, problems
    plain: dict[str, Any] = json.loads(json.dumps(template))
    return plain


def create_stack(template: Mapping[str, Any], parameters: Mapping[str, str]) -> Stack:
    """Create the stack in a new network, with these parameters beside the required ones.

    Raises:
        AssertionError: When the emulator could not create it.
    """
    ec2, formation = client("ec2"), client("cloudformation")
    name = f"etl-{uuid.uuid4().hex[:8]}"
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{REGION}{zone}"
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]
    values = {
        "VpcId": vpc,
        "VpcCidr": "10.0.0.0/16",
        "SubnetIds": ",".join(subnets),
        "DatabaseCidr": "10.0.0.0/16",
        "ImageTag": "1",
        "SourceHost": "source.example.com",
        "SourceDatabase": "shop",
        "WarehouseHost": "warehouse.example.com",
        "WarehouseDatabase": "reports",
        **parameters,
    }
    known = {k: v for k, v in values.items() if k in template["Parameters"]}
    formation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in known.items()],
        Capabilities=["CAPABILITY_IAM"],
        ClientRequestToken=uuid.uuid4().hex,
    )
    (stack,) = formation.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    found = formation.describe_stack_resources(StackName=name)["StackResources"]
    resources = {
        r["LogicalResourceId"]: r.get("PhysicalResourceId", "")
        for r in found
        if "LogicalResourceId" in r  # the emulator lists what a condition left out, empty
    }
    for role, role_name in resources.items():
        for policy in template["Resources"][role]["Properties"].get("ManagedPolicyArns", []):
            arn = resources[policy["Ref"]]
            client("iam").attach_role_policy(RoleName=role_name, PolicyArn=arn)
    return Stack(
        name=name,
        resources=resources,
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
    )
