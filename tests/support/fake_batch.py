"""An AWS Batch that takes jobs at once, however large, and runs none: moto makes every child."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class FakeBatch:
    """A server that knows `SubmitJob` only, from the `with` on until its end."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}  # what it took, by the id that it gave
        # Told that a request is the first, second, ... of all; why it is refused, or nothing.
        self.refuse: Callable[[int], str] = lambda _count: ""
        self.closing = threading.Event()
        self._count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True  # a kept-alive connection may have no end
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """The endpoint for a client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def sizes(self) -> list[int]:
        """How many pilots each job has, in the order of their requests."""
        return [job.get("arrayProperties", {}).get("size", 1) for job in self.jobs.values()]

    def __enter__(self) -> FakeBatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def submit(self, request: dict[str, Any]) -> tuple[int, dict[str, str]]:
        """The status and body that answer a request."""
        self._count += 1
        if why := self.refuse(self._count):
            return 400, {"__type": "ClientException", "message": why}
        job_id = str(uuid.uuid4())
        self.jobs[job_id] = request
        return 200, {"jobId": job_id, "jobName": request["jobName"]}


def _handler(batch: FakeBatch) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/submitjob"
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = batch.submit(request)
            answer = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler
