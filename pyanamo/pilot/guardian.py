"""A process that outlives a pilot, to kill what its tasks have left.

A pilot that is killed outright can't stop its tasks, and one that is frozen (SIGSTOP) can't see
that its lease is over. The guardian can: it waits for the end of all the pilot's processes, and for
the deadlines that its workers set (see `pyanamo.pilot.lease`), and then kills by mark.
"""

from __future__ import annotations

import os
import select
import signal

from pyanamo.pilot.lease import lease_clock
from pyanamo.pilot.marks import Crew, kill_marked
from pyanamo.pilot.shared import SharedNumbers

LOOK_SECONDS = 0.5


class Guardian:
    """The guardian process, as its pilot sees it."""

    def __init__(self, shared: SharedNumbers, crew: Crew) -> None:
        self._shared = shared
        self._crew = crew
        # Nobody ever writes: it ends when the last process that has its other end does.
        self._alive, self._hold = os.pipe()
        self.pid = 0

    def start(self) -> None:
        """Fork it."""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._guard()
            finally:
                os._exit(0)

    def restart_if_dead(self) -> None:
        """Watch again, where somebody has killed it."""
        pid, _ = os.waitpid(self.pid, os.WNOHANG)
        if pid == self.pid:
            self.start()

    def end(self) -> None:
        """Have it kill what is left, and wait for it."""
        os.close(self._hold)
        os.waitpid(self.pid, 0)

    def _guard(self) -> None:
        os.setsid()  # what is sent to the pilot's group isn't for us
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):  # who reads the pilot's output doesn't wait for us
            os.dup2(nothing, file)
        os.close(self._hold)
        poll = select.poll()
        poll.register(self._alive, select.POLLIN)
        missed = [0.0] * self._crew.size
        while not poll.poll(1000 * LOOK_SECONDS):
            for worker in range(self._crew.size):
                deadline = self._shared.deadline(worker)
                if deadline not in (0.0, missed[worker]) and lease_clock() >= deadline:
                    kill_marked(self._crew.marks_of(worker))
                    missed[worker] = deadline
        kill_marked(self._crew.all_marks)
