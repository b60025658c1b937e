"""What each step of an item's life changes: the rules that both kinds of table share.

::

              claim                     finish
    todo ───────────────▶ locked ───────────────▶ done | failed
     ▲                     │  ▲ │
     └─ release, retry, ───┘  └─┘ claim, after the lease has expired
        lose

Only the holder of a claim writes the item. So whole values are written, and nothing is added to
existing ones: a write that arrives twice changes nothing the second time.

An operator's change depends on the item: `restarted`, `held` and the functions below them return
what to write, or `Amended.UNCHANGED` if there is nothing to change.

When a pilot finds a row that isn't an item (see `DamagedItem`), the row becomes `held`, whatever
its state was, until an operator repairs or deletes it (`set_aside`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from enum import Enum
from typing import TypeAlias

from pyanamo.errors import DamagedItem
from pyanamo.model import (
    Attempt,
    Claim,
    Ending,
    Item,
    ItemState,
    Outcome,
    Result,
    Task,
    TaskStatus,
    merged_tasks,
    utc_date,
)
from pyanamo.tables.attributes import (
    Attributes,
    history_attribute,
    log_attribute,
    nested_attributes,
    script_attribute,
)
from pyanamo.tables.reading import Row, history_of

HISTORY_LENGTH = 10

Changes: TypeAlias = Attributes  # None removes the attribute

DELETED: Changes = {"itemID": None}  # without its name, an item is gone


class Amended(Enum):
    """What became of an operator's change to an item."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"  # there was nothing to change
    TAKEN = "taken"  # a pilot works on it, or somebody else changed it at the same time
    MISSING = "missing"  # there is no such item
    DAMAGED = "damaged"  # its row isn't an item


# Tells what to write to an item as it is, or what became of it if there is nothing to write.
Change: TypeAlias = Callable[[Item], Changes | Amended]
ChangeOfDamaged: TypeAlias = Callable[[DamagedItem], Changes | Amended]


def claimed(pilot: str, token: str, now: float, lease: float) -> Changes:
    """`todo` to `locked`. The table itself adds one to `Attempts`."""
    return {
        "ItemState": ItemState.LOCKED.value,
        "lockID": token,
        "InstanceID": pilot,
        "Lock_Date": utc_date(now),
        "Lease_Expires": lease_end(now, lease),
    }


def taken_over(lost: Item, claim: Changes, now: float) -> Changes:
    """`locked` to `locked`: the lease of `lost` has expired, and another pilot claims it."""
    return claim | {
        "Attempts": lost.attempts + 1,
        "History": _history(lost, Ending.LOST, "the lease expired", now),
    }


def lost(item: Item, reason: str, max_attempts: int, now: float) -> Changes:
    """`locked` to `todo`: its worker has died. To `failed` if that has happened too often."""
    if is_lost_too_often(item, max_attempts):
        return given_up(item, now, reason)
    return {
        "ItemState": ItemState.TODO.value,
        "Exit_Code": None,
        "Reason": reason,
        "History": _history(item, Ending.LOST, reason, now),
        "lockID": None,
        "Lease_Expires": None,
    }


def is_lost_too_often(lost: Item, max_attempts: int) -> bool:
    """Return whether an item that is lost once more has been lost as often as allowed."""
    return lost.times_lost + 1 >= max_attempts


def given_up(lost: Item, now: float, how: str = "") -> Changes:
    """`locked` to `failed`: the item was lost as often as allowed. `how` is the last reason."""
    times = "once" if lost.times_lost == 0 else f"{lost.times_lost + 1} times"
    reason = f"lost {times}: {how or 'the pilot died while running it'}"
    return {
        "ItemState": ItemState.FAILED.value,
        "Done_Date": utc_date(now),
        "Exit_Code": None,
        "Reason": reason,
        "History": _history(lost, Ending.LOST, how or reason, now),
        "lockID": None,
        "Lease_Expires": None,
    }


def set_aside(damaged: DamagedItem) -> Changes:
    """Any state to `held`: the row isn't an item."""
    return {
        "ItemState": ItemState.HELD.value,
        "Reason": f"damaged: {damaged.reason}",
        "lockID": None,
        "Lease_Expires": None,
    }


def recorded(claim: Claim, results: Mapping[str, Result]) -> Changes:
    """Return the results so far of an item that is still being worked on."""
    if not results:
        return {}
    item = claim.item
    tasks = merged_tasks(item, results)
    changes: Changes = {"Log": log_attribute({**item.results, **results}, nested=item.nested)}
    if item.nested:
        changes |= nested_attributes(tasks)
    return changes


def finished(claim: Claim, outcome: Outcome, now: float) -> Changes:
    """`locked` to `done` or `failed`."""
    state = ItemState.DONE if outcome.ending is Ending.DONE else ItemState.FAILED
    return {
        **_ended(claim, outcome, now),
        "ItemState": state.value,
        "Done_Date": utc_date(now),
        "Made_With": dict(outcome.made_with) or None,
    }


def released(claim: Claim, outcome: Outcome, now: float) -> Changes:
    """`locked` to `todo`. An interrupted attempt doesn't count; a failed one does."""
    spent = outcome.spent or outcome.ending is not Ending.INTERRUPTED
    return {
        **_ended(claim, outcome, now),
        "ItemState": ItemState.TODO.value,
        "Attempts": claim.item.attempts if spent else claim.item.attempts - 1,
    }


