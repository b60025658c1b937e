"""Numbers that a pilot's processes share, any of which may be killed at any moment."""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

STOP_REASONS = (
    "stopped by SIGTERM",
    "stopped by SIGINT",
    "this machine is to be taken away",
)
_PILOT_NUMBERS = 2
_DRAINING, _STOP_REASON = range(_PILOT_NUMBERS)
_WORKER_NUMBERS = 3
_COUNT, _SECONDS, _DEADLINE = range(_WORKER_NUMBERS)


class SharedNumbers:
    """Memory that is shared with processes that are forked later.

    It needs no lock: each number has one writer, and its eight aligned bytes are stored at once.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        memory = mmap.mmap(-1, 8 * (_PILOT_NUMBERS + workers * _WORKER_NUMBERS))
        self._numbers = memoryview(memory).cast("d")

    @property
    def draining(self) -> bool:
        """Whether nothing more is to be claimed."""
        return self._numbers[_DRAINING] != 0

    def drain(self) -> None:
        """Have nothing more claimed."""
        self._numbers[_DRAINING] = 1

    @property
    def stop_reason(self) -> str:
        """Why the pilot stops its workers, which it does with a SIGTERM whatever the reason."""
        return STOP_REASONS[int(self._numbers[_STOP_REASON])]

    @stop_reason.setter
    def stop_reason(self, reason: str) -> None:
        self._numbers[_STOP_REASON] = STOP_REASONS.index(reason)

    def add_task(self, worker: int, seconds: float) -> None:
        """Count a task that a worker has run. (Called by that worker, one thread at a time.)"""
        at = self._at(worker)
        self._numbers[at + _COUNT] += 1
        self._numbers[at + _SECONDS] += seconds

    def mean_task_seconds(self) -> float | None:
        """The mean of the tasks that the pilot has run; None before the first."""
        places = [self._at(worker) for worker in range(self._workers)]
        count = sum(self._numbers[at + _COUNT] for at in places)
        return sum(self._numbers[at + _SECONDS] for at in places) / count if count else None

    def set_deadline(self, worker: int, when: float) -> None:
        """When a worker's tasks must be dead unless it says otherwise by then; 0: it has none."""
        self._numbers[self._at(worker) + _DEADLINE] = when

    def deadline(self, worker: int) -> float:
        """What was set for that worker."""
        return self._numbers[self._at(worker) + _DEADLINE]

    def _at(self, worker: int) -> int:
        return _PILOT_NUMBERS + worker * _WORKER_NUMBERS


class Quota:
    """A number of items that all workers together may claim. A process that dies harms nothing."""

    def __init__(self, limit: int | None) -> None:
        self._file: IO[bytes] | None = None
        if limit is not None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            self._file.write(limit.to_bytes(8, "big"))

    def take(self) -> bool:
        """Whether one more may be taken; it counts as taken then."""
        return self._file is None or self._change(-1)

    def give_back(self) -> None:
        """One that was taken isn't used."""
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
    """Let one of the processes that share this file in at a time.

    Locks of lockf belong to the process, not to the open file: forked processes exclude each other,
    and the kernel frees the lock of a process that dies.
    """
    fcntl.lockf(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
