"""Items as a table's attributes, whose names users and consoles depend on.

Both kinds of table have these attributes; they differ only in how they store a value.

================  =======  =====================================================================
`itemID`          str      the user's unique name
`TaskID`          str      the user's group name
`TaskScript`      str/map  the command, or `{"Task_0": "seq 8", ...}`; pilots never write it
`Nested_Status`   map      nested items: `{"Task_0": "todo", ...}`
`ItemState`       str      `todo`, `locked`, `done`, `failed`, `held`
`Slot`            str      8 hex digits, a hash of `itemID`: spreads items evenly over the index
`lockID`          str      the claim's token, new for every claim; present only while locked
`InstanceID`      str      the pilot that holds it, or held it last
`Lock_Date`       str      when it was claimed
`Done_Date`       str      when it ended
`Lease_Expires`   int      epoch seconds; not in the index, so that a renewal costs one write
`Attempts`        int      claims since the last reset; interrupted ones don't count
`Nested_Tasks`    int      nested items: how many tasks there are
`Nested_Done`     int      nested items: how many of them are done
`Exit_Code`       int      of the first failed task, else 0
`Reason`          str      of the first failed task
`Run_Seconds`     float    the sum over its tasks
`CPU_Seconds`     float    the sum over its tasks
`Max_RSS_MB`      float    the largest process of its tasks
`Peak_MB`         float    the largest sum of a task's processes that ran together
`Log`             map      a single item's result, or `{"Task_0": result, ...}`
`History`         list     one short map per ended attempt, the last 10
`Import_ID`       str      the import that wrote it: lets an import recognize its own items
`Made_With`       map      what the pilot was that finished it: `PyAnamo`, `Archive_SHA256`, ...
================  =======  =====================================================================
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyanamo.model import SINGLE_TASK, Attempt, Item, ItemState, Result, Task, TaskStatus, utc_date

Attributes = dict[str, Any]  # values are str, int, float, map or list, as in the table above

INDEX = "ItemStateIndex"
INDEX_KEYS = ("ItemState", "Slot")
PROJECTED = (
    "TaskID",
    "InstanceID",
    "Lock_Date",
    "Done_Date",
    "Nested_Tasks",
    "Nested_Done",
    "Exit_Code",
    "Run_Seconds",
)

# What stays as an import wrote it. No pilot may write these (use_cases/aws/template.yaml).
ONLY_IMPORTED = ("TaskID", "TaskScript", "Slot", "Import_ID")


def slot(item_id: str) -> str:
    """Return an item's place in the index: depends only on its name, and is spread evenly."""
    return hashlib.blake2b(item_id.encode(), digest_size=4).hexdigest()


def new_import_id(now: float) -> str:
    """Return a unique name for an import that starts `now` (epoch seconds). Names sort by date."""
    return f"{utc_date(now)} {secrets.token_hex(4)}"


def new_item(item: Item, import_id: str) -> Attributes:
    """Return the attributes of a new item, as an import writes it."""
    attributes: Attributes = {
        "itemID": item.item_id,
        "TaskID": item.task_id,
        "TaskScript": script_attribute(item.tasks, nested=item.nested),
        "ItemState": ItemState.TODO.value,
        "Slot": slot(item.item_id),
        "Attempts": 0,
        "Import_ID": import_id,
    }
    if item.nested:
        attributes |= {"Nested_Tasks": len(item.tasks), **nested_attributes(item.tasks)}
    return attributes


def item_attributes(item: Item) -> Attributes:
    """Return the attributes of an `Item`, without empty ones and those that only a table has."""
    attributes = _with_empty_ones(item)
    return {name: value for name, value in attributes.items() if value not in ("", None, {}, [])}


def attribute_names() -> list[str]:
    """Return the names of all attributes that an `Item` may have."""
    return list(_with_empty_ones(Item.new("", "", [])))


def _with_empty_ones(item: Item) -> Attributes:
    return {
        "itemID": item.item_id,
        "TaskID": item.task_id,
        "TaskScript": script_attribute(item.tasks, nested=item.nested),
        "Nested_Status": status_attribute(item.tasks) if item.nested else None,
        "ItemState": item.state.value,
        "lockID": item.token,
        "InstanceID": item.instance,
        "Lock_Date": item.lock_date,
        "Done_Date": item.done_date,
        "Lease_Expires": item.lease_expires,
        "Attempts": item.attempts,
        "Nested_Tasks": len(item.tasks) if item.nested else None,
        "Nested_Done": item.nested_done if item.nested else None,
        "Exit_Code": item.exit_code,
        "Reason": item.reason,
        "Run_Seconds": item.run_seconds,
        "CPU_Seconds": item.cpu_seconds,
        "Max_RSS_MB": item.max_rss_mb,
        "Peak_MB": item.peak_mb,
        "Made_With": dict(item.made_with),
        "Log": log_attribute(item.results, nested=item.nested),
        "History": history_attribute(item.history),
    }


def script_attribute(tasks: Iterable[Task], *, nested: bool) -> str | Attributes:
    """Return the value of `TaskScript`."""
    if nested:
        return {task.name: task.script for task in tasks}
    return next(iter(tasks)).script


def status_attribute(tasks: Iterable[Task]) -> Attributes:
    """Return the value of `Nested_Status`."""
    return {task.name: task.status.value for task in tasks}


def nested_attributes(tasks: Sequence[Task]) -> Attributes:
    """Return the attributes that say how far a nested item is."""
    done = sum(task.status is TaskStatus.DONE for task in tasks)
    return {"Nested_Status": status_attribute(tasks), "Nested_Done": done}


def log_attribute(results: Mapping[str, Result], *, nested: bool) -> Attributes:
    """Return the value of `Log`."""
    if nested:
        return {name: result_attribute(result) for name, result in results.items()}
    return result_attribute(results[SINGLE_TASK]) if results else {}


def result_attribute(result: Result) -> Attributes:
    """Return one result. Empty values are left out, since an item's size is limited."""
    attributes = {
        "Status": result.status.value,
        "Exit_Code": result.exit_code,
        "Reason": result.reason,
        "Start_Date": result.start_date,
        "Run_Seconds": result.run_seconds,
        "CPU_Seconds": result.cpu_seconds,
        "Max_RSS_MB": result.max_rss_mb,
        "Peak_MB": result.peak_mb,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "stdout_bytes": result.stdout_bytes,
        "stderr_bytes": result.stderr_bytes,
        "Log_URI": result.log_uri,
        "Results": list(result.results),
    }
    return {name: value for name, value in attributes.items() if value not in ("", None, [])}


def history_attribute(history: Iterable[Attempt]) -> list[Attributes]:
    """Return the value of `History`."""
    return [
        {
            "Attempt": past.attempt,
            "InstanceID": past.instance,
            "Lock_Date": past.lock_date,
            "End_Date": past.end_date,
            "Outcome": past.ending.value,
            "Reason": past.reason,
            "lockID": past.token,
            "Times_Lost": past.times_lost,
        }
        for past in history
    ]
