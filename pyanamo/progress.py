"""How far a workflow is: a table's state and pace, and which sample is in which step. No I/O.

All is computed from rows of the index, in one pass over them. Rows that are read while pilots run
are no picture of one moment: an item that changes its state meanwhile may be seen twice, or not at
all.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from pyanamo.errors import UsageError
from pyanamo.model import ItemState, ItemSummary

# What a glance at several items should see first.
MOST_PRESSING = (
    ItemState.FAILED,
    ItemState.LOCKED,
    ItemState.TODO,
    ItemState.HELD,
    ItemState.DONE,
)
UNFINISHED = (ItemState.TODO, ItemState.LOCKED)  # goes on without an operator
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
class Status:
    """How far one table is. A single item counts as one task."""

    table: str
    items: Mapping[ItemState, int]  # of every state
    tasks: int
    tasks_done: int
    tasks_left: int  # of the items that are todo or locked
    per_hour: float | None  # tasks that end, of late; None: unknown
    remaining: Remaining | None  # None: unknown

    @property
    def total(self) -> int:
        """How many items there are."""
        return sum(self.items.values())


def status_of(table: str, summaries: Iterable[ItemSummary], now: float) -> Status:
    """A table's status at `now` (epoch seconds), from its rows, which are read once and not kept.

    **The pace** is how many tasks ended, well or not, per hour: in the last 10 minutes, or, if
    fewer than `ENOUGH` did, in the last hour, 6 hours or day. The time counts only from when the
    oldest of the items in question was claimed, so that a night in which no pilot ran, or a run
    that is younger than the window, doesn't slow it down. A single item's task ends with the item.
    When a nested item's tasks ended isn't in the index: they count as spread evenly over its last
    attempt, up to now if it is locked. Those of a locked item that had been given back before are
    left out, for nobody knows which of them are new.

    **What remains** is what is left, divided by the pace. It is a range for three reasons:

    - the pace changes: that of the window above and that of the next longer one both count;
    - few tasks say little: a count of n, of those that ended as of those that are left, is taken
      as n ± 1.64 √n, a Poisson count's 90 %;
    - where a running task is, nobody knows: at the earliest, one of each locked item ends just now;
      at the latest, the last item is claimed when all else is done, and takes as long as the
      longest attempt (Graham, "Bounds for Certain Multiprocessing Anomalies", 1966).

    Held items aren't waited for. It takes for granted that what is left is like what ended of late,
    and that as many pilots go on with it.

    **Unknown** are both when too few tasks ended within a day; and when nothing was claimed or
    ended for two minutes and for twice the longest attempt that ended in the window: then pilots
    hang or are gone. What remains is unknown, too, while no item is locked. It is 0 when nothing
    is left.
    """
    items = dict.fromkeys(ItemState, 0)
    tasks = tasks_done = tasks_left = 0
    recent = _Recent(now)
    for summary in summaries:
        count, done = task_counts(summary)
        items[summary.state] += 1
        tasks += count
        tasks_done += done
        if summary.state in UNFINISHED:
            tasks_left += count - done
        recent.add(summary)
    paces = recent.paces()
    return Status(
        table=table,
        items=items,
        tasks=tasks,
        tasks_done=tasks_done,
        tasks_left=tasks_left,
        per_hour=3600 * paces[0].tasks_per_second if paces else None,
        remaining=_remaining(tasks_left, items[ItemState.LOCKED], paces),
    )


def task_counts(summary: ItemSummary) -> tuple[int, int]:
    """How many tasks an item has, and how many of them are done."""
    if summary.nested_tasks is None:
        return 1, int(summary.state is ItemState.DONE)
    if summary.state is ItemState.DONE:
        return summary.nested_tasks, summary.nested_tasks
    return summary.nested_tasks, min(summary.nested_done or 0, summary.nested_tasks)


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
class _Pace:
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


class _Recent:
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

    def paces(self) -> Sequence[_Pace]:
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

    def _pace(self, window: _Window) -> _Pace:
        began = max(window.start, min(window.began, self._oldest_claim))
        # Dates are whole seconds: below one there is no telling how long it was.
        return _Pace(
            tasks=window.tasks, seconds=max(1.0, self._now - began), longest=window.longest
        )


def _remaining(tasks_left: int, locked: int, paces: Sequence[_Pace]) -> Remaining | None:
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
    try:
        moment = datetime.fromisoformat(date.removesuffix("Z") + "+00:00")
    except ValueError:
        return None
    return min(now, moment.timestamp())


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What a sample's items in one step come to. Cells add up; the empty one adds nothing."""

    items: int = 0
    tasks: int = 0
    tasks_done: int = 0
    nested: bool = False  # at least one item is
    state: ItemState | None = None  # the most pressing one of its items; None: there are none
    goes_on: bool = False  # at least one item is todo or locked

    def __add__(self, other: Cell) -> Cell:
        states = [state for state in (self.state, other.state) if state is not None]
        return Cell(
            items=self.items + other.items,
            tasks=self.tasks + other.tasks,
            tasks_done=self.tasks_done + other.tasks_done,
            nested=self.nested or other.nested,
            state=min(states, key=MOST_PRESSING.index, default=None),
            goes_on=self.goes_on or other.goes_on,
        )

    @property
    def is_done(self) -> bool:
        """Whether there are items, and all of them are done."""
        return self.state is ItemState.DONE

    @property
    def is_begun(self) -> bool:
        """Whether anything has ever become of an item."""
        return self.tasks_done > 0 or self.state not in (None, ItemState.TODO)

    @property
    def is_stuck(self) -> bool:
        """Whether it won't become done without an operator: failed or held, and nothing goes on."""
        return self.state in (ItemState.FAILED, ItemState.HELD) and not self.goes_on

    @property
    def text(self) -> str:
        """`locked`; `18/22 locked` where there are several tasks or items; empty without any."""
        if self.state is None:
            return ""
        if self.items == 1 and not self.nested:
            return self.state.value
        return f"{self.tasks_done}/{self.tasks} {self.state.value}"


