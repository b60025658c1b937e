"""What a pilot says at its end to a person: why it ended, what is left, and what to type next."""

from __future__ import annotations

import time
from contextlib import closing

from pyanamo.errors import PyAnamoError
from pyanamo.model import ItemState, Locked
from pyanamo.pilot.tally import Summary
from pyanamo.tables import Count, Store, WorkflowTable

NOTHING = Count(items=0)


def counted(table: WorkflowTable, *states: ItemState) -> Count | None:
    """Return how many items are in these states; None if the table doesn't tell."""
    try:
        return sum(map(table.count, states), NOTHING)
    except PyAnamoError:
        return None


def closing_lines(summary: Summary, store: Store, table: str, look_at_failures: str) -> list[str]:
    """Return the lines that follow the summary; a few requests count what is left.

    `look_at_failures` is the command that shows failed items.
    """
    if summary.error:
        return []  # which says it all
    if summary.stopped_by is not None:  # and wants to end at once
        return [
            f"{summary.why}; start the pilot again to go on",
            *_failed(summary, look_at_failures),
        ]
    if summary.locked is not None:
        head = "nothing to claim" if summary.is_empty else "nothing else to claim"
        return [f"{head}: {_until(summary.locked)}", *_failed(summary, look_at_failures)]
    with closing(store.open(table)) as opened:
        if summary.why:
            left = _left(opened)
            return [f"{summary.why}{left}", *_failed(summary, look_at_failures)]
        head = "nothing to do" if summary.is_empty else "nothing is left to do"
        return [f"{head}: {_ended(opened, look_at_failures)}"]


def _failed(summary: Summary, look_at_failures: str) -> list[str]:
    return [f"failed items: {look_at_failures}"] if summary.failed else []


def _until(locked: Locked) -> str:
    """Until when locked items stay locked if their pilots are gone; others renew their leases."""
    when = time.strftime("%H:%M", time.localtime(time.time() + locked.seconds + 60))
    if locked.items == 1 and locked.is_all:
        return f"1 item is locked until {when} at the latest if its pilot is gone"
    count = f"{locked.items} items" if locked.is_all else f"at least {locked.items} items"
    return f"{count} are locked, the first until {when} at the latest if its pilot is gone"


def _left(table: WorkflowTable) -> str:
    """What is left to do, as the rest of a sentence."""
    todo, locked = counted(table, ItemState.TODO), counted(table, ItemState.LOCKED)
    if todo is None or locked is None:
        return ""
    items = "item" if (todo.items, todo.is_all) == (1, True) else "items"
    others = f", {locked} locked by other pilots" if locked.items else ""
    return f", {todo} {items} still to do{others}"


def _ended(table: WorkflowTable, look_at_failures: str) -> str:
    """How the items of a table have ended of which none is left to do."""
    states = (ItemState.DONE, ItemState.FAILED, ItemState.HELD)
    counts = [(state, counted(table, state)) for state in states]
    told = [f"{count} {state.value}" for state, count in counts if count and count.items]
    failed = any(state is ItemState.FAILED and count and count.items for state, count in counts)
    return (", ".join(told) or "no items") + (f" ({look_at_failures})" if failed else "")
