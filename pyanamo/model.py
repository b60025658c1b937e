"""Items, tasks, claims, and how they end. No I/O.

Dates are strings, as in a table: ISO 8601, UTC, whole seconds, ending in `Z`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import lru_cache

SINGLE_TASK = "Task_0"

# Exit codes of the shell (POSIX, "Exit Status for Commands") and of timeout(1).
TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 124, 126, 127, 128


class ItemState(str, Enum):
    """The state of an item."""

    TODO = "todo"  # waits for a pilot
    LOCKED = "locked"  # a pilot works on it
    DONE = "done"  # all its tasks are done
    FAILED = "failed"  # one of its tasks failed, or it was lost too often
    HELD = "held"  # an operator set it aside


class TaskStatus(str, Enum):
    """The state of one task of an item."""

    TODO = "todo"
    DONE = "done"
    FAILED = "failed"


class Ending(str, Enum):
    """How an attempt at an item ended."""

    DONE = "done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # by a stop or the wall time; the attempt doesn't count
    LOST = "lost"  # the pilot or its worker died, or could not renew the lease in time
    RESTARTED = "restarted"  # not an attempt: an operator restarted the item


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One command."""

    name: str  # Task_0, Task_1, ...
    script: str
    status: TaskStatus = TaskStatus.TODO


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandEnd:
    """How a command ended, why, and what it used."""

    ending: Ending  # done, failed or interrupted
    exit_code: int | None = None  # 128 + n for signal n, as a shell has it
    reason: str = ""  # for a person; empty when done
    start_date: str
    run_seconds: float
    cpu_seconds: float = 0.0  # of the command and the descendants it waited for
    max_rss_mb: float = 0.0  # the largest of these processes
    peak_mb: float | None = None  # its processes together; None if it ended before it was measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How one task ended, what it used, and what it printed."""

    status: TaskStatus
    exit_code: int | None = None  # 128 + n for signal n, as in a shell
    reason: str = ""  # for people to read; empty when done
    start_date: str = ""
    run_seconds: float = 0.0
    cpu_seconds: float = 0.0  # of the task and the descendants it waited for
    max_rss_mb: float = 0.0  # the largest of these processes
    peak_mb: float | None = None  # its processes together; None if it ended before it was measured
    stdout: str = ""  # the tail only; it has `stdout_bytes` bytes only if it is the whole output
    stderr: str = ""
    stdout_bytes: int = 0  # the full size
    stderr_bytes: int = 0
    log_uri: str = ""  # where the full output is, if the tails aren't all of it
    results: tuple[str, ...] = ()  # the result lines that the task printed


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """An entry of an item's history: an attempt that ended."""

    attempt: int
    instance: str
    lock_date: str
    end_date: str
    ending: Ending
    reason: str
    token: str  # of its claim
    times_lost: int  # lost attempts since the last reset, including this one


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One piece of work. Fields that were not read have their defaults."""

    item_id: str
    task_id: str
    tasks: tuple[Task, ...]
    nested: bool
    state: ItemState = ItemState.TODO
    attempts: int = 0
    instance: str = ""
    token: str = ""  # of the claim that holds it
    lock_date: str = ""
    done_date: str = ""
    lease_expires: int | None = None  # epoch seconds
    exit_code: int | None = None
    reason: str = ""
    run_seconds: float | None = None  # of all its tasks
    cpu_seconds: float | None = None  # of all its tasks
    max_rss_mb: float | None = None  # the largest of its tasks
    peak_mb: float | None = None  # the largest of its tasks
    made_with: Mapping[str, str] = field(default_factory=dict)  # what its last pilot was
    results: Mapping[str, Result] = field(default_factory=dict)  # by task name
    history: tuple[Attempt, ...] = ()

    @classmethod
    def new(cls, item_id: str, task_id: str, commands: str | Sequence[str]) -> Item:
        """An item to be done: a single one of a command, a nested one of a list of commands.

        >>> single = Item.new("S1_align", "S1", "align S1.fastq")
        >>> nested = Item.new("S1_call", "S1", [f"call S1.bam chr{n}" for n in range(1, 23)])
        """
        scripts = [commands] if isinstance(commands, str) else commands
        tasks = tuple(
            Task(name=f"Task_{place}", script=script) for place, script in enumerate(scripts)
        )
        nested = scripts is commands
        return cls(item_id=item_id, task_id=task_id, tasks=tasks, nested=nested)

    @property
    def nested_done(self) -> int:
        """How many of its tasks are done."""
        return sum(task.status is TaskStatus.DONE for task in self.tasks)

    @property
    def times_lost(self) -> int:
        """How many attempts were lost since the last reset."""
        return self.history[-1].times_lost if self.history else 0

    def lease_has_expired(self, now: float) -> bool:
        """Whether its lease is over at `now` (epoch seconds), or it has none."""
        return self.lease_expires is None or self.lease_expires <= now


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemSummary:
    """A row of the index: what an overview shows of an item."""

    table: str = ""
    item_id: str
    task_id: str
    state: ItemState
    instance: str = ""
    lock_date: str = ""
    done_date: str = ""
    nested_tasks: int | None = None
    nested_done: int | None = None
    exit_code: int | None = None
    run_seconds: float | None = None


UNFINISHED = (ItemState.TODO, ItemState.LOCKED)  # pilots will finish it, without an operator


def task_counts(summary: ItemSummary) -> tuple[int, int]:
    """How many tasks an item has, and how many of them are done."""
    if summary.nested_tasks is None:
        return 1, int(summary.state is ItemState.DONE)
    if summary.state is ItemState.DONE:
        return summary.nested_tasks, summary.nested_tasks
    return summary.nested_tasks, min(summary.nested_done or 0, summary.nested_tasks)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """An item that a worker holds.

    The item is as it was when it was claimed, without what the attempt's end will overwrite: how
    the attempt before it ended, and what that used.
    """

    item: Item
    token: str

    @property
    def failures(self) -> int:
        """How many attempts failed since the last reset, not counting this one."""
        return self.item.attempts - 1 - self.item.times_lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How an attempt at an item ended."""

    ending: Ending
    results: Mapping[str, Result] = field(default_factory=dict)  # of tasks that ended in it
    reason: str = ""
    exit_code: int | None = None
    made_with: Mapping[str, str] = field(default_factory=dict)  # see `pilot.madewith`
    spent: bool = False  # of an interrupted attempt: it counts all the same
    short: bool = False  # it was interrupted because the machine was short of something


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """Locked items whose leases hold, as they were seen at one moment."""

    items: int
    seconds: float  # from that moment to the end of the first lease
    is_all: bool = True  # whether there are no more
    item_id: str = ""  # the only item, and the pilot that holds it, if they are known
    pilot: str = ""

    def __str__(self) -> str:
        ends = f"{self.seconds:.0f} s" if self.seconds < 90 else f"{self.seconds / 60:.0f} min"
        if self.item_id:
            return f"item {self.item_id!r} is locked by {self.pilot}, its lease ends in {ends}"
        if self.items == 1 and self.is_all:
            return f"1 item is locked, its lease ends in {ends}"
        count = f"{self.items} items" if self.is_all else f"at least {self.items} items"
        return f"{count} are locked, the first lease ends in {ends}"

    @classmethod
    def of(cls, ends: Sequence[int], now: float, *, is_all: bool = True) -> Locked | None:
        """Those whose leases end then; both in epoch seconds. None if there are none."""
        if not ends:
            return None
        return cls(items=len(ends), seconds=min(ends) - now, is_all=is_all)


def merged_tasks(item: Item, results: Mapping[str, Result]) -> tuple[Task, ...]:
    """The item's tasks, with the status of their new results where there are any."""
    return tuple(
        Task(name=task.name, script=task.script, status=results[task.name].status)
        if task.name in results
        else task
        for task in item.tasks
    )


def utc_date(epoch_seconds: float) -> str:
    """A date such as `2026-01-31T23:59:59Z`."""
    return _utc_date(int(epoch_seconds))


@lru_cache(maxsize=8)  # most dates are those of the current second
def _utc_date(epoch_seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_seconds))


def epoch_seconds_of(date: str) -> float | None:
    """The epoch seconds of such a date, or None if it isn't one: people can edit a table."""
    try:
        return datetime.fromisoformat(date.removesuffix("Z") + "+00:00").timestamp()
    except ValueError:
        return None
