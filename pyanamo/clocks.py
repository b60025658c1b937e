"""Clocks that leases are told by."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

# Quartz clocks drift by less than that, and those that are disciplined by NTP by much less.
DRIFT = 1e-4
# No answer is that late, so that the service's clock must have been set back.
SET_BACK_SECONDS = 30.0
# More is not the difference between two clocks that somebody keeps. (AWS refuses requests from a
# machine whose clock is more than some minutes off: AWS General Reference, "Signing AWS API
# requests".)
MOST_APART = 86400.0


def lease_clock() -> float:
    """Return a monotonic time in seconds that, if possible, includes time in suspension."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class ServiceClock:
    """The time by the clock of a service that dates its answers.

    It is never ahead of the service's: a date is cut to a whole second, and the answer was some
    time on its way. So a lease isn't seen as expired too early. It is behind by at most a second
    and the time of an answer, and by much less after several answers: the best one counts.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = lease_clock,
    ) -> None:
        """`clock` is this machine's: it tells the time until the service has."""
        self._clock = clock
        self._steady = steady_clock
        self._ahead = -math.inf  # of the steady clock, at least, when we heard it
        self._heard_at = 0.0
        self._last = ""

    def __call__(self) -> float:
        """The time in epoch seconds."""
        now = self._steady()
        return now + self._ahead_at(now) if self._last else self._clock()

    def hear(self, date: str) -> None:
        """Take the `Date` header of an answer that has just come (RFC 9110, "Date")."""
        if date == self._last:  # it can't be better than the one before it
            return
        now = self._steady()
        try:
            ahead = parsedate_to_datetime(date).timestamp() - now
        except (TypeError, ValueError, OverflowError):  # there is none, or it isn't a date
            return
        if abs(now + ahead - self._clock()) > MOST_APART:
            return
        known = self._ahead_at(now)
        if not known - SET_BACK_SECONDS <= ahead <= known:
            self._ahead, self._heard_at = ahead, now
        self._last = date

    def _ahead_at(self, now: float) -> float:
        """How far the service's clock is ahead at least, if both have drifted apart since."""
        return self._ahead - DRIFT * (now - self._heard_at)
