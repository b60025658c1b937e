"""Clients of AWS's services, and their errors as ours. Only this module imports boto3."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from pyanamo import __version__
from pyanamo.account import Account
from pyanamo.errors import AccessDenied, PyAnamoError, StoreUnavailable, TableNotFound, UsageError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        NoRegionError,
        ParamValidationError,
        PartialCredentialsError,
        ProfileNotFound,
    )
except ModuleNotFoundError as error:
    raise PyAnamoError(
        f"{error.name} is not installed, and DynamoDB, S3 and AWS Batch need it: "
        "python -m pip install boto3"
    ) from error

Client = Any  # botocore makes its clients' classes at run time

CONNECT_SECONDS = 3
READ_SECONDS = 10
ATTEMPTS = 10
# The SDK adds its own version. Composing all of it would take a twelfth of each request's CPU time.
USER_AGENT = f"PyAnamo/{__version__}"
MESSAGE_LENGTH = 300  # characters of a service's message that we show

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_NAMES = {
    "application-autoscaling": "Application Auto Scaling",
    "batch": "AWS Batch",
    "dynamodb": "DynamoDB",
    "s3": "S3",
}


class ConditionFailed(Exception):
    """DynamoDB refused a conditional write. `item` is the item that is there, if there is one.

    If the SDK has repeated the request, an earlier one may have been the one that was accepted.
    """

    def __init__(self, item: Mapping[str, Any] | None, *, was_repeated: bool = False) -> None:
        super().__init__()
        self.item = item
        self.was_repeated = was_repeated


def make_client(
    service: Literal["application-autoscaling", "batch", "dynamodb", "s3"],
    account: Account,
    *,
    session: boto3.session.Session | None = None,
) -> Client:
    """Make a client of a service, for this process; from a session of the account, if given.

    The settings are those of the AWS SDKs' "standard" retry mode (AWS SDKs and Tools Reference
    Guide, "Retry behavior").
    """
    endpoint_url = account.endpoint_url if service == "dynamodb" else None
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        tcp_keepalive=True,
        # DynamoDB checks what it gets, and an import has checked the items.
        parameter_validation=service != "dynamodb",
        user_agent=USER_AGENT,
    )
    with _translated_configuration_errors(endpoint_url):
        session = session or make_session(account)
        return session.client(service, endpoint_url=endpoint_url, config=config)


def make_session(account: Account) -> boto3.session.Session:
    """Make what clients are made from.

    What it reads for its first client it keeps for the next ones, also in processes that are
    forked later: they share its memory.
    """
    with _translated_configuration_errors():
        return boto3.session.Session(
            profile_name=account.profile,
            # botocore reads AWS_DEFAULT_REGION only; AWS's other SDKs read AWS_REGION.
            region_name=account.region or os.environ.get("AWS_REGION") or None,
        )


@contextmanager
def _translated_configuration_errors(endpoint_url: str | None = None) -> Iterator[None]:
    try:
        yield
    except ProfileNotFound as error:
        raise UsageError(f"{error}: see ~/.aws/config, or leave --profile out") from error
    except NoRegionError as error:
        raise UsageError(
            "no AWS region: give -r, set AWS_REGION, or use --local for a table on this machine"
        ) from error
    except ValueError as error:  # botocore's, for an invalid region or endpoint
        where = f"--endpoint-url {endpoint_url!r}" if endpoint_url else "the AWS region or endpoint"
        raise UsageError(f"{where} can't be used: {error}") from error
    except BotoCoreError as error:
        raise AccessDenied(f"the AWS configuration can't be used: {error}") from error


@contextmanager
def translated_errors(client: Client, what: str) -> Iterator[None]:
    """Turn botocore's errors into ours, and a refused condition into `ConditionFailed`.

    `what` names the table, bucket or service that was asked, for messages.
    """
    try:
        yield
    except ClientError as error:
        told = error.response["Error"]
        code, message = told.get("Code", ""), told.get("Message", "")
        if code == "ConditionalCheckFailedException":
            item: Any = error.response.get("Item")
            tries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
            raise ConditionFailed(item, was_repeated=tries > 0) from error
        raise aws_error(code, message, client, what, error.operation_name) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise AccessDenied(
            f"{str(error).rstrip('.')}: give --profile, set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or use --local for a table on this machine"
        ) from error
    except ParamValidationError as error:  # its message has several lines
        raise PyAnamoError(f"{what}: {shortened(str(error))}") from error
    except EndpointConnectionError as error:
        raise StoreUnavailable(
            f"{_name(client)} can't be reached at {client.meta.endpoint_url}: check the network, "
            f"and the region {client.meta.region_name!r}"
        ) from error
    except BotoCoreError as error:
        raise StoreUnavailable(
            f"{_name(client)} at {client.meta.endpoint_url} doesn't answer: {error}"
        ) from error


def aws_error(
    code: str, message: str, client: Client, what: str, operation: str = ""
) -> PyAnamoError:
    """Return our error for one of AWS's, by its code and message; `what` as above.

    S3 doesn't say what it denied: the message names the operation, if it is given.
    """
    where = f"{client.meta.region_name} ({client.meta.endpoint_url})"
    message = shortened(message)
    if code == "ResourceNotFoundException":
        return TableNotFound(f"{what} is not there in {where}: create it with import-items.py")
    if code in _DENIED:
        to_do = f" to {operation}" if operation else ""
        return AccessDenied(f"{what} in {where}: access denied{to_do} ({code}): {message}")
    if code in ("NoSuchBucket", "NoSuchKey"):
        return PyAnamoError(f"{what} is not there: {message}")
    if code == "ValidationException" and "index" in message and _name(client) == "DynamoDB":
        return TableNotFound(f"{what} in {where} is not PyAnamo's: {message}")
    if code == "ValidationException":
        return PyAnamoError(f"{what} in {where}: {_name(client)} refuses: {message}")
    return StoreUnavailable(f"{what} in {where}: {code}: {message}")


def shortened(message: str) -> str:
    """Return a message on one line. A proxy, for example, may answer with a whole page."""
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_LENGTH else f"{line[:MESSAGE_LENGTH]}..."


def _name(client: Client) -> str:
    return _NAMES[client.meta.service_model.service_name]
