"""Numbers that a pilot's processes share. Any process may be killed at any time."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

STOP_REASONS = (
    "",  # there is no stop
    "stopped by SIGTERM",
    "stopped by SIGINT",
    "stopped by SIGHUP",
    "this machine will be taken away",
)
_PILOT_NUMBERS = 2
_DRAINING, _STOP_REASON = range(_PILOT_NUMBERS)
_WORKER_NUMBERS = 7
(
    _COUNT,
    _SECONDS,
    _DEADLINE,
    _ANSWERED,
    _TASKS,
    _DONE_BEFORE,
    _COUNT_BEFORE,
) = range(_WORKER_NUMBERS)


@dataclass(frozen=True, kw_only=True)
class NestedProgress:
    """How far an item is, if it is a nested one."""

    tasks: int = 0  # 0 for a single item
    done_before: int = 0  # by earlier attempts
    ended: int = 0  # in this attempt, done or failed


class SharedNumbers:
    """Numbers in memory that is shared with processes that are forked later.

    No lock is needed: each number has a single writer, and a write of 8 aligned bytes is atomic.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        memory = mmap.mmap(-1, 8 * (_PILOT_NUMBERS + workers * _WORKER_NUMBERS))
        self._numbers = memoryview(memory).cast("d")

    @property
    def draining(self) -> bool:
        """Whether workers must stop claiming."""
        return self._numbers[_DRAINING] != 0

    def drain(self) -> None:
        """Make workers stop claiming."""
        self._numbers[_DRAINING] = 1

    @property
    def stop_reason(self) -> str:
        """Why the pilot stops its workers; empty while it doesn't."""
        return STOP_REASONS[int(self._numbers[_STOP_REASON])]

    @stop_reason.setter
    def stop_reason(self, reason: str) -> None:
        self._numbers[_STOP_REASON] = STOP_REASONS.index(reason)

    def add_task(self, worker: int, seconds: float) -> None:
        """Count a task that a worker has run. Only that worker calls it, one thread at a time."""
        at = self._at(worker)
        self._numbers[at + _COUNT] += 1
        self._numbers[at + _SECONDS] += seconds

    def begin_item(self, worker: int, *, nested_tasks: int, done: int) -> None:
        """Note what a worker's item has to do, `nested_tasks` is 0 for a single one.

        Only that worker calls it, while no task of it runs.
        """
        at = self._at(worker)
        self._numbers[at + _TASKS] = nested_tasks
        self._numbers[at + _DONE_BEFORE] = done
        self._numbers[at + _COUNT_BEFORE] = self._numbers[at + _COUNT]

    def nested_progress(self, worker: int) -> NestedProgress:
        """Return how far a worker's current item is."""
        at = self._at(worker)
        if not (tasks := int(self._numbers[at + _TASKS])):
            return NestedProgress()
        ended = int(self._numbers[at + _COUNT] - self._numbers[at + _COUNT_BEFORE])
        before = int(self._numbers[at + _DONE_BEFORE])
        return NestedProgress(tasks=tasks, done_before=before, ended=ended)

    @property
    def tasks_ended(self) -> int:
        """How many tasks the workers have run."""
        return int(sum(self._numbers[self._at(worker) + _COUNT] for worker in range(self._workers)))

    def mean_task_seconds(self) -> float | None:
        """Return the mean run time of the pilot's tasks so far; None before the first."""
        places = [self._at(worker) for worker in range(self._workers)]
        count = sum(self._numbers[at + _COUNT] for at in places)
        return sum(self._numbers[at + _SECONDS] for at in places) / count if count else None

    def set_deadline(self, worker: int, when: float) -> None:
        """Set the time at which the guardian kills a worker's tasks; 0 for no deadline."""
        self._numbers[self._at(worker) + _DEADLINE] = when

    def deadline(self, worker: int) -> float:
        """Return a worker's deadline; 0 if it has none."""
        return self._numbers[self._at(worker) + _DEADLINE]

    def note_answer(self, worker: int) -> None:
        """Note that the table has answered a claim of a worker. Only that worker calls it."""
        self._numbers[self._at(worker) + _ANSWERED] = 1

    @property
    def was_answered(self) -> bool:
        """Whether the table has answered a claim of any worker."""
        return any(self._numbers[self._at(n) + _ANSWERED] for n in range(self._workers))

    def _at(self, worker: int) -> int:
        return _PILOT_NUMBERS + worker * _WORKER_NUMBERS


class Quota:
    """The number of items that all workers together may still claim.

    It stays correct if a process dies at any time.
    """

    def __init__(self, limit: int | None) -> None:
        self._file: IO[bytes] | None = None
        if limit is not None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._file.write(limit.to_bytes(8, "big"))

    def take(self) -> bool:
        """Take one item from the quota; return False if none is left."""
        return self._file is None or self._change(-1)

    def give_back(self) -> None:
        """Return one item to the quota."""
        if self._file is not None:
            self._change(+1)

    def _change(self, by: int) -> bool:
        assert self._file is not None
        with _locked(self._file):
            left = int.from_bytes(os.pread(self._file.fileno(), 8, 0), "big") + by
            if left < 0:
                return False
            os.pwrite(self._file.fileno(), left.to_bytes(8, "big"), 0)
            return True


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Lock the file against the other processes that share it.

    A lock of lockf(3) belongs to the process, not to the open file. So it works between forked
    processes, and the kernel releases it if its process dies.
    """
    fcntl.lockf(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
