"""Clients of AWS's services, and their errors as ours. Only this module imports boto3."""

from __future__ import annotations

import getpass
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
        ConfigParseError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        NoRegionError,
        ParamValidationError,
        PartialCredentialsError,
        ProfileNotFound,
        ProxyConnectionError,
        SSOError,
        TokenRetrievalError,
    )
    from botocore.exceptions import ConnectionError as AWSConnectionError
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
EXCERPT_LENGTH = 80  # characters of an answer that isn't the service's

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
# What each answer to these requests has. What lacks it comes from something else: a proxy, the
# login page of a network, another server at the address.
_EXPECTED = {
    "BatchExecuteStatement": "Responses",
    "BatchGetItem": "Responses",
    "CompleteMultipartUpload": "ETag",
    "CreateMultipartUpload": "UploadId",
    "CreateTable": "TableDescription",
    "DescribeJobDefinitions": "jobDefinitions",
    "DescribeJobs": "jobs",
    "DescribeScalableTargets": "ScalableTargets",
    "DescribeScalingPolicies": "ScalingPolicies",
    "DescribeTable": "Table",
    "ListTables": "TableNames",
    "PutObject": "ETag",
    "Query": "Count",  # which is there also when only that was asked for
    "Scan": "Items",
    "SubmitJob": "jobId",
    "UploadPart": "ETag",
}

# Where answers have rows.
ROWS = {"BatchGetItem": "Responses", "Query": "Items", "Scan": "Items"}

# They log with a traceback why credentials couldn't be refreshed. If we can't do without new ones,
# they raise it too.
for _name_of_logger in ("botocore.credentials", "botocore.tokens"):
    logging.getLogger(_name_of_logger).setLevel(logging.ERROR)


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
    with _translated_configuration_errors(endpoint_url, service):
        session = session or make_session(account)
        client = session.client(service, endpoint_url=endpoint_url, config=config)
    client.meta.events.register("after-call", _Check(client))
    for operation in ROWS:
        client.meta.events.register(f"before-parse.dynamodb.{operation}", _take_rows)
    if service == "dynamodb":
        _name_attributes(client)
    return client


def make_session(account: Account) -> boto3.session.Session:
    """Make what clients are made from.

    What it reads for its first client it keeps for the next ones, also in processes that are
    forked later: they share its memory.
    """
    with _translated_configuration_errors():
        session = boto3.session.Session(
            profile_name=account.profile,
            # botocore reads AWS_DEFAULT_REGION only; AWS's other SDKs read AWS_REGION.
            region_name=account.region or os.environ.get("AWS_REGION") or None,
        )
        providers = session._session.get_component("credential_provider")
        providers.get_provider("assume-role")._prompter = _ask_at_terminal
        return session


def on_date(client: Client, hear: Callable[[str], object]) -> None:
    """Have the `Date` of each answer heard, at once."""

    def after_call(http_response: Any, **_: object) -> None:
        hear(http_response.headers.get("Date", ""))

    client.meta.events.register("after-call", after_call)


@contextmanager
def _translated_configuration_errors(
    endpoint_url: str | None = None, service: str = ""
) -> Iterator[None]:
    try:
        yield
    except ProfileNotFound as error:
        raise UsageError(f"{error}: see ~/.aws/config, or leave --profile out") from error
    except NoRegionError as error:
        raise UsageError(
            "no AWS region: give -r, set AWS_REGION, or use --local for a table on this machine"
        ) from error
    except ConfigParseError as error:
        raise UsageError(f"the AWS configuration can't be used: {_said(error)}") from error
    except Exception as error:
        if _is_about_credentials(error):
            raise _no_credentials(error, service) from error
        if isinstance(error, ValueError):  # an invalid region or endpoint, for example
            where = f"--endpoint-url {endpoint_url!r}" if endpoint_url else "the AWS configuration"
            raise UsageError(f"{where} can't be used: {_said(error)}") from error
        if isinstance(error, (BotoCoreError, PermissionError)):
            raise AccessDenied(f"the AWS configuration can't be used: {_said(error)}") from error
        raise


@contextmanager
def translated_errors(client: Client, what: str) -> Iterator[None]:
    """Turn botocore's errors into ours, and a refused condition into `ConditionFailed`.

    `what` names the table, bucket or service that was asked, for messages.
    """
    try:
        yield
    except Exception as error:
        ours = _translated(error, client, what)
        if ours is None:
            raise
        raise ours from error


