"""A table's status: its items, its tasks, how fast they end, and how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyanamo.model import UNFINISHED, ItemState, ItemSummary, task_counts
from pyanamo.workflow.pace import RecentWork, Remaining

# What is read of each item, apart from its state.
OF_A_STATUS = ("Nested_Tasks", "Nested_Done", "Lock_Date", "Done_Date", "Run_Seconds")
PROGRESS = ("0", "1-25", "26-75", "76-99", "100")  # percent of an item's tasks that are done


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How far one table is. A single item counts as one task."""

    table: str
    items: Mapping[ItemState, int]  # of every state
    progress: Mapping[str, int]  # how many items are that far; see `PROGRESS`
    tasks: int
    tasks_done: int
    tasks_left: int  # not done, in items that are todo or locked
    per_hour: float | None  # tasks that ended recently; None: unknown
    remaining: Remaining | None  # None: unknown

    @property
    def total(self) -> int:
        """How many items there are."""
        return sum(self.items.values())


def status_of(table: str, summaries: Iterable[ItemSummary], now: float) -> Status:
    """A table's status at `now` (epoch seconds), from its rows, which are read once and not kept.

    See `pyanamo.workflow.pace` for what the rate and the remaining time mean, and when they are
    unknown.
    """
    items = dict.fromkeys(ItemState, 0)
    progress = dict.fromkeys(PROGRESS, 0)
    tasks = tasks_done = tasks_left = 0
    recent = RecentWork(now)
    for summary in summaries:
        count, done = task_counts(summary)
        items[summary.state] += 1
        progress[progress_of(done, count)] += 1
        tasks += count
        tasks_done += done
        if summary.state in UNFINISHED:
            tasks_left += count - done
        recent.add(summary)
    return Status(
        table=table,
        items=items,
        progress=progress,
        tasks=tasks,
        tasks_done=tasks_done,
        tasks_left=tasks_left,
        per_hour=recent.per_hour(),
        remaining=recent.remaining(tasks_left, items[ItemState.LOCKED]),
    )


def progress_of(done: int, tasks: int) -> str:
    """How far an item is of whose tasks so many are done: one of `PROGRESS`."""
    if done >= tasks:
        return "100"
    percent = 100 * done / tasks
    return "0" if done == 0 else "1-25" if percent <= 25 else "26-75" if percent <= 75 else "76-99"
