"""An AWS Batch that takes jobs at once, however large, and runs none: moto makes every child."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from tests.support.http_server import Answer, LocalServer, Request


class FakeBatch(LocalServer):
    """A server that knows `SubmitJob` only, from the `with` on until its end."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {}  # what it took, by the id that it gave
        # Told that a request is the first, second, ... of all; why it is refused, or nothing.
        self.refuse: Callable[[int], str] = lambda _count: ""
        self._count = 0

    @property
    def sizes(self) -> list[int]:
        """How many pilots each job has, in the order of their requests."""
        return [job.get("arrayProperties", {}).get("size", 1) for job in self.jobs.values()]

    def answer(self, request: Request) -> Answer:
        """Take a job, or refuse it."""
        assert (request.method, request.path) == ("POST", "/v1/submitjob")
        status, body = self._submit(json.loads(request.body))
        return Answer(status, json.dumps(body).encode())

    def _submit(self, request: dict[str, Any]) -> tuple[int, dict[str, str]]:
        """The status and body that answer a request."""
        self._count += 1
        if why := self.refuse(self._count):
            return 400, {"__type": "ClientException", "message": why}
        job_id = str(uuid.uuid4())
        self.jobs[job_id] = request
        return 200, {"jobId": job_id, "jobName": request["jobName"]}