NO_ITEMS = Cell()


def cell_of(summary: ItemSummary) -> Cell:
    """The cell of one item."""
    tasks, done = task_counts(summary)
    return Cell(
        items=1,
        tasks=tasks,
        tasks_done=done,
        nested=summary.nested_tasks is not None,
        state=summary.state,
        goes_on=summary.state in UNFINISHED,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """All items of one `TaskID`: a row of the matrix."""

    task_id: str
    cells: Mapping[str, Cell] = field(default_factory=dict)  # by step; only where it has items

    def cell(self, step: str) -> Cell:
        """What its items in a step come to."""
        return self.cells.get(step, NO_ITEMS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """The matrix: a row a sample, in the natural order of their names; a column a step."""

    steps: tuple[str, ...]
    rows: tuple[Sample, ...]

    def where(self, filters: Sequence[Filter]) -> Samples:
        """Only the samples that match all the filters."""
        rows = (row for row in self.rows if all(wanted.matches(row) for wanted in filters))
        return Samples(steps=self.steps, rows=tuple(rows))


def samples_of(streams: Mapping[str, Iterable[ItemSummary]]) -> Samples:
    """The matrix of the steps' rows, the steps in the order given.

    The streams are read once, one after another; only the cells are kept.
    """
    cells: dict[str, dict[str, Cell]] = {}  # by sample, then by step
    for step, summaries in streams.items():
        for summary in summaries:
            row = cells.setdefault(summary.task_id, {})
            row[step] = row.get(step, NO_ITEMS) + cell_of(summary)
    rows = (Sample(task_id=name, cells=cells[name]) for name in sorted(cells, key=natural_key))
    return Samples(steps=tuple(streams), rows=tuple(rows))


def natural_key(name: str) -> tuple[tuple[str | tuple[int, str], ...], str]:
    """Sorts names as people do: Sample2 before Sample10. Different names have different keys."""
    parts = re.split("([0-9]+)", name)  # text, digits, text, ...: like is compared with like
    key = (_number_key(part) if place % 2 else part for place, part in enumerate(parts))
    return tuple(key), name


def _number_key(digits: str) -> tuple[int, str]:
    """Sorts by value, without Python's limit to the length of a number."""
    significant = digits.lstrip("0")
    return len(significant), significant


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """A wish for the state of a sample in a step, which is that of its cell there."""

    step: str
    state: ItemState | None  # None: it has no items there

    @classmethod
    def parse(cls, text: str, steps: Sequence[str]) -> Filter:
        """`STEP=failed`; `STEP=` for no items. Raises `UsageError` for what names no step or state.

        A cell with items in several states has the most pressing one, which is the one it shows.
        """
        step, equals, state = text.partition("=")
        states = {known.value: known for known in ItemState} | {"": None}
        if not equals:
            raise UsageError(f"{text!r} is no filter: expected STEP=STATE, {steps[0]}=failed, say")
        if step not in steps:
            raise UsageError(f"{step!r} in {text!r} is no step: expected {', '.join(steps)}")
        if state not in states:
            known = ", ".join(filter(None, states))
            raise UsageError(f"{state!r} in {text!r} is no state: expected {known}, or nothing")
        return cls(step=step, state=states[state])

    def matches(self, sample: Sample) -> bool:
        """Whether a sample is as wished."""
        return sample.cell(self.step).state is self.state


class Stage(str, Enum):
    """How far a sample has come as a whole."""

    NOT_BEGUN = "not begun"  # nothing has ever become of any of its items
    IN_STEP = "in step"  # it is being worked on in a step, or waits there
    STUCK = "stuck"  # in its step items failed or are held, and nothing goes on
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a sample is."""

    stage: Stage
    step: str | None  # the first that isn't done; None when finished


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplesSummary:
    """How many samples are where. Each is counted once: the numbers add up to `samples`."""

    samples: int
    finished: int
    not_begun: int
    in_step: Mapping[str, int]  # of every step
    stuck: Mapping[str, int]  # of every step


def place_of(sample: Sample, steps: Sequence[str]) -> Place:
    """Where a sample is in a workflow of these steps.

    Its step is the first that isn't done. One without items of the sample isn't done either, for
    they may still be imported there; unless the sample has items in a later step: then it skips
    it. So *finished* is a sample all whose items are done, and that has some in the last step.
    """
    last = max((place for place, step in enumerate(steps) if step in sample.cells), default=-1)
    for place, step in enumerate(steps):
        cell = sample.cell(step)
        skipped = cell.state is None and place < last
        if cell.is_done or skipped:
            continue
        if not any(other.is_begun for other in sample.cells.values()):
            return Place(stage=Stage.NOT_BEGUN, step=step)
        return Place(stage=Stage.STUCK if cell.is_stuck else Stage.IN_STEP, step=step)
    return Place(stage=Stage.FINISHED, step=None)


def summary_of_samples(samples: Samples) -> SamplesSummary:
    """How many samples are where."""
    places = Counter(place_of(sample, samples.steps) for sample in samples.rows)
    stages: Counter[Stage] = Counter()
    for place, count in places.items():
        stages[place.stage] += count
    return SamplesSummary(
        samples=len(samples.rows),
        finished=stages[Stage.FINISHED],
        not_begun=stages[Stage.NOT_BEGUN],
        in_step={step: places[Place(stage=Stage.IN_STEP, step=step)] for step in samples.steps},
        stuck={step: places[Place(stage=Stage.STUCK, step=step)] for step in samples.steps},
    )
