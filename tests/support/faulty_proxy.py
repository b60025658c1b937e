"""An HTTP proxy in front of DynamoDB that loses, delays and refuses what it is told to.

It stands in front of AWS Batch as well, whose operations have no names but paths: "submitjob".

def decide(operation, body, count):
    lost = operation == "UpdateItem" and count == 1
    return Fault.DROP_AFTER if lost else Fault.NONE

with FaultyProxy(dynamodb, decide) as proxy:
    client = boto3.client("dynamodb", endpoint_url=proxy.url)
"""

import http.client
import json
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

TARGET_SECONDS = 60
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
class StatementErrors:
    """Of a `BatchExecuteStatement`, some statements are answered with an error of these codes.

    DynamoDB never sees them, unless they are `written` all the same.
    """

    codes: Mapping[int, str]  # by the statement's place, from 0 on
    written: bool = False


Action = Fault | Hang | StatementErrors
# Told the operation ("UpdateItem"), the request's body, and that it is the first, second, ... of
# the operation's requests. It is called by one thread at a time.
Decide = Callable[[str, Any, int], Action]


def pass_all(operation: str, body: Any, count: int) -> Action:
    """Decide on no fault at all."""
    return Fault.NONE


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class FaultyProxy:
    """A running proxy, from the `with` on until its end. `decide` may be set at any time."""

    def __init__(self, target_url: str, decide: Decide = pass_all) -> None:
        self.decide = decide
        self.operations: list[str] = []  # of all requests so far
        target = urllib.parse.urlsplit(target_url).netloc
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target))
        self._server.daemon_threads = True  # a kept-alive connection may have no end
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """The endpoint for a client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FaultyProxy":
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def count(self, operation: str) -> int:
        """How many requests of an operation have come so far."""
        with self._lock:
            return self._counts[operation]

    def _action(self, operation: str, body: Any) -> Action:
        with self._lock:
            self.operations.append(operation)
            self._counts[operation] += 1
            return self.decide(operation, body, self._counts[operation])

    def _wait(self, seconds: float) -> None:
        self._closing.wait(seconds)


def _handler(proxy: FaultyProxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            name = self.headers["X-Amz-Target"] or self.path.replace("/", ".")
            operation = name.rpartition(".")[2]
            body = json.loads(request)
            answer = self._answer(proxy._action(operation, body), request, body)
            if answer is None:
                self.close_connection = True
                return
            with suppress(ConnectionError):  # the client may have lost its patience
                self._send(answer)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def _answer(self, action: Action, request: bytes, body: Any) -> _Answer | None:
            """The answer to a request, or None for the connection's being closed without one."""
            if isinstance(action, StatementErrors):
                return self._with_statement_errors(action, body)
            if isinstance(action, Hang):
                answer = self._forward(request)
                proxy._wait(action.seconds)
                return answer
            if action in (Fault.NONE, Fault.DROP_AFTER, Fault.ERROR_AFTER):
                answer = self._forward(request)
            if action is Fault.NONE:
                return answer
            if action in (Fault.DROP_BEFORE, Fault.DROP_AFTER):
                return None
            if action is Fault.THROTTLE:
                return _error(400, "ThrottlingException")
            return _error(500, "InternalServerError")

        def _with_statement_errors(self, errors: StatementErrors, body: Any) -> _Answer:
            statements = body["Statements"]
            refused = {} if errors.written else errors.codes
            sent = [place for place in range(len(statements)) if place not in refused]
            responses: dict[int, Any] = {}
            if sent:
                request = {**body, "Statements": [statements[place] for place in sent]}
                answer = self._forward(json.dumps(request).encode())
                if answer.status != 200:
                    return answer
                responses = dict(zip(sent, json.loads(answer.body)["Responses"], strict=True))
            for place, code in errors.codes.items():
                responses[place] = {"Error": {"Code": code, "Message": "on purpose"}}
            merged = {"Responses": [responses[place] for place in range(len(statements))]}
            return _Answer(200, {"Content-Type": JSON}, json.dumps(merged).encode())

        def _forward(self, request: bytes) -> _Answer:
            connection = http.client.HTTPConnection(target, timeout=TARGET_SECONDS)
            try:
                connection.request("POST", self.path, request, self._forwarded_headers())
                response = connection.getresponse()
                body = response.read()
                headers = {
                    name: value
                    for name, value in response.getheaders()
                    if name.lower().startswith(("content-type", "x-amz"))
                }
                return _Answer(response.status, headers, body)
            finally:
                connection.close()

        def _forwarded_headers(self) -> dict[str, str]:
            skipped = ("host", "content-length", "connection")
            return {
                name: value for name, value in self.headers.items() if name.lower() not in skipped
            }

        def _send(self, answer: _Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    return Handler


def _error(status: int, code: str) -> _Answer:
    """An error as DynamoDB answers it."""
    body = {"__type": f"com.amazon.coral.service#{code}", "message": "on purpose"}
    return _Answer(status, {"Content-Type": JSON}, json.dumps(body).encode())
