"""Permissions that hold: moto's server, taught to look at the resources of policies.

By itself moto asks whether a policy allows an action on the very resource for S3, IAM and STS
alone. For every other service it asks for the resource "*", so that no policy that names a table
allows anything. Here it asks for the tables, indexes, queues and job definitions that a request is
about. Conditions it doesn't know, but for a few of STS (an Allow with another one allows nothing),
nor the policy of a bucket, which its CloudFormation doesn't make.
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3

from tests.support.moto_server import running_moto

# What AWS calls the permission, where moto calls it otherwise. (Amazon DynamoDB Developer Guide,
# "IAM security policies with PartiQL for DynamoDB": an import only inserts.)
_PERMISSIONS = {
    "batch:describejobs": "batch:DescribeJobs",
    "batch:submitjob": "batch:SubmitJob",
    "batch:terminatejob": "batch:TerminateJob",
    "dynamodb:BatchExecuteStatement": "dynamodb:PartiQLInsert",
}
_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')
_NAME = re.compile(r"'([^']+)': \?")


def teach_moto() -> None:
    """Have moto look at resources; to be called in its own process, before it starts."""
    from moto.dynamodb.models import DynamoDBBackend
    from moto.iam.access_control import IAMRequest, IAMRequestBase

    patched: Any = DynamoDBBackend
    patched.batch_execute_statement = _insert
    patched = IAMRequest
    patched._raise_access_denied = _deny
    check = IAMRequestBase.check_action_permitted

    def check_resources(self: Any, resource: str) -> None:
        self._action = _PERMISSIONS.get(self._action, self._action)
        where = f"{self._region}:{self.account_id}"
        for arn in resources(self._action, self._body, where) or [resource]:
            self.resource = arn
            check(self, arn)

    IAMRequestBase.check_action_permitted = check_resources  # type: ignore[method-assign]


def _deny(request: Any) -> None:
    """As DynamoDB and AWS Batch say it; moto says it in XML, which their clients don't read."""
    from moto.core.exceptions import JsonRESTError

    raise JsonRESTError(
        "AccessDeniedException",
        f"User: {request._access_key.arn} is not authorized to perform: {request._action} on "
        f"resource: {request.resource} because no identity-based policy allows the "
        f"{request._action} action",
    )


def resources(action: str, body: bytes, where: str) -> list[str]:
    """The ARNs that a request is about; none where permissions aren't for single resources.

    `where` is the region and the account: `us-east-1:123456789012`.
    """
    if action.startswith("dynamodb:") and action != "dynamodb:ListTables":
        return [f"arn:aws:dynamodb:{where}:table/{name}" for name in _tables(json.loads(body))]
    if action == "batch:SubmitJob":
        request = json.loads(body)
        kinds = {"job-queue": request["jobQueue"], "job-definition": request["jobDefinition"]}
        return [f"arn:aws:batch:{where}:{kind}/{name}" for kind, name in kinds.items()]
    if action == "batch:TerminateJob":
        return [f"arn:aws:batch:{where}:job/{json.loads(body)['jobId']}"]
    return []


def _tables(request: Mapping[str, Any]) -> list[str]:
    """The tables and indexes of a request to DynamoDB, as they stand in ARNs."""
    if "RequestItems" in request:
        return list(request["RequestItems"])
    if "Statements" in request:
        return sorted({_table_of(statement) for statement in request["Statements"]})
    index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
    return [request["TableName"] + index]


def _insert(backend: Any, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an import asks for: moto's own can't insert the values of parameters."""
    answers: list[dict[str, Any]] = []
    for statement in statements:
        table = backend.tables[_table_of(statement)]
        names = _NAME.findall(statement["Statement"])
        item = dict(zip(names, statement["Parameters"], strict=True))
        if backend.get_item(table.name, {table.hash_key_attr: item[table.hash_key_attr]}):
            answers.append({"Error": {"Code": "DuplicateItem", "Message": "it is there"}})
        else:
            table.put_item(item)
            answers.append({"TableName": table.name})
    return answers


def _table_of(statement: Mapping[str, Any]) -> str:
    match = _INSERT.fullmatch(statement["Statement"])
    assert match, statement
    return match[1]


@contextmanager
def running_enforcing_moto(before: str = "") -> Iterator[str]:
    """A server that looks at resources, once `enforced` is entered; its URL.

    `before` is Python that it runs first.
    """
    teach = "from tests.support import permissions\npermissions.teach_moto()\n"
    with running_moto(before + teach) as endpoint:
        yield endpoint


@contextmanager
def enforced(endpoint: str) -> Iterator[None]:
    """Refuse what isn't allowed, to everybody, from now on until the end."""
    _check_after(endpoint, "0")
    try:
        yield
    finally:
        _check_after(endpoint, "inf")


def credentials_of(endpoint: str, role: str) -> dict[str, str]:
    """The variables of somebody who has a role, by its ARN.

    To be called while nothing is enforced: in AWS it is a service that takes on these roles.
    """
    sts = boto3.client("sts", endpoint_url=endpoint)
    answer = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
        "AWS_SESSION_TOKEN": answer["SessionToken"],
    }


def role_with(endpoint: str, name: str, *policies: Mapping[str, Any]) -> str:
    """A role that has these policies; its ARN."""
    iam = boto3.client("iam", endpoint_url=endpoint)
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    for number, policy in enumerate(policies):
        document = json.dumps(policy)
        iam.put_role_policy(RoleName=name, PolicyName=f"{number}", PolicyDocument=document)
    return arn


def _check_after(endpoint: str, requests: str) -> None:
    request = urllib.request.Request(
        f"{endpoint}/moto-api/reset-auth",
        data=requests.encode(),
        headers={"Content-Type": "text/plain"},
    )
    with urllib.request.urlopen(request) as answer:
        answer.read()
