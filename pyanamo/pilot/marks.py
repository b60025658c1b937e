"""Find and kill the processes that a pilot's tasks have left behind.

Every task has a mark in its environment, and all its descendants inherit it. The mark identifies
them even after they have changed their process group or lost their parent. This works on Linux
only: other systems have no `/proc`, and the functions here find nothing.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pyanamo.pilot.spawn import encoded

WORKER_MARK = "PYANAMO_WORKER"  # the environment variable that holds the mark
CAN_FIND = os.path.isdir("/proc/self")

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Crew:
    """The marks of a pilot's workers. No other pilot uses the same marks."""

    size: int
    name: str = field(default_factory=lambda: secrets.token_hex(8))

    def mark(self, worker: int) -> str:
        """Return the value of `WORKER_MARK` in the environment of a worker's tasks."""
        return f"{self.name}-{worker}"

    def marks_of(self, worker: int) -> str:
        """Return the argument of `kill_marked` that matches that worker's tasks."""
        return f"{WORKER_MARK}={self.mark(worker)}"

    @property
    def all_marks(self) -> str:
        """The argument of `kill_marked` that matches the tasks of all workers."""
        return f"{WORKER_MARK}={self.name}-*"


def kill_marked(*marks: str, limit: float = 5.0) -> bool:
    """Kill (SIGKILL) every process whose environment has all these marks, each `NAME=value`.

    A value that ends in `*` matches every value with that prefix. The search is repeated until it
    finds no process, because a process may start another one in the meantime. Returns whether
    none is left; gives up after `limit` seconds.
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
    for entry in os.listdir("/proc") if CAN_FIND else ():
        if entry.isdigit() and int(entry) != os.getpid():
            with suppress(OSError):
                if has_marks(int(entry), marks):
                    yield int(entry)


def has_marks(pid: int, marks: Sequence[str]) -> bool:
    """Return whether the environment of a process has all these marks (see `kill_marked`).

    Raises `OSError` if the process has ended, or its environment may not be read.
    """
    with open(f"/proc/{pid}/environ", "rb") as file:
        environment = b"\0" + file.read()
    return all(
        b"\0" + (encoded(mark[:-1]) if mark.endswith("*") else encoded(mark) + b"\0") in environment
        for mark in marks
    )


def hidden_orphans(own: Container[int]) -> list[int]:
    """Return the descendants of this process that marks can't find.

    This process isn't allowed to read their environment: their program file isn't readable, or
    they run as another user (ptrace(2), "access mode checking"). The processes `own` and their
    descendants are left out.
    """
    parents = dict(_parents())
    return [pid for pid in parents if _adopted(pid, parents, own) and _is_hidden(pid)]


def _adopted(pid: int, parents: Mapping[int, int], own: Container[int]) -> bool:
    """Return whether a process descends from this one, but not from one of `own`."""
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
    """Yield the pid of every running process, and of its parent."""
    for entry in filter(str.isdigit, os.listdir("/proc") if CAN_FIND else ()):
        with suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
            # The program's name is in brackets, and may have brackets and spaces itself (proc(5)).
            state, parent = file.read().rpartition(b")")[2].split()[:2]
            if state != b"Z":
                yield int(entry), int(parent)


def die_with_parent(number: int) -> None:
    """Make the kernel send this process a signal when its parent dies (prctl(2)). Linux only."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent dies (prctl(2)). Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap_adopted(own: set[int]) -> None:
    """Reap all ended children except `own`, so that they don't stay as zombies."""
    if not hasattr(os, "waitid"):
        return
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in own:
                return  # its owner waits for it; any others are reaped by the next call
            os.waitpid(ended.si_pid, 0)


def _prctl(option: int, value: int) -> None:
    if CAN_FIND:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
