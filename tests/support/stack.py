"""The CloudFormation stack of use_cases/aws: its document, and stacks made of it in moto."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from pyanamo.account import Account
from pyanamo.tables import Store, WorkflowTable
from tests.support.programs import ROOT, Finished, finish

TEMPLATE = ROOT / "use_cases" / "aws" / "template.yaml"
ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"

Document = dict[str, Any]


def document() -> Document:
    """The template, with `!Ref X` as `{"Ref": "X"}` and so on."""
    loaded: Document = json.loads(json.dumps(cfn_yaml.load(str(TEMPLATE))))
    return loaded


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack that was made."""

    endpoint: str
    name: str
    outputs: Mapping[str, str]

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.outputs["TableName"]

    @property
    def bucket(self) -> str:
        """The name of its bucket."""
        return self.outputs["LogBucket"]

    def client(self, service: Any) -> Any:
        """A client of a service of the server."""
        return boto3.client(service, endpoint_url=self.endpoint)

    def opened(self) -> WorkflowTable:
        """Its table, to be closed."""
        return Store(account=Account(endpoint_url=self.endpoint)).open(self.table)

    def policy(self, arn: str) -> Document:
        """What a managed policy says."""
        iam = self.client("iam")
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        found: Document = answer["PolicyVersion"]["Document"]
        return found

    def pilots_policies(self) -> dict[str, Document]:
        """What the policies of the pilots' role say, by their names."""
        iam = self.client("iam")
        role = self.outputs["PilotRole"].rpartition("/")[2]
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {
            name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for name in names
        }

    def objects(self) -> list[str]:
        """The keys of all objects in its bucket."""
        listed = self.client("s3").list_objects_v2(Bucket=self.bucket)
        return sorted(found["Key"] for found in listed.get("Contents", ()))

    def run(self, credentials: Mapping[str, str], folder: Path, *command: str) -> Finished:
        """Run a script of the project with these credentials, to its end."""
        environment = {**os.environ, "AWS_ENDPOINT_URL": self.endpoint, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**environment, **credentials},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return finish(process)


def create_stack(endpoint: str, table: str, **parameters: str) -> Stack:
    """Make a stack, in moto's own network; it is complete, or this fails."""
    name = f"s{uuid.uuid4().hex[:12]}"
    ec2 = boto3.client("ec2", endpoint_url=endpoint)
    cloudformation = boto3.client("cloudformation", endpoint_url=endpoint)
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    given = {
        "TableName": table,
        "VpcId": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        "Subnets": ",".join(subnets[:2]),
        **parameters,
    }
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template_for_moto(endpoint)),
        Parameters=[{"ParameterKey": key, "ParameterValue": given[key]} for key in given],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack.get("StackStatusReason")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return Stack(endpoint=endpoint, name=name, outputs=outputs)


def _batch_role(endpoint: str) -> str:
    """The role that AWS Batch makes for itself where nobody gives it one."""
    iam = boto3.client("iam", endpoint_url=endpoint)
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="AWSServiceRoleForBatch", AssumeRolePolicyDocument="{}")
    arn: str = iam.get_role(RoleName="AWSServiceRoleForBatch")["Role"]["Arn"]
    return arn


def template_for_moto(endpoint: str) -> Document:
    """The template with what moto doesn't know by itself.

    It wants a role for AWS Batch, takes the default of a list for a list of letters, names no
    repository as AWS does (in small letters), and of the policies for a resource at the stack's end
    it knows Retain alone.
    """
    changed = copy.deepcopy(document())
    changed["Parameters"]["InstanceTypes"]["Default"] = ["optimal"]
    for resource in changed["Resources"].values():
        if resource["Type"] == "AWS::Batch::ComputeEnvironment":
            resource["Properties"]["ServiceRole"] = _batch_role(endpoint)
        if resource["Type"] == "AWS::ECR::Repository":
            parts_of_id = {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}
            resource["Properties"]["RepositoryName"] = {"Fn::Select": [2, parts_of_id]}
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"
    return changed


# Python to run in moto's process, before it starts.
TEACH = "from tests.support import stack\nstack.teach_moto()\n"


def teach_moto() -> None:
    """Have stacks that `aws cloudformation deploy` makes or changes be right.

    To be called in moto's process, before it starts. It forgets the outputs of change sets, fails
    to change most resources, and leaves a None in a list for AWS::NoValue.
    """
    from moto.cloudformation import parsing as moto_parsing
    from moto.cloudformation.models import CloudFormationBackend, Stack

    parsing: Any = moto_parsing
    clean = parsing.clean_json

    def clean_and_leave_out(given: Any, resources: Any) -> Any:
        cleaned = clean(given, resources)
        if isinstance(cleaned, list):
            return [part for part in cleaned if part is not None]
        return cleaned

    parsing.clean_json = clean_and_leave_out

    fill = parsing.ResourceMap.update

    def fill_or_change(self: Any, template: Any, parameters: dict[str, Any]) -> None:
        change = _change_job_definitions if self._resource_json_map else fill
        change(self, template, parameters)

    parsing.ResourceMap.update = fill_or_change

    patched: Any = CloudFormationBackend
    execute = patched.execute_change_set

    def execute_and_tell(self: Any, change_set_name: str, stack_name: str | None = None) -> None:
        execute(self, change_set_name, stack_name)
        for stack in self.stacks.values():
            stack._parse_template()
            stack.output_map = Stack._create_output_map(stack)

    patched.execute_change_set = execute_and_tell


def _change_job_definitions(resources: Any, _template: Any, parameters: dict[str, Any]) -> None:
    """Change a stack in moto as far as job definitions go, to other parameters."""
    resources.input_parameters = {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    resources.load_parameters()
    resources.load_conditions()
    for name, resource in resources._resource_json_map.items():
        if resource["Type"] == "AWS::Batch::JobDefinition":
            del resources._parsed_resources[name]
            assert resources[name]  # which makes a new revision


def as_list(one_or_more: str | Document | list[str | Document]) -> list[str | Document]:
    return one_or_more if isinstance(one_or_more, list) else [one_or_more]


def without(policy: Document, permission: str) -> Document:
    """The policy without one of its permissions, wherever it gives it."""
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        statement["Action"] = [one for one in as_list(statement["Action"]) if one != permission]
    less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
    return less
