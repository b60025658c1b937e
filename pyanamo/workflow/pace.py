"""How fast it goes of late, and how long what is left will take.

**The pace** is how many tasks ended, well or not, per hour: in the last 10 minutes, or, if fewer
than `ENOUGH` did, in the last hour, 6 hours or day. The time counts only from when the oldest of
the items in question was claimed, so that a night in which no pilot ran, or a run that is younger
than the window, doesn't slow it down. A single item's task ends with the item. When a nested item's
tasks ended isn't in the index: they count as spread evenly over its last attempt, up to now if it
is locked. Those of a locked item that had been given back before are left out, for nobody knows
which of them are new.

**What remains** is what is left, divided by the pace. It is a range for three reasons:

- the pace changes: that of the window above and that of the next longer one both count;
- few tasks say little: a count of n, of those that ended as of those that are left, is taken as
  n ± 1.64 √n, a Poisson count's 90 %;
- where a running task is, nobody knows: at the earliest, one of each locked item ends just now; at
  the latest, the last item is claimed when all else is done, and takes as long as the longest
  attempt (Graham, "Bounds for Certain Multiprocessing Anomalies", 1966).

Held items aren't waited for. It takes for granted that what is left is like what ended of late, and
that as many pilots go on with it.

**Unknown** are both when too few tasks ended within a day; and when nothing was claimed or ended
for two minutes and for twice the longest attempt that ended in the window: then pilots hang or are
gone. What remains is unknown, too, while no item is locked. It is 0 when nothing is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyanamo.model import ItemState, ItemSummary, epoch_seconds_of, task_counts

ENDED = (ItemState.DONE, ItemState.FAILED)

WINDOWS = (600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)  # seconds back from now
ENOUGH = 5  # tasks that must have ended in a window, for its pace to mean anything
DEVIATIONS = 1.64  # of a count that is as random as can be, nine of ten lie within so many
QUIET_SECONDS = 120.0  # the shortest silence after which nobody can say how it goes on


@dataclass(frozen=True, kw_only=True, slots=True)
class Remaining:
    """In how many seconds from now nothing will be left to do: at the earliest, at the latest."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """Tasks of one attempt, of which the first ended at `first_end` and the last at `last_end`."""

    claimed: float
    first_end: float
    last_end: float
    tasks: int
    seconds: float  # how long the attempt took, or will take as it looks
    ended: bool  # the item did, too

    def tasks_since(self, moment: float) -> float:
        """How many of the tasks ended after a moment, if they did so evenly."""
        if self.last_end <= moment:
            return 0.0
        if self.first_end >= moment:
            return self.tasks
        return self.tasks * (self.last_end - moment) / (self.last_end - self.first_end)


def _work_of(summary: ItemSummary, now: float) -> _Work | None:
    """What an item's last attempt tells of the pace; None if it tells nothing."""
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
            seconds=end - start,
            ended=True,
        )
    had_been_given_back = summary.run_seconds is not None
    tells = summary.state is ItemState.LOCKED and done > 0 and not had_been_given_back
    if not tells or claimed is None:
        return None
    return _Work(
        claimed=claimed,
        first_end=claimed,
        last_end=now,
        tasks=done,
        seconds=(now - claimed) * tasks / done,
        ended=False,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast it went in one window."""

    tasks: float
    seconds: float
    longest: float  # seconds of an attempt

    @property
    def tasks_per_second(self) -> float:
        return self.tasks / self.seconds

    @property
    def slowest(self) -> float:
        """Tasks per second, if more of them ended than were to be expected."""
        return (self.tasks - DEVIATIONS * math.sqrt(self.tasks)) / self.seconds

    @property
    def fastest(self) -> float:
        """Tasks per second, if by chance fewer of them did."""
        return _most(self.tasks) / self.seconds


@dataclass(kw_only=True, slots=True)
class _Window:
    """What has ended since `start`, summed up row by row."""

    start: float
    tasks: float = 0.0
    began: float = math.inf  # the earliest claim of what ended in it
    longest: float = 0.0
    longest_ended: float | None = None  # of the attempts that ended in it

    def add(self, work: _Work) -> None:
        tasks = work.tasks_since(self.start)
        if tasks == 0:
            return
        self.tasks += tasks
        self.began = min(self.began, work.claimed)
        self.longest = max(self.longest, work.seconds)
        if work.ended:
            self.longest_ended = max(self.longest_ended or 0.0, work.seconds)


class RecentWork:
    """What has happened of late, summed up row by row in each of the windows."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._windows = [_Window(start=now - seconds) for seconds in WINDOWS]
        self._oldest_claim = math.inf  # of the items that are locked
        self._last_event = -math.inf

    def add(self, summary: ItemSummary) -> None:
        """Count what a row tells."""
        if summary.state is ItemState.LOCKED:
            claimed = _moment(summary.lock_date, self._now)
            if claimed is not None:
                self._oldest_claim = min(self._oldest_claim, claimed)
                self._last_event = max(self._last_event, claimed)
        work = _work_of(summary, self._now)
        if work is not None:
            if work.ended:
                self._last_event = max(self._last_event, work.last_end)
            for window in self._windows:
                window.add(work)

    def paces(self) -> Sequence[Pace]:
        """The pace of the shortest window that tells enough, and of the next; none if unknown."""
        telling = [window for window in self._windows if window.tasks >= ENOUGH][:2]
        if not telling or self._is_silent(telling[0]):
            return ()
        return [self._pace(window) for window in telling]

    def _is_silent(self, window: _Window) -> bool:
        """Whether nothing has been heard for longer than anything takes."""
        if window.longest_ended is None:
            return False  # Nobody knows how long an item takes.
        patience = max(QUIET_SECONDS, 2 * window.longest_ended)
        return self._now - self._last_event > patience

    def _pace(self, window: _Window) -> Pace:
        began = max(window.start, min(window.began, self._oldest_claim))
        # Dates are whole seconds: below one there is no telling how long it was.
        return Pace(tasks=window.tasks, seconds=max(1.0, self._now - began), longest=window.longest)


def remaining_at(paces: Sequence[Pace], tasks_left: int, locked: int) -> Remaining | None:
    """How long so many tasks will take at these paces, while so many items are locked."""
    if tasks_left == 0:
        return Remaining(low=0.0, high=0.0)
    if not paces or not locked:
        return None
    slowest = min(pace.slowest for pace in paces)
    fastest = max(pace.fastest for pace in paces)
    longest = max(pace.longest for pace in paces)
    return Remaining(
        low=_least(max(0, tasks_left - locked)) / fastest,
        high=_most(tasks_left) / slowest + longest,
    )


def _least(count: float) -> float:
    """As few as may be meant by a count."""
    return max(0.0, count - DEVIATIONS * math.sqrt(count))


def _most(count: float) -> float:
    """As many as may be meant by a count."""
    return count + DEVIATIONS * math.sqrt(count)


def _moment(date: str, now: float) -> float | None:
    """Epoch seconds of a table's date; None for what is none.

    One that is still to come was written by a clock that is ahead of ours: it is now.
    """
    moment = epoch_seconds_of(date)
    return None if moment is None else min(now, moment)
