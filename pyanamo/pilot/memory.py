"""Detect kills by the kernel's out-of-memory killer, and tell it to prefer tasks to pilots."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyanamo.pilot.cgroup import CGROUPS, MEMBERSHIP, cgroup_files

# Processes with a higher score (-1000 to 1000) are killed first. The pilot keeps its own score,
# which is usually 0 (proc(5)).
TASK_OOM_SCORE = 500

RECENT_SECONDS = 5.0  # a kill is recent for at least this long, at most twice as long


class OOMCounter:
    """Counts the processes of our control group that the out-of-memory killer has killed.

    The count comes from `memory.events` (cgroup v2) or `memory.oom_control` (v1): see the Linux
    kernel's documentation, "Control Group v2" and "Memory Resource Controller". If neither file
    exists, the count stays 0.
    """

    def __init__(self, groups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> None:
        # The file is read before every task, so it stays open: reopening it would double the cost.
        self._file: int | None = None
        places = cgroup_files(
            "memory", "memory.events", "memory.oom_control", groups=groups, membership=membership
        )
        for file in filter(Path.is_file, places):
            with suppress(OSError):
                self._file = os.open(file, os.O_RDONLY)
                break

    def read(self) -> int:
        """Return the number of kills so far."""
        if self._file is not None:
            with suppress(OSError, ValueError, IndexError):
                for line in os.pread(self._file, 4096, 0).splitlines():
                    if line.startswith(b"oom_kill "):
                        return int(line.split()[1])
        return 0


@functools.cache
def _own_counter() -> OOMCounter:
    return OOMCounter()


def out_of_memory_kills() -> int:
    """Return how many processes of our control group ran out of memory and were killed so far."""
    return _own_counter().read()


class RecentKills:
    """True if a process of our control group was killed for lack of memory recently.

    For deaths that are noticed only afterwards, when it is too late to read the counter "before".
    """

    def __init__(
        self,
        read: Callable[[], int] = out_of_memory_kills,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self._before = self._latest = read()
        self._read_at = clock()

    def look(self) -> None:
        """Update the count. Call this about once a second."""
        if self._clock() - self._read_at >= RECENT_SECONDS:
            self._before, self._latest = self._latest, self._read()
            self._read_at = self._clock()

    def __bool__(self) -> bool:
        return self._read() > self._before


def prefer_as_victim(pid: int) -> None:
    """Make the kernel kill this process rather than the pilot when memory runs out."""
    with suppress(OSError):  # not on Linux, or it has ended
        file = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
        try:
            os.write(file, str(TASK_OOM_SCORE).encode())
        finally:
            os.close(file)
