"""What a pilot's processes share, any of which may be killed at any moment."""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pyanamo.model import Claim
from pyanamo.tables.attributes import history_attribute, read_item
from pyanamo.tables.dynamodb.candidates import Shortlist

STOP_REASONS = (
    "stopped by SIGTERM",
    "stopped by SIGINT",
    "this machine is to be taken away",
)
_PILOT_NUMBERS = 2
_DRAINING, _STOP_REASON = range(_PILOT_NUMBERS)
_WORKER_NUMBERS = 5
_COUNT, _SECONDS, _DONE, _DEADLINE, _HEARD = range(_WORKER_NUMBERS)


class SharedNumbers:
    """Memory that processes forked later share.

    Without locks: each number has one writer, and is eight aligned bytes, which are stored at once.
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

    def add_done(self, worker: int) -> None:
        """Count an item that a worker has done. (Called by that worker.)"""
        self._numbers[self._at(worker) + _DONE] += 1

    @property
    def done(self) -> int:
        """How many items all workers have done."""
        return int(sum(self._numbers[self._at(worker) + _DONE] for worker in range(self._workers)))

    def set_deadline(self, worker: int, when: float) -> None:
        """When a worker's tasks must be dead unless it says otherwise by then; 0: it has none."""
        self._numbers[self._at(worker) + _DEADLINE] = when

    def deadline(self, worker: int) -> float:
        """What was set for that worker."""
        return self._numbers[self._at(worker) + _DEADLINE]

    def hear(self, worker: int) -> None:
        """Count a message of a worker as heard. (Called by the pilot.)"""
        self._numbers[self._at(worker) + _HEARD] += 1

    def heard(self, worker: int) -> float:
        """How many messages of a worker the pilot has heard."""
        return self._numbers[self._at(worker) + _HEARD]

    def _at(self, worker: int) -> int:
        return _PILOT_NUMBERS + worker * _WORKER_NUMBERS


# A name of 2,048 bytes, each of which JSON may escape with six, and ten attempts. What isn't used
# of it takes no memory.
_NOTE_BYTES = 32 * 1024
_LENGTH_BYTES = 8
_JSON = json.JSONEncoder(ensure_ascii=False)


class ClaimNotes:
    """What each of a pilot's workers holds, in memory that processes forked later share.

    Without locks: only the worker writes its note. The length goes last, eight aligned bytes that
    are stored at once: a worker that dies before has no note.
    """

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, workers * _NOTE_BYTES)
        self._lengths = memoryview(self._memory).cast("Q")

    def write(self, worker: int, claim: Claim) -> None:
        """Note the worker's claim. (Called by that worker.)"""
        self.wipe(worker)
        item = claim.item
        note = {
            "itemID": item.item_id,
            "TaskID": item.task_id,
            "lockID": claim.token,
            "InstanceID": item.instance,
            "Lock_Date": item.lock_date,
            "Attempts": item.attempts,
            "History": history_attribute(item.history),
        }
        content = _JSON.encode(note).encode()
        if len(content) <= _NOTE_BYTES - _LENGTH_BYTES:
            start = worker * _NOTE_BYTES + _LENGTH_BYTES
            self._memory[start : start + len(content)] = content
            self._set_length(worker, len(content))

    def wipe(self, worker: int) -> None:
        """The worker holds nothing. (Called by that worker.)"""
        self._set_length(worker, 0)

    def take(self, worker: int) -> Claim | None:
        """What the worker has noted; None from then on. (Called once it is dead.)"""
        length = self._lengths[worker * _NOTE_BYTES // _LENGTH_BYTES]
        if length == 0:
            return None
        start = worker * _NOTE_BYTES + _LENGTH_BYTES
        note = json.loads(self._memory[start : start + length])
        self.wipe(worker)
        return Claim(item=read_item(note), token=note["lockID"])

    def _set_length(self, worker: int, length: int) -> None:
        self._lengths[worker * _NOTE_BYTES // _LENGTH_BYTES] = length


class Quota:
    """So many items, and no more, for all workers together. A process that dies harms nothing."""

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


class SharedShortlist:
    """A shortlist of items to claim for all workers together. A process that dies harms nothing."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    @contextmanager
    def open(self) -> Iterator[Shortlist]:
        """It, for one process at a time."""
        with _locked(self._file):
            shortlist = self._read()
            yield shortlist
            content = json.dumps(vars(shortlist)).encode()
            os.pwrite(self._file.fileno(), content, 0)
            os.ftruncate(self._file.fileno(), len(content))

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _read(self) -> Shortlist:
        content = os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0)
        try:
            return Shortlist(**json.loads(content))
        except ValueError:  # the first one to look, or somebody died while writing
            return Shortlist()


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Alone among the processes that have this file in common.

    Locks of lockf belong to the process, not to the open file: forked processes exclude each other,
    and the kernel frees the lock of one that dies.
    """
    fcntl.lockf(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN)
