"""Run an item: its single task, or its nested tasks in parallel."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

from pyanamo.model import (
    NOT_EXECUTABLE,
    Claim,
    Ending,
    Item,
    Outcome,
    Result,
    Task,
    TaskStatus,
    merged_tasks,
    utc_date,
)
from pyanamo.output.capture import TaskOutput
from pyanamo.output.keeper import Keeper
from pyanamo.output.room import Room
from pyanamo.output.stores import LogName
from pyanamo.pilot.command import Bounds, run_command
from pyanamo.pilot.marks import WORKER_MARK
from pyanamo.pilot.pilotlog import about
from pyanamo.pilot.walltime import WallTime
from pyanamo.signals import Halt

log = logging.getLogger(__name__)

RECORD_SECONDS = 1.0  # nested results are collected this long, and written together

Results = dict[str, Result]
Record = Callable[[Mapping[str, Result]], object]


@dataclass(frozen=True)
class Work:
    """What all tasks of one attempt at an item share."""

    claim: Claim
    bounds: Bounds

    @cached_property
    def room(self) -> Room:
        """The space in the item for the output of each task."""
        return Room.of(self.claim.item)


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
    base_environment: Mapping[str, str] = field(default_factory=lambda: pipeline_environment())

    def execute(self, claim: Claim, halts: Sequence[Halt], record: Record) -> Outcome:
        """Run the tasks of an item that aren't done, until all have ended or a halt is set.

        While nested tasks run, `record` is called about once a second with all results so far.
        """
        todo = [task for task in claim.item.tasks if task.status is not TaskStatus.DONE]
        bounds = Bounds(halts=halts, timeout=self.task_timeout, kill_at=self.walltime.kill_at)
        work = Work(claim, bounds)
        if claim.item.nested:
            results = self._run_several(work, todo, record)
        else:
            results = self._run_single(work, todo)
        why_stopped = next((halt.reason for halt in halts if halt), "the wall time is used up")
        return outcome_of(claim.item, results, why_stopped)

    def _run(self, work: Work, task: Task) -> Result | None:
        """Run one task; return None if it was interrupted."""
        try:
            with self.keeper.capture() as output:
                result = self._run_into(work, task, output)
        except OSError as error:  # the output needs a file: the disk is full, or too many are open
            reason = f"the task's output can't be captured: {error.strerror}"
            result = Result(
                status=TaskStatus.FAILED,
                exit_code=NOT_EXECUTABLE,
                reason=reason,
                start_date=utc_date(time.time()),
            )
        if work.claim.item.nested and result is not None:
            how = f"{result.status.value} in {result.run_seconds:.1f} s"
            why = f": {result.reason}" if result.reason else ""
            log.debug("%s%s", how, why, extra=about(work.claim.item, task.name))
        return result

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
            environment={**self.base_environment, **own},
            output=output,
            bounds=work.bounds,
            marks=[f"{name}={own[name]}" for name in names_of_marks],
        )
        if end.ending is Ending.INTERRUPTED:
            return None
        name = LogName(self.table, item.item_id, task.name, item.attempts)
        extra = about(item, task.name)
        return self.keeper.result(end, output, name, work.room, work.bounds.halts, extra)

    def _run_single(self, work: Work, todo: Sequence[Task]) -> Results:
        startable = self._startable(todo, work.bounds)  # claiming may have taken long
        results = {task.name: self._run(work, task) for task in startable}
        ended = {name: result for name, result in results.items() if result is not None}
        for result in ended.values():
            self.count_task(result.run_seconds)
        return ended

    def _run_several(self, work: Work, todo: Sequence[Task], record: Record) -> Results:
        """Run nested tasks, `nests` at a time; return the results of those that ended."""
        ended: queue.SimpleQueue[tuple[Task, Result] | None] = queue.SimpleQueue()
        startable = self._startable(todo, work.bounds)
        one_at_a_time = threading.Lock()

        def run_while_there_are_any() -> None:
            try:
                while True:
                    with one_at_a_time:
                        task = next(startable, None)
                    if task is None:
                        return
                    if result := self._run(work, task):
                        with one_at_a_time:  # before the next check of the wall time
                            self.count_task(result.run_seconds)
                        ended.put((task, result))
            finally:
                ended.put(None)

        count = min(self.nests, len(todo))
        with ThreadPoolExecutor(max(1, count)) as pool:
            threads = [pool.submit(run_while_there_are_any) for _ in range(count)]
            results = self._collect(ended, count, record)
            for thread in threads:
                thread.result()  # raises what the thread raised
        return results

    def _startable(self, todo: Sequence[Task], bounds: Bounds) -> Iterator[Task]:
        for task in todo:
            if any(bounds.halts) or not self.walltime.allows_another():
                return
            yield task

    def _collect(
        self,
        ended: queue.SimpleQueue[tuple[Task, Result] | None],
        threads: int,
        record: Record,
    ) -> Results:
        """Collect results until every thread has put None; record them about once a second."""
        results: Results = {}
        record_at: float | None = None
        while threads:
            try:
                wait = None if record_at is None else max(0.0, record_at - time.monotonic())
                entry = ended.get(timeout=wait)
            except queue.Empty:
                record(results)
                record_at = None
                continue
            if entry is None:
                threads -= 1
                continue
            task, result = entry
            results[task.name] = result
            record_at = record_at or time.monotonic() + RECORD_SECONDS
        return results


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


def pipeline_environment() -> dict[str, str]:
    """Return our environment, with the folder `PIPELINE` (if set) first on the `PATH`."""
    environment = dict(os.environ)
    pipeline = environment.get("PIPELINE")
    if pipeline and os.path.isdir(pipeline):
        environment["PATH"] = os.pathsep.join(filter(None, (pipeline, environment.get("PATH"))))
    return environment
