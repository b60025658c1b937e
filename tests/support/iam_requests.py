"""What IAM is asked when a request is made: its actions, resources and condition keys.

As AWS documents them in the Service Authorization Reference and, for DynamoDB, in the Developer
Guide ("Using IAM policy conditions for fine-grained access control", "Using IAM with DynamoDB
transactions", "IAM security policies with PartiQL for DynamoDB").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.simulator import Request

# What AWS calls the permission, where moto calls it otherwise. (An import only inserts.)
_PERMISSIONS = {
    "batch:describejobdefinitions": "batch:DescribeJobDefinitions",
    "batch:describejobs": "batch:DescribeJobs",
    "batch:submitjob": "batch:SubmitJob",
    "batch:terminatejob": "batch:TerminateJob",
    "dynamodb:BatchExecuteStatement": "dynamodb:PartiQLInsert",
}
_IN_JSON = ("application-autoscaling", "batch", "dynamodb", "logs")
_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')
_INSERTED = re.compile(r"'([^']+)': \?")

# A path in an expression: its first part is the attribute. Values, functions and words aren't.
_PATH = re.compile(r"(?<![\w:#.])(#?[A-Za-z_]\w*)(?:\[\d+\]|\.#?\w+)*(?!\w|\s*\()")
_WORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"}
_EXPRESSIONS = ("Update", "Condition", "Projection", "Filter", "KeyCondition")


def requests_of(action: str, body: bytes, path: str, where: str, resource: str) -> list[Request]:
    """What IAM is asked; each must be allowed.

    `action` is moto's name for it, `where` the region and the account (`us-east-1:123456789012`),
    and `resource` what moto found, which is `*` but for S3.
    """
    action = _PERMISSIONS.get(action, action)
    service, _, operation = action.partition(":")
    if service == "s3":
        query = parse_qs(urlsplit(path).query)
        context = {
            f"s3:{name}": query[name][0] for name in ("prefix", "delimiter") if name in query
        }
        return [Request(action=action, resource=resource, context=context)]
    asked = json.loads(body) if service in _IN_JSON and body else {}
    if action == "batch:SubmitJob":
        definition = asked["jobDefinition"]
        revision = definition if ":" in definition else f"{definition}:1"  # the latest one's
        arns = (f"job-queue/{asked['jobQueue']}", f"job-definition/{revision}")
        return [Request(action=action, resource=f"arn:aws:batch:{where}:{arn}") for arn in arns]
    if action == "batch:TerminateJob":
        return [Request(action=action, resource=f"arn:aws:batch:{where}:job/{asked['jobId']}")]
    if service == "dynamodb" and operation != "ListTables":
        return list(_of_dynamodb(action, asked, f"arn:aws:dynamodb:{where}:table"))
    if service == "logs" and "logGroupName" in asked:
        arn = f"arn:aws:logs:{where}:log-group:{asked['logGroupName']}"
        stream = f":log-stream:{asked['logStreamName']}" if "logStreamName" in asked else ""
        return [Request(action=action, resource=arn + stream)]
    if service == "application-autoscaling" and not operation.startswith("Describe"):
        arn = f"arn:aws:application-autoscaling:{where}:scalable-target/0a1b2c"  # a random name
        context = {f"{service}:service-namespace": asked["ServiceNamespace"]}
        return [Request(action=action, resource=arn, context=context)]
    return [Request(action=action, resource=resource)]


def _of_dynamodb(action: str, asked: Mapping[str, Any], tables: str) -> Iterator[Request]:
    if "TransactItems" in asked:  # governed by the permissions of the operations in it
        for ((kind, one),) in (part.items() for part in asked["TransactItems"]):
            name = f"{kind}Item"
            enclosing = {"dynamodb:EnclosingOperation": action.partition(":")[2]}
            context = {**_context(name, one), **enclosing}
            arn = f"{tables}/{one['TableName']}"
            yield Request(action=f"dynamodb:{name}", resource=arn, context=context)
    elif "Statements" in asked:
        for statement in asked["Statements"]:
            table, names = inserted(statement["Statement"])
            context = {"dynamodb:Attributes": names}
            yield Request(action=action, resource=f"{tables}/{table}", context=context)
    elif "RequestItems" in asked:
        for table, one in asked["RequestItems"].items():
            keys = one["Keys"][0] if "Keys" in one else {}
            context = _context("BatchGetItem", {**one, "Key": keys}) if keys else {}
            yield Request(action=action, resource=f"{tables}/{table}", context=context)
    else:
        index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
        arn = f"{tables}/{asked['TableName']}{index}"
        yield Request(action=action, resource=arn, context=_context(action[9:], asked))


def _context(operation: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The condition keys of one of DynamoDB's operations on items."""
    attributes = _attributes(asked)
    context: dict[str, Any] = {"dynamodb:Attributes": attributes} if attributes else {}
    if operation in ("BatchGetItem", "GetItem", "Query", "Scan"):
        some = "SPECIFIC_ATTRIBUTES" if "ProjectionExpression" in asked else "ALL_ATTRIBUTES"
        context["dynamodb:Select"] = asked.get("Select", some)
    elif operation in ("UpdateItem", "PutItem", "DeleteItem"):
        context["dynamodb:ReturnValues"] = asked.get("ReturnValues", "NONE")
    return context


def _attributes(asked: Mapping[str, Any]) -> list[str]:
    """The attributes that a request names: those of its key, its item and its expressions."""
    names = asked.get("ExpressionAttributeNames", {})
    found = {*asked.get("Key", ()), *asked.get("Item", ())}
    found |= {*asked.get("AttributeUpdates", ()), *asked.get("Expected", ())}
    for kind in _EXPRESSIONS:
        for path in _PATH.findall(asked.get(f"{kind}Expression", "")):
            if path.upper() not in _WORDS:
                found.add(names.get(path, path))
    return sorted(found)


def inserted(statement: str) -> tuple[str, list[str]]:
    """The table of an import's statement, and the attributes that it gives values to."""
    match = _INSERT.fullmatch(statement)
    assert match, statement
    return match[1], _INSERTED.findall(match[2])
