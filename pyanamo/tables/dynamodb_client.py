"""DynamoDB through botocore: the client, its errors, its values and its expressions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from pyanamo.errors import AccessDenied, PyAnamoError, StoreUnavailable, TableNotFound, UsageError

Client = Any  # botocore makes its clients' classes at run time

CONNECT_SECONDS = 3
READ_SECONDS = 10
ATTEMPTS = 10

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


class ConditionFailed(Exception):
    """A conditional write was refused. `item` is what is there instead, or None."""

    def __init__(self, item: dict[str, Any] | None) -> None:
        super().__init__()
        self.item = item


def make_client(
    *, region: str | None, profile: str | None, endpoint_url: str | None, connections: int = 10
) -> Client:
    """A client for this process, by the SDK's usual chain where an argument is None."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
        max_pool_connections=connections,
    )
    try:
        session = boto3.session.Session(
            profile_name=profile,
            # Of the two variables the SDKs know for it, botocore reads AWS_DEFAULT_REGION only.
            region_name=region or os.environ.get("AWS_REGION") or None,
        )
        return session.client("dynamodb", endpoint_url=endpoint_url, config=config)
    except ProfileNotFound as error:
        raise UsageError(f"{error}: see ~/.aws/config, or leave --profile out") from error
    except NoRegionError as error:
        raise UsageError(
            "no AWS region: give -r, set AWS_REGION, or use --local for a table on this machine"
        ) from error
    except ValueError as error:  # botocore's for an endpoint that is no URL
        raise UsageError(f"--endpoint-url {endpoint_url!r} is not a URL: {error}") from error
    except BotoCoreError as error:
        raise AccessDenied(f"the AWS configuration can't be used: {error}") from error


@contextmanager
def translated_errors(client: Client, table: str) -> Iterator[None]:
    """Turn botocore's errors into ours; a refused condition into `ConditionFailed`."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"].get("Code") == "ConditionalCheckFailedException":
            old: Any = error.response.get("Item")
            raise ConditionFailed(plain_map(old) if old else None) from error
        raise _client_error(error, client, table) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise AccessDenied(
            f"{str(error).rstrip('.')}: give --profile, set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or use --local for a table on this machine"
        ) from error
    except EndpointConnectionError as error:
        raise StoreUnavailable(
            f"DynamoDB can't be reached at {client.meta.endpoint_url}: is the network there, and "
            f"the region {client.meta.region_name!r} right?"
        ) from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"DynamoDB at {client.meta.endpoint_url} doesn't answer: {error}"
        ) from error


def _client_error(error: ClientError, client: Client, table: str) -> PyAnamoError:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    where = f"{client.meta.region_name} ({client.meta.endpoint_url})"
    if code == "ResourceNotFoundException":
        return TableNotFound(
            f"table {table!r} is not there in {where}: create it with import-items.py"
        )
    if code in _DENIED:
        return AccessDenied(f"table {table!r} in {where}: access denied ({code}): {message}")
    if code == "ValidationException" and "index" in message:
        return TableNotFound(f"table {table!r} in {where} is not PyAnamo's: {message}")
    if code == "ValidationException":
        return PyAnamoError(f"table {table!r} in {where}: DynamoDB refuses: {message}")
    return StoreUnavailable(f"table {table!r} in {where}: {code}: {message}")


def typed(value: Any) -> dict[str, Any]:
    """A value as DynamoDB takes it. (boto3's own serializer takes no floats.)"""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, dict):
        return {"M": typed_map(value)}
    if isinstance(value, list):
        return {"L": [typed(part) for part in value]}
    return {"N": str(value)}


def typed_map(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as DynamoDB takes them."""
    return {name: typed(value) for name, value in attributes.items()}


def plain(value: Mapping[str, Any]) -> Any:
    """A value as DynamoDB gives it, as str, int, float, dict, list, bool, bytes or None."""
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content) if content.lstrip("-").isdigit() else float(content)
    if kind == "M":
        return plain_map(content)
    if kind == "L":
        return [plain(part) for part in content]
    return None if kind == "NULL" else content


def plain_map(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as DynamoDB gives them."""
    return {name: plain(value) for name, value in attributes.items()}


class Update:
    """The arguments of an `UpdateItem` that makes some changes if a condition holds.

    Names stand behind placeholders, since `Log` and others are reserved words of DynamoDB.
    """

    def __init__(self, changes: Mapping[str, Any]) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._set = [
            f"{self.name(attribute)} = {self.value(attribute, value)}"
            for attribute, value in changes.items()
            if value is not None
        ]
        self._remove = [self.name(name) for name, value in changes.items() if value is None]

    def name(self, attribute: str) -> str:
        """The placeholder of a name."""
        self._names[f"#{attribute}"] = attribute
        return f"#{attribute}"

    def value(self, label: str, value: Any) -> str:
        """The placeholder of a value."""
        self._values[f":{label}"] = typed(value)
        return f":{label}"

    def add_one(self, attribute: str) -> None:
        """Count one more. Only right under a condition that fails once this has been done."""
        name = self.name(attribute)
        zero, one = self.value("zero", 0), self.value("one", 1)
        self._set.append(f"{name} = if_not_exists({name}, {zero}) + {one}")

    def arguments(self, condition: str) -> dict[str, Any]:
        """What `update_item` takes, `TableName` and `Key` apart."""
        parts = []
        if self._set:
            parts.append("SET " + ", ".join(self._set))
        if self._remove:
            parts.append("REMOVE " + ", ".join(self._remove))
        return {
            "UpdateExpression": " ".join(parts),
            "ConditionExpression": condition,
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
