"""What one row of the index counts for."""

from __future__ import annotations

from pyanamo.model import ItemState, ItemSummary

UNFINISHED = (ItemState.TODO, ItemState.LOCKED)  # goes on without an operator


def task_counts(summary: ItemSummary) -> tuple[int, int]:
    """How many tasks an item has, and how many of them are done."""
    if summary.nested_tasks is None:
        return 1, int(summary.state is ItemState.DONE)
    if summary.state is ItemState.DONE:
        return summary.nested_tasks, summary.nested_tasks
    return summary.nested_tasks, min(summary.nested_done or 0, summary.nested_tasks)
