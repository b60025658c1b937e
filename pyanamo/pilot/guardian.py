"""A process that outlives the pilot, and kills the tasks that it leaves behind.

A pilot that is killed (SIGKILL) can't stop its tasks, and one that is suspended (SIGSTOP) can't see
that its lease is over. So the guardian does both. It waits for the end of all processes of the
pilot, and for the deadlines that workers set (see `pyanamo.pilot.lease`). Then it kills the tasks,
which it finds by their marks.
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
    """The pilot's handle of the guardian process."""

    def __init__(self, shared: SharedNumbers, crew: Crew) -> None:
        self._shared = shared
        self._crew = crew
        # Nobody writes to this pipe. It is closed when the last process of the pilot has ended.
        self._alive, self._hold = os.pipe()
        self.pid = 0

    def start(self) -> None:
        """Fork the guardian process."""
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._guard()
            finally:
                os._exit(0)

    def restart_if_dead(self) -> None:
        """Start a new guardian if the old one was killed."""
        pid, _ = os.waitpid(self.pid, os.WNOHANG)
        if pid == self.pid:
            self.start()

    def end(self) -> None:
        """Make the guardian kill the tasks that are left, and wait for its end."""
        os.close(self._hold)
        os.waitpid(self.pid, 0)

    def _guard(self) -> None:
        os.setsid()  # don't receive signals that are sent to the pilot's group
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):  # readers of the pilot's output must not wait for us
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