def _translated(error: Exception, client: Client, what: str) -> Exception | None:
    """Our error for one of botocore's; None for any other."""
    where = f"{_name(client)} at {client.meta.endpoint_url}"
    if _is_about_credentials(error):  # also if another service, which issues them, has refused
        return _no_credentials(error, client.meta.service_model.service_name, what)
    if isinstance(error, ClientError):
        return _service_error(error, client, what)
    if isinstance(error, ParamValidationError):
        return PyAnamoError(f"{what}: {_said(error)}")
    if isinstance(error, ProxyConnectionError):
        return StoreUnavailable(
            f"{where} can't be reached: {_said(error)}: check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        )
    if isinstance(error, EndpointConnectionError):
        return StoreUnavailable(
            f"{_name(client)} can't be reached at {client.meta.endpoint_url}: check the network, "
            f"and the region {client.meta.region_name!r}"
        )
    if isinstance(error, BotoCoreError):
        return StoreUnavailable(f"{where} doesn't answer: {_said(error)}")
    is_of_machine = isinstance(error, (OSError, MemoryError))
    if _passed_through(error, "botocore.endpoint") and not is_of_machine:
        return not_understood(client, _said(error))
    return None


def _service_error(error: ClientError, client: Client, what: str) -> Exception:
    """Our error for what a service has answered."""
    answer: Any = error.response
    told = answer["Error"]
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    if code == "ConditionalCheckFailedException":
        tries = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        return ConditionFailed(answer.get("Item"), was_repeated=tries > 0)
    if code.isdigit():  # the status: there is no code of the service's
        to = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("location", "")
        return not_understood(client, f"status {code}: {to or _excerpt(message)}")
    return aws_error(code, message, client, what, error.operation_name, _hint(told, error))


def _name_attributes(client: Client) -> None:
    """Have the answer to an update that DynamoDB denies name the attributes of the request.

    AWS doesn't say which attribute its policy leaves out (`dynamodb:Attributes`).
    """

    def note(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
        context["attributes"] = params.get("ExpressionAttributeNames", {}).values()

    def tell(parsed: Any, context: Mapping[str, Any], **_: object) -> None:
        if "Error" in parsed:
            parsed["Error"]["Attributes"] = context["attributes"]

    client.meta.events.register("provide-client-params.dynamodb.UpdateItem", note)
    client.meta.events.register("after-call.dynamodb.UpdateItem", tell)


def _hint(told: Mapping[str, Any], error: ClientError) -> str:
    """What else may be the reason if permission is denied; it begins with a semicolon."""
    if error.operation_name == "GetObject" and told.get("Code") == "AccessDenied":
        # Who may list the bucket gets another answer for that.
        return "; S3 gives the same answer if the key does not exist"
    if told.get("Code") == "AccessDeniedException" and (names := told.get("Attributes")):
        attributes = ", ".join(("itemID", *sorted(names)))
        return f"; a condition on dynamodb:Attributes must allow all of: {attributes}"
    return ""


def not_understood(client: Client, answer: str) -> StoreUnavailable:
    """The error for an answer that is not from the service that was asked."""
    return StoreUnavailable(
        f"the answer from {client.meta.endpoint_url} is not {_name(client)}'s ({answer}): check "
        "the address; a proxy, or the login page of a network, may have answered instead"
    )


def _take_rows(
    operation_model: Any, response_dict: Any, customized_response_dict: Any, **_: object
) -> None:
    """Take rows as they are in the answer's JSON, which is what botocore would return.

    It takes ten times as long for them. Only binary values, which no item of ours has, differ, so
    botocore parses these, and whatever is no answer of DynamoDB's.
    """
    body, name = response_dict["body"], ROWS[operation_model.name]
    if response_dict["status_code"] >= 300 or b'"B"' in body or b'"BS"' in body:
        return
    try:
        answer = json.loads(body)
        of_tables = answer[name].values() if name == "Responses" else [answer[name]]
        is_known = all(_is_row(row) for rows in of_tables for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    if is_known:
        customized_response_dict[name] = answer.pop(name)
        response_dict["body"] = json.dumps(answer).encode()


def _is_row(row: Any) -> bool:
    """Whether these are attributes with a typed value each: `{"itemID": {"S": "a"}}`."""
    return isinstance(row, dict) and all(map(_is_typed, row.values()))


def _is_typed(value: Any) -> bool:
    return type(value) is dict and len(value) == 1


class _Check:
    """Refuses answers that are not from the service. (An empty one may mean success.)"""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __call__(self, http_response: Any, parsed: Any, model: Any, **_: object) -> None:
        """Raise `StoreUnavailable` for an answer that says it is a success, but can't be one."""
        if http_response.status_code >= 300:
            return
        expected = _EXPECTED.get(model.name)
        if expected is not None:
            is_good = expected in parsed
        else:  # Amazon DynamoDB Developer Guide, "DynamoDB low-level API": each response has an id
            has_id = "RequestId" in parsed.get("ResponseMetadata", {})
            is_good = has_id or _name(self._client) != "DynamoDB"
        if is_good:
            return
        text = http_response.content.decode(errors="replace")
        raise not_understood(self._client, f"status {http_response.status_code}: {_excerpt(text)}")


def _is_about_credentials(error: Exception) -> bool:
    """Whether we have failed to get credentials. Providers raise errors of any kind."""
    is_missing = isinstance(error, NoCredentialsError)
    return is_missing or _passed_through(error, "botocore.credentials", "botocore.tokens")


def _passed_through(error: BaseException, *modules: str) -> bool:
    """Whether an error came out of a function of one of these modules."""
    frames = error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_globals.get("__name__") in modules:
            return True
        frames = frames.tb_next
    return False


def _no_credentials(error: Exception, service: str, what: str = "") -> AccessDenied:
    """The error of credentials that can't be had, with what to do."""
    why, to_do = _said(error), "check the profile in ~/.aws/config"
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        instead = ""
        if service == "dynamodb":
            instead = ", or use --local for a table on this machine"
        elif what.startswith("bucket"):  # where a pilot keeps logs
            instead = ", or keep logs in a folder with --log-dir instead of -b"
        to_do = f"give --profile, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY{instead}"
    elif isinstance(error, (AWSConnectionError, HTTPClientError)):
        to_do = "check the network"
    elif isinstance(error, (SSOError, TokenRetrievalError)):
        to_do = "run aws sso login with the profile"
    elif isinstance(error, EOFError):
        why = "the profile needs an MFA code, and there is no terminal to ask for it"
        to_do = "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
    elif isinstance(error, OSError):
        why = f"{error.filename}: {error.strerror}" if error.strerror else why
        why, to_do = f"credential_process: {why}", "check credential_process in ~/.aws/config"
    elif not isinstance(error, (BotoCoreError, ClientError, RuntimeError)):
        why, to_do = "credential_process prints no credentials", f"run it by hand ({why})"
    needed = f" for {what}" if service == "s3" else ""
    return AccessDenied(f"no AWS credentials{needed}: {why}: {to_do}")


def _ask_at_terminal(prompt: str) -> str:
    """Ask for an MFA code. Raises `EOFError` without a terminal: stdin may be a task file."""
    with suppress(OSError), open("/dev/tty"):
        return getpass.getpass(prompt)
    raise EOFError


def aws_error(
    code: str, message: str, client: Client, what: str, operation: str = "", hint: str = ""
) -> PyAnamoError:
    """Return our error for one of AWS's, by its code and message; `what` as above.

    S3 doesn't say what it denied: the message names the operation, if it is given. A `hint` follows
    the message if access is denied.
    """
    where = f"{client.meta.region_name} ({client.meta.endpoint_url})"
    message = shortened(message)
    if code == "ResourceNotFoundException":
        return TableNotFound(f"there is no {what} in {where}: an import makes it")
    if code in _DENIED:
        to_do = f" to {operation}" if operation else ""
        return AccessDenied(f"{what} in {where}: access denied{to_do} ({code}): {message}{hint}")
    if code in ("NoSuchBucket", "NoSuchKey"):
        return PyAnamoError(f"{what} is not there: {message}")
    if code == "ValidationException" and _is_about_keys(message) and _name(client) == "DynamoDB":
        told = f"is not a PyAnamo table: {message}; name another table"
        return TableNotFound(f"{what} in {where} {told}")
    if code == "ValidationException":
        return PyAnamoError(f"{what} in {where}: {_name(client)} refuses: {message}")
    return StoreUnavailable(f"{what} in {where}: {code}: {message}")


def shortened(message: str) -> str:
    """Return a message on one line. A proxy, for example, may answer with a whole page."""
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_LENGTH else f"{line[:MESSAGE_LENGTH]}..."


def _is_about_keys(message: str) -> bool:
    """Whether DynamoDB refuses a request since keys or the index aren't what ours are."""
    return any(word in message for word in ("index", "schema", "key condition", "key element"))


def _said(error: BaseException) -> str:
    """What an error says, on one line without a full stop."""
    return shortened(str(error) or type(error).__name__).rstrip(".")


def _excerpt(text: str) -> str:
    """The beginning of an answer, on one line."""
    return repr(" ".join(text.split())[:EXCERPT_LENGTH])


def _name(client: Client) -> str:
    return _NAMES[client.meta.service_model.service_name]
