"""S3 for tests: moto's server as a process of its own, and a proxy that refuses what it is told to.

with S3Server() as server:
    boto3.client("s3", endpoint_url=server.endpoint)
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import IO

START_SECONDS = 60
STOP_SECONDS = 10

# It ends with its stdin, and so with the tests, however these end.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class S3Server:
    """A server on a free port, empty at first, from the `with` on until its end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self.endpoint = ""

    def __enter__(self) -> S3Server:
        self._said = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for the tests
        )
        try:
            self.endpoint = f"http://127.0.0.1:{self._port()}"
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._said is not None
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._said.close()

    def _port(self) -> int:
        """The port, which it tells once it answers there."""
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._said is not None
        too_late = threading.Timer(START_SECONDS, self._process.kill)
        too_late.start()
        try:
            line = self._process.stdout.readline()
        finally:
            too_late.cancel()
            too_late.join()
        if not line:
            self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
            raise RuntimeError(f"moto's server did not start within {START_SECONDS} s:\n{said}")
        return int(line)


# Told the method ("PUT") and the path with its query; the HTTP status and the error code of S3 to
# refuse the request with, or None to let it pass. It is called by one thread at a time.
Refuse = Callable[[str, str], tuple[int, str] | None]


class FaultyS3:
    """A proxy in front of an S3 endpoint, from the `with` on until its end."""

    def __init__(self, target_url: str, refuse: Refuse) -> None:
        self.refused: list[str] = []  # "PUT /bucket/key", in the order of their coming
        self._refuse = refuse
        self._lock = threading.Lock()
        target = urllib.parse.urlsplit(target_url).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, target))
        self._server.daemon_threads = True  # a kept-alive connection may have no end
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _fault(self, method: str, path: str) -> tuple[int, str] | None:
        with self._lock:
            fault = self._refuse(method, path)
            if fault is not None:
                self.refused.append(f"{method} {path}")
            return fault


def _handler(proxy: FaultyS3, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy._fault(self.command, self.path)
            if fault is not None:
                status, code = fault
                error = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>"
                self._send(status, {"Content-Type": "application/xml"}, error.encode())
                return
            connection = http.client.HTTPConnection(target, timeout=60)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                response = connection.getresponse()
                headers = {name: value for name, value in response.getheaders() if _passes(name)}
                self._send(response.status, headers, response.read())
            finally:
                connection.close()

        do_GET = do_PUT = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Print nothing."""

        def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _passes(header: str) -> bool:
    return header.lower().startswith(("content-type", "etag", "x-amz"))
