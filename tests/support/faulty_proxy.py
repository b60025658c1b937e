"""An HTTP proxy in front of DynamoDB that loses, delays and refuses what it is told to.

It stands in front of AWS Batch as well, whose operations have no names but paths: "submitjob".

def decide(operation, body, count):
    lost = operation == "UpdateItem" and count == 1
    return Fault.DROP_AFTER if lost else Fault.NONE

with FaultyProxy(dynamodb, decide) as proxy:
    client = boto3.client("dynamodb", endpoint_url=proxy.url)
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import formatdate
from enum import Enum
from typing import Any

from tests.support.http_server import Answer, LocalServer, Request, forwarded

JSON = "application/x-amz-json-1.0"


class Fault(Enum):
    """What becomes of a request."""

    NONE = "it is passed on, and its answer passed back"
    DROP_BEFORE = "the connection is closed, and DynamoDB never sees it"
    DROP_AFTER = "DynamoDB gets it, and the connection is closed instead of an answer"
    ERROR_BEFORE = "it is answered with status 500, and DynamoDB never sees it"
    ERROR_AFTER = "DynamoDB gets it, and it is answered with status 500"
    THROTTLE = "it is refused: too many requests"


@dataclass(frozen=True)
class Hang:
    """DynamoDB gets the request, and its answer comes so many seconds later."""

    seconds: float


@dataclass(frozen=True)
class Instead:
    """DynamoDB never sees the request: something else answers."""

    answer: Answer


@dataclass(frozen=True)
class StatementErrors:
    """Of a `BatchExecuteStatement`, some statements are answered with an error of these codes.

    DynamoDB never sees them, unless they are `written` all the same.
    """

    codes: Mapping[int, str]  # by the statement's place, from 0 on
    written: bool = False


Action = Fault | Hang | Instead | StatementErrors
# Told the operation ("UpdateItem"), the request's body, and that it is the first, second, ... of
# the operation's requests. It is called by one thread at a time.
Decide = Callable[[str, Any, int], Action]


def pass_all(operation: str, body: Any, count: int) -> Action:
    """Decide on no fault at all."""
    return Fault.NONE


class FaultyProxy(LocalServer):
    """A running proxy, from the `with` on until its end. `decide` may be set at any time."""

    def __init__(self, target_url: str, decide: Decide = pass_all) -> None:
        super().__init__()
        self.decide = decide
        self.operations: list[str] = []  # of all requests so far
        self.ahead = 0.0  # seconds by which DynamoDB's clock is ahead of this machine's
        self._target_url = target_url
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, operation: str) -> int:
        """How many requests of an operation have come so far."""
        with self._lock:
            return self._counts[operation]

    def answer(self, request: Request) -> Answer | None:
        """Do with a request what is decided."""
        name = request.headers["X-Amz-Target"] or request.path.replace("/", ".")
        action = self._action(name.rpartition(".")[2], json.loads(request.body))
        if isinstance(action, Instead):
            return action.answer
        if isinstance(action, StatementErrors):
            return self._with_statement_errors(action, request)
        if isinstance(action, Hang):
            answer = self._forward(request)
            self.closing.wait(action.seconds)
            return answer
        if action in (Fault.NONE, Fault.DROP_AFTER, Fault.ERROR_AFTER):
            answer = self._forward(request)
        if action is Fault.NONE:
            return answer
        if action in (Fault.DROP_BEFORE, Fault.DROP_AFTER):
            return None
        if action is Fault.THROTTLE:
            return error_answer(400, "ThrottlingException")
        return error_answer(500, "InternalServerError")

    def _action(self, operation: str, body: Any) -> Action:
        with self._lock:
            self.operations.append(operation)
            self._counts[operation] += 1
            return self.decide(operation, body, self._counts[operation])

    def _with_statement_errors(self, errors: StatementErrors, request: Request) -> Answer:
        body = json.loads(request.body)
        statements = body["Statements"]
        refused = {} if errors.written else errors.codes
        sent = [place for place in range(len(statements)) if place not in refused]
        responses: dict[int, Any] = {}
        if sent:
            some = {**body, "Statements": [statements[place] for place in sent]}
            answer = self._forward(replace(request, body=json.dumps(some).encode()))
            if answer.status != 200:
                return answer
            responses = dict(zip(sent, json.loads(answer.body)["Responses"], strict=True))
        for place, code in errors.codes.items():
            responses[place] = {"Error": {"Code": code, "Message": "on purpose"}}
        merged = {"Responses": [responses[place] for place in range(len(statements))]}
        return Answer(200, json.dumps(merged).encode(), {"Content-Type": JSON})

    def _forward(self, request: Request) -> Answer:
        answer = forwarded(request, self._target_url)
        date = formatdate(time.time() + self.ahead, usegmt=True)
        return replace(answer, headers={**answer.headers, "Date": date})


def error_answer(status: int, code: str) -> Answer:
    """An error as DynamoDB answers it."""
    body = {"__type": f"com.amazon.coral.service#{code}", "message": "on purpose"}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": JSON})
