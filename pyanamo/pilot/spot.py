"""Find out whether this Spot Instance is about to be interrupted.

The instance metadata service announces this two minutes before (Amazon EC2 User Guide, "Spot
Instance interruption notices"). There is no other source: a Batch container gets only a
SIGTERM at the very end.
"""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable
from datetime import datetime

from pyanamo.pilot.metadata import fetch, machine_service

ASK_SECONDS = 5.0
ANSWER_SECONDS = 1.0  # the service is on the same machine
TOKEN_SECONDS = 21600
SPARE_SECONDS = 30.0  # items must be given back this long before the interruption


class SpotNotice:
    """Asks the metadata service every `ASK_SECONDS`, with a session token (IMDSv2)."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._service = machine_service()
        self._token = ""
        self._asked_at = -ASK_SECONDS
        self._answer: float | None = None

    def taken_away_at(self) -> float | None:
        """Return when the machine goes, in epoch seconds; None if that is not announced."""
        if self._answer is None and self._clock() - self._asked_at >= ASK_SECONDS:
            self._asked_at = self._clock()
            self._answer = self._ask()
        return self._answer

    def _ask(self) -> float | None:
        try:
            if not self._token:
                ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
                self._token = self._fetch("latest/api/token", "PUT", ttl)
            token = {"X-aws-ec2-metadata-token": self._token}
            action = json.loads(self._fetch("latest/meta-data/spot/instance-action", "GET", token))
            return datetime.fromisoformat(action["time"].replace("Z", "+00:00")).timestamp()
        except urllib.error.HTTPError as error:
            if error.code == 401:  # the token has expired
                self._token = ""
            return None  # 404: no interruption is announced
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _fetch(self, path: str, method: str, headers: dict[str, str]) -> str:
        url = f"{self._service}/{path}"
        return fetch(url, method=method, headers=headers, timeout=ANSWER_SECONDS)
