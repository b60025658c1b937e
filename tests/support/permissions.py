"""Permissions that hold: moto's server, taught to ask a simulator of IAM.

By itself moto knows no condition (an Allow with one allows nothing), and asks whether a policy
allows an action on the very resource for S3, IAM and STS alone. Here a simulator judges each
request by its resources and condition keys, with the policies of who makes it. The policy of a
bucket moto doesn't know, as its CloudFormation doesn't make it.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3

from tests.support.iam_requests import inserted, requests_of
from tests.support.moto_server import running_moto
from tests.support.simulator import Request, Simulator


def teach_moto(record: str | None = None) -> None:
    """Have moto ask the simulator; to be called in its own process, before it starts.

    What IAM allowed is written to the file `record`, if there is one, as a line of JSON each.
    """
    from moto.dynamodb.models import DynamoDBBackend
    from moto.iam.access_control import IAMPolicy, IAMRequest, IAMRequestBase

    patched: Any = DynamoDBBackend
    patched.batch_execute_statement = _insert
    patched = IAMRequest
    patched._raise_access_denied = _deny
    simulator = Simulator()

    def check(self: Any, resource: str) -> None:
        if self._action == "sts:GetCallerIdentity":  # allowed to everybody
            return
        where = f"{self._region}:{self.account_id}"
        key = self._access_key
        policies = [IAMPolicy(policy)._policy_json for policy in key.collect_policies()]
        for asked in requests_of(self._action, self._body, self._path, where, resource):
            if not simulator.allows(asked, policies, key.arn):
                self._action, self.resource = asked.action, asked.resource
                self._raise_access_denied()
            if record is not None:
                with open(record, "a") as file:
                    file.write(f"{json.dumps(asdict(asked))}\n")

    IAMRequestBase.check_action_permitted = check  # type: ignore[method-assign]


def _deny(request: Any) -> None:
    """As DynamoDB and AWS Batch say it; moto says it in XML, which their clients don't read."""
    from moto.core.exceptions import JsonRESTError

    raise JsonRESTError(
        "AccessDeniedException",
        f"User: {request._access_key.arn} is not authorized to perform: {request._action} on "
        f"resource: {request.resource} because no identity-based policy allows the "
        f"{request._action} action",
    )


def _insert(backend: Any, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an import asks for: moto's own can't insert the values of parameters."""
    answers: list[dict[str, Any]] = []
    for statement in statements:
        name, names = inserted(statement["Statement"])
        table = backend.tables[name]
        item = dict(zip(names, statement["Parameters"], strict=True))
        if backend.get_item(table.name, {table.hash_key_attr: item[table.hash_key_attr]}):
            answers.append({"Error": {"Code": "DuplicateItem", "Message": "it is there"}})
        else:
            table.put_item(item)
            answers.append({"TableName": table.name})
    return answers


@contextmanager
def running_enforcing_moto(before: str = "", *, record: Path | None = None) -> Iterator[str]:
    """A server that enforces permissions, once `enforced` is entered; its URL.

    `before` is Python that it runs first. What is allowed is written to `record` (see `recorded`).
    """
    argument = repr(str(record)) if record else ""
    teach = f"from tests.support import permissions\npermissions.teach_moto({argument})\n"
    with running_moto(before + teach) as endpoint:
        yield endpoint


def recorded(record: Path) -> list[Request]:
    """What IAM has allowed, each request once."""
    lines = dict.fromkeys(record.read_text().splitlines())
    return [Request(**json.loads(line)) for line in lines]


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