def restarted(
    item: Item, again: Callable[[Task], bool], how: str, operator: str, now: float
) -> Changes | Amended:
    """Any state but `locked` to `todo`; attempts are counted from 0 again.

    Of a nested item, the tasks that `again` selects run again, and those that aren't done. `how`
    is the reason in the history. Nothing changes if no task would run, or if it waits already.
    """
    tasks = tuple(
        replace(task, status=TaskStatus.TODO) if item.nested and again(task) else task
        for task in item.tasks
    )
    waits_already = (item.state, item.attempts, item.tasks) == (ItemState.TODO, 0, tasks)
    all_done = item.nested and all(task.status is TaskStatus.DONE for task in tasks)
    if item.state is ItemState.LOCKED or waits_already or all_done:
        return Amended.UNCHANGED
    order = replace(item, instance=operator, token=secrets.token_hex(8), lock_date="")
    changes: Changes = {
        "ItemState": ItemState.TODO.value,
        "Attempts": 0,
        "Done_Date": None,
        "Exit_Code": None,
        "Reason": None,
        "History": _history(order, Ending.RESTARTED, how, now),
    }
    if item.nested:
        changes |= nested_attributes(tasks)
    return changes


def held(item: Item) -> Changes | Amended:
    """`todo` or `failed` to `held`."""
    if item.state not in (ItemState.TODO, ItemState.FAILED):
        return Amended.UNCHANGED
    return {"ItemState": ItemState.HELD.value}


def unheld(item: Item) -> Changes | Amended:
    """`held` to `todo`."""
    if item.state is not ItemState.HELD:
        return Amended.UNCHANGED
    return {"ItemState": ItemState.TODO.value}


def freed(item: Item, reason: str, now: float) -> Changes | Amended:
    """`locked` to `todo`; the attempt counts as lost."""
    if item.state is not ItemState.LOCKED:
        return Amended.UNCHANGED
    return {
        "ItemState": ItemState.TODO.value,
        "Reason": reason,
        "History": _history(item, Ending.LOST, reason, now),
        "lockID": None,
        "Lease_Expires": None,
    }


def deleted(item: Item) -> Changes | Amended:
    """Any state but `locked` to gone."""
    return Amended.UNCHANGED if item.state is ItemState.LOCKED else DELETED


def without_tasks(item: Item, names: Container[str], now: float) -> Changes | Amended:
    """Return a nested item with fewer tasks, but at least one. Not while it is `locked`.

    The other tasks keep their names and results. If all of them are done, the item becomes `done`.
    """
    left = [task for task in item.tasks if task.name not in names]
    is_changed = item.nested and 0 < len(left) < len(item.tasks)
    if not is_changed or item.state is ItemState.LOCKED:
        return Amended.UNCHANGED
    results = {name: result for name, result in item.results.items() if name not in names}
    changes: Changes = {
        "TaskScript": script_attribute(left, nested=True),
        "Nested_Tasks": len(left),
        **nested_attributes(left),
        "Log": log_attribute(results, nested=True),
    }
    if all(task.status is TaskStatus.DONE for task in left) and item.state is not ItemState.DONE:
        changes |= {"ItemState": ItemState.DONE.value, "Exit_Code": 0, "Reason": None}
        changes["Done_Date"] = item.done_date or utc_date(now)
    return changes


def is_landed(there: Row | None, claim: Claim, changes: Changes) -> bool:
    """Return whether an item has lost our token because our own write has ended the claim.

    That write added an entry to the history, perhaps with an earlier date. `there` is the row as it
    is now, or None if it is gone.
    """
    if there is None or "History" not in changes:
        return False
    ours = changes["History"][-1]
    ending = (claim.token, Ending(ours["Outcome"]), ours["Reason"])
    try:
        history = history_of(there)
    except DamagedItem:  # not by us: somebody else has written it
        return False
    return ending in ((past.token, past.ending, past.reason) for past in history)


def lease_end(now: float, lease: float) -> int:
    """Return when a lease of `lease` seconds ends, in whole epoch seconds."""
    return math.ceil(now + lease)


def _ended(claim: Claim, outcome: Outcome, now: float) -> Changes:
    """Return what every end of a claim changes."""
    results = {**claim.item.results, **outcome.results}.values()
    peaks = [result.peak_mb for result in results if result.peak_mb is not None]
    return {
        **recorded(claim, outcome.results),
        "Exit_Code": outcome.exit_code,
        "Reason": outcome.reason or None,
        "Run_Seconds": round(sum(result.run_seconds for result in results), 3),
        "CPU_Seconds": round(sum(result.cpu_seconds for result in results), 3),
        "Max_RSS_MB": max((result.max_rss_mb for result in results), default=0.0),
        "Peak_MB": max(peaks, default=None),
        "History": _history(claim.item, outcome.ending, outcome.reason, now),
        "lockID": None,
        "Lease_Expires": None,
    }


def _history(item: Item, ending: Ending, reason: str, now: float) -> list[Attributes]:
    """Return the item's history, with the attempt that ends now."""
    attempt = Attempt(
        attempt=item.attempts,
        instance=item.instance,
        lock_date=item.lock_date,
        end_date=utc_date(now),
        ending=ending,
        reason=reason,
        token=item.token,
        times_lost=0 if ending is Ending.RESTARTED else item.times_lost + (ending is Ending.LOST),
    )
    return history_attribute((*item.history, attempt)[-HISTORY_LENGTH:])
