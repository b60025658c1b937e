"""What a pilot says at its end to a person: why it ended, what is left, and what to type next."""

from __future__ import annotations

import time
from contextlib import closing

from pyanamo.errors import PyAnamoError
from pyanamo.model import ItemState, Locked
from pyanamo.pilot.tally import Summary
from pyanamo.tables import Count, Store, WorkflowTable

# How items may have ended. Those that are locked were this pilot's: of a worker that died.
ENDS = (ItemState.DONE, ItemState.FAILED, ItemState.HELD, ItemState.LOCKED)
NOTHING = Count(items=0)


def counted(table: WorkflowTable, *states: ItemState) -> Count | None:
    """Return how many items are in these states; None if the table doesn't tell."""
    try:
        return sum(map(table.count, states), NOTHING)
    except PyAnamoError:
        return None


def closing_lines(summary: Summary, store: Store, table: str, look_at_failures: str) -> list[str]:
    """Return the lines that follow the summary, if there is something to say.

    What is left is counted, in a few requests, unless the pilot was stopped: then it ends at once.
    `look_at_failures` is the command that shows failed items.
    """
    if summary.error and not summary.all_failed:
        return []  # which says it all
    has_failed = summary.failed > 0
    retried = []
    if summary.retried:
        retried = [f"released to be tried again after a failure (--retries): {summary.retried}"]
    if summary.error:
        ignoring = "to run them all the same, add --max-failures-in-a-row 0"
        why = _left(store, table, ignoring).removeprefix(", ")
    elif summary.stopped_by is not None:
        why = f"{summary.why}: start the pilot again to go on"
    elif summary.locked is not None:
        why = f"{_nothing(summary, 'to claim')}: {_until(summary.locked)}"
    elif summary.why:
        why = f"{summary.why}{_left(store, table, 'start the pilot again to go on')}"
    else:
        told, there_are_failed = _ended(store, table)
        why = f"{_nothing(summary, 'to do')}{told}"
        has_failed |= there_are_failed
    look = [f"failed items: {look_at_failures}"] if has_failed else []
    return [*retried, *filter(None, [why]), *look]


def _nothing(summary: Summary, to_do: str) -> str:
    return f"nothing {to_do}" if summary.is_empty else f"nothing left {to_do}"


def _until(locked: Locked) -> str:
    """Until when items stay locked if their pilots are gone; the others renew their leases."""
    when = time.strftime("%H:%M", time.localtime(time.time() + locked.seconds + 60))
    if locked.items == 1 and locked.is_all:
        return f"1 item is locked until {when} at the latest if its pilot is gone"
    count = f"{locked.items} items" if locked.is_all else f"at least {locked.items} items"
    return f"{count} are locked, the first until {when} if its pilot is gone"


def _left(store: Store, table: str, what_next: str) -> str:
    """What is left to do, as the rest of a sentence; empty if the table doesn't tell."""
    with closing(store.open(table)) as opened:
        todo, locked = counted(opened, ItemState.TODO), counted(opened, ItemState.LOCKED)
    if todo is None or locked is None:
        return ""
    items = "item" if todo == Count(items=1) else "items"
    others = f", {locked} locked by other pilots" if locked.items else ""
    return f", {todo} {items} still to do{others}{f': {what_next}' if todo.items else ''}"


def _ended(store: Store, table: str) -> tuple[str, bool]:
    """How the items of a table have ended, as the rest of a sentence; whether some are failed."""
    with closing(store.open(table)) as opened:
        counts = {state: counted(opened, state) for state in ENDS}
    if None in counts.values():
        return "", False
    told = [f"{count} {state.value}" for state, count in counts.items() if count and count.items]
    return f": {', '.join(told) or 'the table has no items'}", counts[ItemState.FAILED] != NOTHING
