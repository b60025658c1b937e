"""How fast tasks end, and how long what is left will take.

**The rate** is how many tasks end, done or failed, in the last 10 minutes, hour, 6 hours and day. A
window tells something if 5 tasks ended in it. It doesn't count the time before the first of these
items was claimed, so that a night without pilots, or a run that has just begun, doesn't lower the
rate. The index doesn't tell when a nested item's tasks ended: they count as spread evenly over its
last attempt, up to now if it is locked. (If that isn't its first attempt they don't count while it
is locked, since the index doesn't tell which of them ended earlier.)

**What remains** is a range, from the rates of the two shortest windows that tell something. At the
earliest, the running tasks (one per locked item) are about to end, and the others end at the faster
rate. At the latest, all of them end at the slower rate, and then the last item takes as long as the
longest recent attempt. Held items don't count. The range assumes that the tasks left are like those
that ended, and that as many pilots go on.

**Unknown** are both if no window tells something, or if the pilots hang or are gone: if nothing was
claimed or ended for two minutes, and for twice as long as any recent attempt took. What remains is
also unknown while no item is locked. It is 0 when nothing is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyanamo.model import ItemState, ItemSummary, epoch_seconds_of, task_counts

ENDED = (ItemState.DONE, ItemState.FAILED)

WINDOWS = (600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)  # seconds back from now
ENOUGH = 5  # tasks that must have ended in a window for its rate to mean something
QUIET_SECONDS = 120.0  # a shorter silence never makes the rate unknown


@dataclass(frozen=True, kw_only=True, slots=True)
class Remaining:
    """In how many seconds from now nothing will be left to do: at the earliest, at the latest."""

    low: float
    high: float


@dataclass(kw_only=True, slots=True)  # not frozen, which takes longer to make: there are many
class _Work:
    """The tasks of an item's last attempt, which ended evenly from `first_end` to `last_end`."""

    claimed: float
    first_end: float
    last_end: float
    tasks: int
    is_over: bool  # the attempt has ended

    def tasks_since(self, moment: float) -> float:
        """How many of the tasks ended after a moment."""
        if self.last_end <= moment:
            return 0.0
        if self.first_end >= moment:
            return self.tasks
        return self.tasks * (self.last_end - moment) / (self.last_end - self.first_end)


def _work_of(summary: ItemSummary, now: float) -> _Work | None:
    """What an item's last attempt tells of the rate; None if nothing."""
    tasks, done = task_counts(summary)
    nested = summary.nested_tasks is not None
    claimed = _moment(summary.lock_date, now)
    if summary.state in ENDED:
        end = _moment(summary.done_date, now)
        if end is None:
            return None
        start = end if claimed is None else min(claimed, end)
        return _Work(
            claimed=start,
            first_end=start if nested else end,
            last_end=end,
            tasks=tasks,
            is_over=True,
        )
    is_first_attempt = summary.run_seconds is None
    if summary.state is not ItemState.LOCKED or claimed is None or not is_first_attempt:
        return None
    return _Work(claimed=claimed, first_end=claimed, last_end=now, tasks=done, is_over=False)


@dataclass(kw_only=True, slots=True)
class _Window:
    """What ended after `start`, summed up row by row."""

    start: float
    tasks: float = 0.0
    first_claim: float = math.inf  # of the items whose tasks these are
    longest: float | None = None  # seconds, of the attempts that ended in it

    def add(self, work: _Work) -> bool:
        """Count what ended in it; return whether anything did."""
        tasks = work.tasks_since(self.start)
        if tasks == 0:
            return False
        self.tasks += tasks
        self.first_claim = min(self.first_claim, work.claimed)
        if work.is_over:
            self.longest = max(self.longest or 0.0, work.last_end - work.claimed)
        return True

    def rate(self, now: float) -> float:
        """Tasks per second."""
        # Dates are whole seconds, so that a shorter time can't be told.
        return self.tasks / max(1.0, now - max(self.start, self.first_claim))


class RecentWork:
    """What happened recently, summed up row by row in each of the windows."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._windows = [_Window(start=now - seconds) for seconds in WINDOWS]
        self._last_event = -math.inf  # when an item was claimed or ended

    def add(self, summary: ItemSummary) -> None:
        """Count what a row tells."""
        is_locked = summary.state is ItemState.LOCKED
        if is_locked and (claimed := _moment(summary.lock_date, self._now)) is not None:
            self._last_event = max(self._last_event, claimed)
        work = _work_of(summary, self._now)
        if work is None:
            return
        if work.is_over:
            self._last_event = max(self._last_event, work.last_end)
        for window in reversed(self._windows):  # what isn't in the longest one is in none
            if not window.add(work):
                return

    def per_hour(self) -> float | None:
        """Tasks per hour in the shortest window that tells something; None if unknown."""
        telling = self._telling()
        return 3600 * telling[0].rate(self._now) if telling else None

    def remaining(self, tasks_left: int, locked: int) -> Remaining | None:
        """How long the tasks that are left take, while so many items are locked."""
        if tasks_left == 0:
            return Remaining(low=0.0, high=0.0)
        telling = self._telling()
        if not telling or not locked:
            return None
        rates = [window.rate(self._now) for window in telling]
        return Remaining(
            low=max(0, tasks_left - locked) / max(rates),
            high=tasks_left / min(rates) + (telling[-1].longest or 0.0),
        )

    def _telling(self) -> list[_Window]:
        """The shortest window that tells something, and the next one; empty if all is unknown."""
        telling = [window for window in self._windows if window.tasks >= ENOUGH][:2]
        return [] if telling and self._is_silent(telling[0]) else telling

    def _is_silent(self, window: _Window) -> bool:
        """Whether nothing has happened for longer than an attempt takes."""
        if window.longest is None:
            return False  # none has ended: nobody knows how long one takes
        return self._now - self._last_event > max(QUIET_SECONDS, 2 * window.longest)


def _moment(date: str, now: float) -> float | None:
    """Epoch seconds of a table's date, or None if it isn't one.

    A date in the future was written by a clock that is ahead of ours: it counts as now.
    """
    moment = epoch_seconds_of(date)
    return None if moment is None else min(now, moment)
