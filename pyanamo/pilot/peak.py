"""Measure how much memory the processes of a task use together, while it runs. Linux only.

What several processes share counts once: it is the proportional set size (PSS) that is summed up,
of `/proc/PID/smaps_rollup` (proc(5)). The kernel looks at every page for it, which takes 15 ms for
1 GB. So it is read only if the resident set sizes (RSS), which cost next to nothing, say that the
sum may be higher than before, and not often.
"""

from __future__ import annotations

import math
import os
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from pyanamo.pilot.marks import CAN_FIND, has_marks

FIRST_SECONDS = 0.2  # a task that ends before isn't measured
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 10.0  # seconds from one look to the next
WAIT_SHARE = 0.1  # of the task's time so far: from 10 s on, looks become less frequent
# What looks may cost in CPU time, of the task's time so far; PSS that isn't expected to be higher.
LOOK_SHARE, PSS_SHARE = 0.001, 0.0001
NOTABLE = 1.05  # a difference that is worth reading the PSS

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss, in bytes (getrusage(2))
_PAGE = os.sysconf("SC_PAGE_SIZE")
_HAS_PSS = os.path.exists("/proc/self/smaps_rollup")


@dataclass(frozen=True, slots=True)
class _Process:
    """A process as `/proc/PID/stat` has it."""

    pid: int
    state: bytes
    parent: int
    size: bytes  # of its address space
    resident: int  # bytes


class PeakMemory:
    """The most memory that a task's processes were seen to use together.

    They are those of its session, and of other sessions whose environment has the task's marks.
    """

    def __init__(self, leader: int, marks: Sequence[str], started: float) -> None:
        """`leader` is the pid of the session's first process, `started` the monotonic clock.

        `marks` are those of `has_marks`.
        """
        self.due = started + FIRST_SECONDS if CAN_FIND else math.inf  # when to look next
        self._started = started
        self._marks = marks
        self._sessions = {leader: True}  # whether they are the task's, of those that there are
        self._peak = 0.0  # bytes
        self._pss_share = 1.0  # of the RSS, when it was read last
        self._pss_due = 0.0  # when to read it again in any case

    def look(self) -> None:
        """Measure, and set when to look next."""
        began, now = time.thread_time(), time.monotonic()
        processes = _without_borrowers(self._processes())
        resident = sum(process.resident for process in processes)
        cost = time.thread_time() - began
        if resident > self._peak:
            self._measure(processes, resident, now)
        wait = max(SHORTEST_WAIT, (now - self._started) * WAIT_SHARE, cost / LOOK_SHARE)
        self.due = now + min(LONGEST_WAIT, wait)

    def mb(self, max_rss: int) -> float | None:
        """Return the peak in MB; None if the task ended before the first look.

        `max_rss` is the `ru_maxrss` of its largest process in bytes, which may have been that
        large between two looks. It counts from the moment before the program was executed, when
        the process was like this one (getrusage(2), execve(2)).
        """
        if not self._peak:
            return None
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
        return round(max(self._peak, max_rss if max_rss > own else 0) / 1e6, 1)

    def _measure(self, processes: Sequence[_Process], resident: int, now: float) -> None:
        """Raise the peak to what the processes use; `resident` is the sum of their RSS."""
        if resident <= NOTABLE * max(process.resident for process in processes) or not _HAS_PSS:
            self._peak = resident  # hardly more than the largest of them
        elif resident * self._pss_share > self._peak * NOTABLE or now >= self._pss_due:
            began = time.thread_time()
            pss = sum(map(_pss, processes))
            self._pss_due = now + (time.thread_time() - began) / PSS_SHARE
            self._pss_share = pss / resident
            self._peak = max(self._peak, pss)

    def _processes(self) -> list[_Process]:
        """Return the task's processes."""
        sessions: dict[int, bool] = {}
        found = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                session = os.getsid(pid)
                if session not in sessions:
                    known = self._sessions.get(session)
                    sessions[session] = self._has_marks(pid) if known is None else known
                if sessions[session]:
                    found.append(_process(pid))
            except OSError:  # it has ended
                continue
        self._sessions = sessions
        return found

    def _has_marks(self, pid: int) -> bool:
        with suppress(PermissionError):  # another user's
            return bool(self._marks) and has_marks(pid, self._marks)
        return False


def _process(pid: int) -> _Process:
    """Return a process. Raises `OSError` if it has ended."""
    # The program's name is in brackets, and may have brackets and spaces itself (proc(5)).
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return _Process(pid, fields[0], int(fields[1]), fields[20], int(fields[21]) * _PAGE)


def _without_borrowers(processes: Sequence[_Process]) -> list[_Process]:
    """Leave out processes that use their parent's memory.

    These are children of vfork(2) that haven't executed their program yet. Their parent waits for
    that, in uninterruptible sleep.
    """
    lenders = {
        (process.pid, process.size, process.resident)
        for process in processes
        if process.state == b"D"
    }
    return [
        process
        for process in processes
        if (process.parent, process.size, process.resident) not in lenders
    ]


def _pss(process: _Process) -> int:
    """Return the proportional set size in bytes; the resident one if it may not be read."""
    try:
        text = _read(f"/proc/{process.pid}/smaps_rollup")
    except PermissionError:  # another user's (ptrace(2), "access mode checking")
        return process.resident
    except OSError:  # it has ended
        return 0
    _, name, after = text.partition(b"\nPss:")
    return int(after.split(maxsplit=1)[0]) * 1024 if name else 0


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)
