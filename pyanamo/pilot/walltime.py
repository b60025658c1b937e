"""What still fits into the wall time."""

from __future__ import annotations

import time
from collections.abc import Callable


class WallTime:
    """The time that a pilot has, from `started` on; seconds of a monotonic clock."""

    def __init__(
        self,
        limit: float | None,
        kill_after: float | None,
        expected: Callable[[], float | None],
        *,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`expected` tells how long one more task will probably take; None if nobody knows."""
        self._clock = clock
        self._expected = expected
        self._end = None if limit is None else (clock() if started is None else started) + limit
        self._kill_after = kill_after

    def allows_another(self) -> bool:
        """Whether one more task may be started: there is time left, and it is expected to fit."""
        if self._end is None:
            return True
        left = self._end - self._clock()
        return left > 0 and left >= (self._expected() or 0.0)

    @property
    def kill_at(self) -> float | None:
        """When running tasks must be stopped; None: never."""
        if self._end is None or self._kill_after is None:
            return None
        return self._end + self._kill_after
