"""What a sample's items in one step come to."""

from __future__ import annotations

from dataclasses import dataclass

from pyanamo.model import ItemState, ItemSummary
from pyanamo.progress.counts import UNFINISHED, task_counts

# What a glance at several items should see first.
MOST_PRESSING = (
    ItemState.FAILED,
    ItemState.LOCKED,
    ItemState.TODO,
    ItemState.HELD,
    ItemState.DONE,
)


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
