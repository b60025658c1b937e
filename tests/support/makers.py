"""Make items, results and outcomes, and put items into a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyanamo.model import Claim, Ending, Item, Outcome, Result, Task, TaskStatus
from pyanamo.tables import WorkflowTable

LEASE = 3600.0


def single(item_id: str, script: str = "true", *, task_id: str = "group") -> Item:
    """A new item with one task."""
    task = Task(name="Task_0", script=script)
    return Item(item_id=item_id, task_id=task_id, tasks=(task,), nested=False)


def nested(item_id: str, tasks: int | Sequence[str], *, task_id: str = "group") -> Item:
    """A new item with nested tasks: these commands, or as many of `seq 0`, `seq 1`, ..."""
    scripts = [f"seq {n}" for n in range(tasks)] if isinstance(tasks, int) else tasks
    return Item(
        item_id=item_id,
        task_id=task_id,
        tasks=tuple(Task(name=f"Task_{n}", script=script) for n, script in enumerate(scripts)),
        nested=True,
    )


def well(seconds: float = 1.0, **fields: Any) -> Result:
    """The result of a task that was done."""
    return Result(status=TaskStatus.DONE, exit_code=0, run_seconds=seconds, **fields)


def badly(code: int = 3, seconds: float = 1.0, **fields: Any) -> Result:
    """The result of a task that failed."""
    reason = f"exit code {code}"
    return Result(
        status=TaskStatus.FAILED, exit_code=code, reason=reason, run_seconds=seconds, **fields
    )


def done(results: Mapping[str, Result] | None = None) -> Outcome:
    """The outcome when all tasks are done; of a single item unless results are given."""
    results = {"Task_0": well()} if results is None else results
    return Outcome(ending=Ending.DONE, results=results, exit_code=0)


def failed(
    results: Mapping[str, Result] | None = None, *, made_with: Mapping[str, str] | None = None
) -> Outcome:
    """The outcome when a task failed; of a single item unless results are given."""
    results = {"Task_0": badly()} if results is None else results
    first = next(result for result in results.values() if result.status is TaskStatus.FAILED)
    return Outcome(
        ending=Ending.FAILED,
        results=results,
        reason=first.reason,
        exit_code=first.exit_code,
        made_with=made_with or {},
    )


def interrupted(results: Mapping[str, Result] | None = None) -> Outcome:
    """The outcome when the attempt was stopped, with the results of the tasks that had ended."""
    return Outcome(
        ending=Ending.INTERRUPTED, results=results or {}, reason="the wall time is used up"
    )


# --- In a table ---------------------------------------------------------------------------------


def add(table: WorkflowTable, *items: Item) -> None:
    """Add items."""
    table.add(items)


def claim_from(table: WorkflowTable, pilot: str = "pilot-1", *, lease: float = LEASE) -> Claim:
    """Claim an item; there must be one to claim."""
    claim = table.claim(pilot, lease=lease, max_attempts=3)
    assert claim is not None, "there is nothing to claim"
    return claim


def claimed(
    table: WorkflowTable, item: Item, *, lease: float = LEASE, pilot: str = "pilot-1"
) -> Claim:
    """Add an item and claim it. The table must have no other item to claim."""
    add(table, item)
    claim = claim_from(table, pilot, lease=lease)
    assert claim.item.item_id == item.item_id
    return claim


def ended(table: WorkflowTable, item: Item, outcome: Outcome, *, pilot: str = "pilot-1") -> None:
    """Add an item and end it as a pilot does. The table must have no other item to claim."""
    assert table.finish(claimed(table, item, pilot=pilot), outcome)
