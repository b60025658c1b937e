"""Find and kill the processes that a pilot's tasks have left, whatever they did to hide.

Every task carries a mark in its environment, which all its descendants inherit: it tells them from
the rest of the machine when process groups and parents no longer do. Linux only: elsewhere there is
no `/proc` to find them in, and the functions here find nothing.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

WORKER_MARK = "PYANAMO_WORKER"  # the name of the mark
CAN_FIND = os.path.isdir("/proc/self")

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Crew:
    """The marks of a pilot's workers, which no other pilot's workers have."""

    size: int
    name: str = field(default_factory=lambda: secrets.token_hex(8))

    def mark(self, worker: int) -> str:
        """What a worker's tasks have as `WORKER_MARK` in their environment."""
        return f"{self.name}-{worker}"

    def marks_of(self, worker: int) -> str:
        """What `kill_marked` takes for that worker's tasks."""
        return f"{WORKER_MARK}={self.mark(worker)}"

    @property
    def all_marks(self) -> str:
        """What `kill_marked` takes for the tasks of all workers."""
        return f"{WORKER_MARK}={self.name}-*"


def kill_marked(*marks: str, limit: float = 5.0) -> bool:
    """SIGKILL every process with all these `NAME=value` in its environment; whether none is left.

    A value that ends in `*` stands for all that begin so. Looks again until none is left, since a
    process may start another meanwhile; `limit` seconds at the most.
    """
    deadline = time.monotonic() + limit
    while found := list(_marked(marks)):
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _marked(marks: tuple[str, ...]) -> Iterator[int]:
    exact = [os.fsencode(mark) + b"\0" for mark in marks if not mark.endswith("*")]
    begins = [os.fsencode(mark[:-1]) for mark in marks if mark.endswith("*")]
    wanted = [b"\0" + mark for mark in exact + begins]
    for entry in os.listdir("/proc") if CAN_FIND else ():
        if entry.isdigit() and int(entry) != os.getpid():
            with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as file:
                environment = b"\0" + file.read()
                if all(mark in environment for mark in wanted):
                    yield int(entry)


def hidden_orphans(own: Container[int]) -> list[int]:
    """Descendants of this process whose environment it may not read, so that marks don't find them.

    Programs that nobody may read, or that run as another user (ptrace(2), "access mode checking").
    Those that descend from one of the processes `own` are left out.
    """
    parents = dict(_parents())
    return [pid for pid in parents if _adopted(pid, parents, own) and _is_hidden(pid)]


def _adopted(pid: int, parents: Mapping[int, int], own: Container[int]) -> bool:
    """Whether a process descends from this one, and from none of `own`."""
    while pid in parents and pid not in own:
        if parents[pid] == os.getpid():
            return True
        pid = parents[pid]
    return False


def _is_hidden(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            file.read(1)
    except PermissionError:
        return True
    except OSError:  # it has ended
        pass
    return False


def _parents() -> Iterator[tuple[int, int]]:
    """The parent of every process that runs."""
    for entry in filter(str.isdigit, os.listdir("/proc") if CAN_FIND else ()):
        with suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
            # Its name, in brackets, may have brackets and blanks (proc(5)).
            state, parent = file.read().rpartition(b")")[2].split()[:2]
            if state != b"Z":
                yield int(entry), int(parent)


def die_with_parent(number: int) -> None:
    """Have this process get a signal when its parent dies (prctl(2)). Linux only."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent dies (prctl(2)). Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap_adopted(own: set[int]) -> None:
    """Reap ended children, other than those of `own`, so that they don't stay as zombies."""
    if not hasattr(os, "waitid"):
        return
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in own:
                return  # its owner waits for it; those behind it are reaped the next time
            os.waitpid(ended.si_pid, 0)


def _prctl(option: int, value: int) -> None:
    if CAN_FIND:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
