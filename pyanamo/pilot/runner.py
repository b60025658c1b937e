"""Run an item: its single task, or its nested tasks in parallel."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pyanamo.model import (
    Claim,
    Ending,
    Item,
    Outcome,
    Result,
    Task,
    TaskStatus,
    merged_tasks,
)
from pyanamo.output.capture import TaskOutput
from pyanamo.output.keeper import Keeper
from pyanamo.output.room import Room
from pyanamo.output.stores import LogName
from pyanamo.pilot.command import TIME_IS_UP, Bounds, run_command
from pyanamo.pilot.marks import WORKER_MARK
from pyanamo.pilot.nested import Ended, NestedTasks, Results
from pyanamo.pilot.pilotlog import about
from pyanamo.pilot.shortage import Shortage, shortage_of, tell
from pyanamo.pilot.spawn import Environment
from pyanamo.pilot.walltime import WallTime
from pyanamo.signals import Halt

log = logging.getLogger(__name__)

ROOM_SECONDS = 4.0  # how long a task waits for files, processes or memory that are short
LOOK_SECONDS = 0.1  # from one try to the next meanwhile


@dataclass
class Work:
    """What all tasks of one attempt at an item share."""

    claim: Claim
    bounds: Bounds
    lock: threading.Lock = field(default_factory=threading.Lock)  # for `count_task`
    ran_out_of_time: bool = False  # a task was stopped because the wall time was up
    shortage: Shortage | None = None  # for which a task could not be started

    @cached_property
    def room(self) -> Room:
        """The space in the item for the output of each task."""
        return Room(self.claim.item)

    @property
    def why_stopped(self) -> str:
        """Why tasks that haven't ended were stopped, or not started."""
        if halt := self.bounds.reached_halt:
            return halt.reason
        return str(self.shortage or TIME_IS_UP)


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs the tasks of items for one worker."""

    table: str  # the workflow table's name
    mark: str  # identifies the processes of the worker's tasks
    nests: int  # nested tasks at a time
    walltime: WallTime
    count_task: Callable[[float], None]  # called with the seconds that each task ran
    task_timeout: float | None = None  # seconds
    keeper: Keeper = field(default_factory=Keeper)
    base_environment: Environment = field(default_factory=Environment.of_tasks)

    def execute(self, claim: Claim, halts: Sequence[Halt], ended: Ended) -> Outcome:
        """Run the tasks of an item that aren't done, until all have ended or a halt is set.

        `ended` is told of each nested task's end.
        """
        todo = [task for task in claim.item.tasks if task.status is not TaskStatus.DONE]
        bounds = Bounds(halts=halts, timeout=self.task_timeout, kill_at=self.walltime.kill_at)
        work = Work(claim, bounds)
        results = self._run_all(work, todo, ended)
        outcome = outcome_of(claim.item, results, work.why_stopped)
        if outcome.ending is not Ending.INTERRUPTED:
            return outcome
        spent = work.ran_out_of_time and not results
        return replace(outcome, spent=spent, short=work.shortage is not None)

    def _run_all(self, work: Work, todo: Sequence[Task], ended: Ended) -> Results:
        """Run the tasks, `nests` at a time; the results of those that ended."""

        def may_start() -> bool:  # claiming may have taken long
            return not any(work.bounds.halts) and self.walltime.allows_another()

        def run(task: Task) -> Result | None:
            return self._wait_and_run(work, task)

        if work.claim.item.nested:
            nested = NestedTasks(todo, run, may_start)
            results = nested.work(self.nests, ended)
            work.shortage = nested.shortage
            return results
        (task,) = todo
        try:
            result = run(task) if may_start() else None
        except Shortage as shortage:
            work.shortage, result = shortage, None
        return {} if result is None else {task.name: result}

    def _wait_and_run(self, work: Work, task: Task) -> Result | None:
        """Run one task as soon as the machine has room for it; None when it was interrupted.

        Raises `Shortage` if there is none for a while, or until the wall time is used up.
        """
        give_up_at = time.monotonic() + random.uniform(0.5, 1.0) * ROOM_SECONDS
        while True:
            try:
                result = self._run(work, task)
            except Shortage as shortage:
                tell(shortage)
                if time.monotonic() >= give_up_at or not self.walltime.allows_another():
                    raise
            else:
                if result is not None:
                    with work.lock:
                        self.count_task(result.run_seconds)
                return result
            if work.bounds.wait(LOOK_SECONDS):
                return None

    def _run(self, work: Work, task: Task) -> Result | None:
        """Run one task; None when it was interrupted. Raises `Shortage`."""
        with self._captured() as output:
            result = self._run_into(work, task, output)
        if work.claim.item.nested and result is not None:
            how = f"{result.status.value} in {result.run_seconds:.1f} s"
            why = f": {result.reason}" if result.reason else ""
            log.debug("%s%s", how, why, extra=about(work.claim.item, task.name))
        return result

    def _captured(self) -> TaskOutput:
        try:
            return self.keeper.capture()
        except OSError as error:
            raise shortage_of(error) or error from error

    def _run_into(self, work: Work, task: Task, output: TaskOutput) -> Result | None:
        item = work.claim.item
        own = {
            "PYANAMO_TABLE": self.table,
            "PYANAMO_ITEM_ID": item.item_id,
            "PYANAMO_TASK_ID": item.task_id,
            "PYANAMO_TASK": task.name,
            "PYANAMO_ATTEMPT": str(item.attempts),
            WORKER_MARK: self.mark,
        }
        names_of_marks = (WORKER_MARK, "PYANAMO_ITEM_ID", "PYANAMO_TASK")
        end = run_command(
            task.script,
            environment=self.base_environment | own,
            output=output,
            bounds=work.bounds,
            marks=[f"{name}={own[name]}" for name in names_of_marks],
        )
        if end.ending is Ending.INTERRUPTED:
            work.ran_out_of_time |= end.reason == TIME_IS_UP
            return None
        name = LogName(self.table, item.item_id, task.name, item.attempts)
        extra = about(item, task.name)
        return self.keeper.result(end, output, name, work.room, work.bounds.halts, extra)


def outcome_of(item: Item, results: Mapping[str, Result], why_stopped: str) -> Outcome:
    """Return the outcome of an attempt, given the results of the tasks that ended in it.

    If a task has neither an earlier `done` nor a result, the attempt was interrupted, and
    `why_stopped` is the reason.
    """
    tasks = merged_tasks(item, results)
    if all(task.status is TaskStatus.DONE for task in tasks):
        return Outcome(ending=Ending.DONE, results=results, exit_code=0)
    if any(task.status is not TaskStatus.DONE and task.name not in results for task in tasks):
        return Outcome(ending=Ending.INTERRUPTED, results=results, reason=why_stopped)
    first = next(results[task.name] for task in tasks if task.status is TaskStatus.FAILED)
    return Outcome(
        ending=Ending.FAILED, results=results, reason=first.reason, exit_code=first.exit_code
    )
