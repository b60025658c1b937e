"""HTTP servers of the tests' own, each on a free port of this machine.

class Refusing(LocalServer):
    def answer(self, request):
        return Answer(403)

with Refusing() as server:
    boto3.client("s3", endpoint_url=server.url)
"""

from __future__ import annotations

import http.client
import threading
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

FORWARD_SECONDS = 60

_Self = TypeVar("_Self", bound="LocalServer")


@dataclass(frozen=True)
class Request:
    """What a client asks."""

    method: str  # "PUT"
    path: str  # with its query
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What it is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)  # beside the length


class LocalServer(ABC):
    """A server, from the `with` on until its end."""

    def __init__(self) -> None:
        self.closing = threading.Event()  # set at the end, for answers that wait
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True  # a kept-alive connection may have no end
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """The endpoint for a client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @abstractmethod
    def answer(self, request: Request) -> Answer | None:
        """Answer a request; None has its connection closed instead. Called by many threads."""

    def __enter__(self: _Self) -> _Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def forwarded(request: Request, target_url: str) -> Answer:
    """The answer of another server, with as much of its headers as clients of AWS look at."""
    target = urllib.parse.urlsplit(target_url).netloc
    own = ("host", "content-length", "connection")  # those of the connection there
    headers = {name: value for name, value in request.headers.items() if name.lower() not in own}
    connection = http.client.HTTPConnection(target, timeout=FORWARD_SECONDS)
    try:
        connection.request(request.method, request.path, request.body, headers)
        response = connection.getresponse()
        told = {
            name: value
            for name, value in response.getheaders()
            if name.lower().startswith(("content-type", "etag", "x-amz"))
        }
        return Answer(response.status, response.read(), told)
    finally:
        connection.close()


def _handler(server: LocalServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = server.answer(Request(self.command, self.path, self.headers, body))
            if answer is None:
                self.close_connection = True
                return
            with suppress(ConnectionError):  # the client may have lost its patience
                self.send_response_only(answer.status)
                for name, value in {"Date": self.date_time_string(), **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
