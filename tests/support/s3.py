"""An S3 that refuses what it is told to: a proxy in front of moto's."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.http_server import Answer, LocalServer, Request, forwarded

# Told the method ("PUT") and the path with its query; the HTTP status and the error code of S3 to
# refuse the request with, or None to let it pass. It is called by one thread at a time.
Refuse = Callable[[str, str], tuple[int, str] | None]


class FaultyS3(LocalServer):
    """A proxy in front of an S3 endpoint, from the `with` on until its end."""

    def __init__(self, target_url: str, refuse: Refuse) -> None:
        super().__init__()
        self.refused: list[str] = []  # "PUT /bucket/key", in the order of their coming
        self._target_url = target_url
        self._refuse = refuse
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        """Refuse a request, or pass it on."""
        with self._lock:
            fault = self._refuse(request.method, request.path)
            if fault is not None:
                self.refused.append(f"{request.method} {request.path}")
        if fault is None:
            return forwarded(request, self._target_url)
        status, code = fault
        error = f"<Error><Code>{code}</Code><Message>on purpose</Message></Error>"
        return Answer(status, error.encode(), {"Content-Type": "application/xml"})
