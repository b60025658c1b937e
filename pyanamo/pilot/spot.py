"""Find out whether this Spot Instance is about to be interrupted.

The instance metadata service announces this two minutes before (Amazon EC2 User Guide, "Spot
Instance interruption notices"). There is no other source: a Batch container gets only a
SIGTERM at the very end.
"""

from __future__ import annotations

import json
import logging
import math
import time
import urllib.error
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPException

from pyanamo.pilot.metadata import (
    TOKEN_HEADER,
    TOKEN_PATH,
    TTL_HEADER,
    fetch,
    machine_service,
)

log = logging.getLogger(__name__)

ASK_SECONDS = 5.0
UNREACHED_SECONDS = 60.0  # from one look to the next if the service can't be reached
# The service is on this machine and answers in milliseconds. The pilot does nothing else meanwhile.
ANSWER_SECONDS = 0.3
TOKEN_SECONDS = 21600
SPARE_SECONDS = 30.0  # items must be given back this long before the interruption


class SpotNotice:
    """Asks the metadata service every `ASK_SECONDS`, with a session token (IMDSv2).

    If it can't be reached, it says so once, and asks every `UNREACHED_SECONDS`.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._service = machine_service()
        self._token = ""
        self._next_look = -math.inf
        self._is_told = False  # that the service can't be reached
        self._answer: float | None = None

    def taken_away_at(self) -> float | None:
        """Return when the machine goes, in epoch seconds; None if that is not announced."""
        if self._answer is None and self._clock() >= self._next_look:
            pause = ASK_SECONDS
            try:
                self._answer = self._ask()
            except (OSError, HTTPException) as error:
                pause = UNREACHED_SECONDS
                self._tell(error)
            self._next_look = self._clock() + pause
        return self._answer

    def _tell(self, error: Exception) -> None:
        if self._is_told:
            return
        self._is_told = True
        log.warning(
            "--spot-notice: the machine's metadata at %s can't be read (%s), so no Spot notice is "
            "seen; trying again every %.0f s",
            self._service,
            error.reason if isinstance(error, urllib.error.URLError) else error,
            UNREACHED_SECONDS,
        )

    def _ask(self) -> float | None:
        """When the machine goes; None if that is not announced. Raises errors of the network."""
        try:
            if not self._token:
                ttl = {TTL_HEADER: str(TOKEN_SECONDS)}
                self._token = self._fetch(TOKEN_PATH, "PUT", ttl)
            token = {TOKEN_HEADER: self._token}
            action = json.loads(self._fetch("latest/meta-data/spot/instance-action", "GET", token))
            return datetime.fromisoformat(action["time"].replace("Z", "+00:00")).timestamp()
        except urllib.error.HTTPError as error:
            if error.code == 401:  # the token has expired
                self._token = ""
            elif error.code != 404:  # of which 404 means that no interruption is announced
                raise
            return None
        except (ValueError, KeyError, TypeError):
            return None

    def _fetch(self, path: str, method: str, headers: dict[str, str]) -> str:
        url = f"{self._service}/{path}"
        return fetch(url, method=method, headers=headers, timeout=ANSWER_SECONDS)
