"""Decide whether another task fits into the wall time."""

from __future__ import annotations

import time
from collections.abc import Callable


class WallTime:
    """The wall time of a pilot, in seconds of a monotonic clock."""

    def __init__(
        self,
        limit: float | None,
        kill_after: float | None,
        expected: Callable[[], float | None],
        *,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """The time counts from `started`; `expected` estimates the seconds of one more task."""
        self._clock = clock
        self._expected = expected
        self._end = None if limit is None else (clock() if started is None else started) + limit
        self._kill_after = kill_after

    @property
    def left(self) -> float | None:
        """Return the seconds until it is used up, or 0; None if there is no limit."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    def allows_another(self) -> bool:
        """Return whether there is time left, and enough for one more task as estimated."""
        if self._end is None:
            return True
        left = self._end - self._clock()
        return left > 0 and left >= (self._expected() or 0.0)

    @property
    def kill_at(self) -> float | None:
        """When to stop running tasks (monotonic clock); None: never."""
        if self._end is None or self._kill_after is None:
            return None
        return self._end + self._kill_after
