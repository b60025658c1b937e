"""A process that outlives the pilot, and kills the tasks that it leaves behind.

A pilot that is killed (SIGKILL) can't stop its tasks, and one that is suspended (SIGSTOP) can't see
that its lease is over. So the guardian does both. It waits for the end of all processes of the
pilot, and for the deadlines that workers set (see `pyanamo.pilot.lease`). Then it kills the tasks,
which it finds by their marks.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
from multiprocessing.context import ForkProcess

from pyanamo.clocks import lease_clock
from pyanamo.pilot.marks import Crew, kill_marked
from pyanamo.pilot.shared import SharedNumbers
from pyanamo.pilot.shortage import shortage_of, tell
from pyanamo.signals import STOP_SIGNALS

LOOK_SECONDS = 0.5

_FORK = multiprocessing.get_context("fork")


class Guardian:
    """The pilot's handle of the guardian process."""

    def __init__(self, shared: SharedNumbers, crew: Crew) -> None:
        self._shared = shared
        self._crew = crew
        # Nobody writes to this pipe. It is closed when the last process of the pilot has ended.
        self._alive, self._hold = os.pipe()
        self._process: ForkProcess | None = None

    @property
    def pids(self) -> set[int]:
        """The process, if it was started."""
        return {self._process.pid} if self._process and self._process.pid else set()

    def start_if_needed(self) -> None:
        """Start the process, also in place of one that somebody has killed.

        If the machine has no room for it, the next call tries again.
        """
        if self._process is not None and self._process.is_alive():
            return
        process = _FORK.Process(target=self._guard)
        try:
            process.start()
        except OSError as error:
            shortage = shortage_of(error)
            if shortage is None:
                raise
            tell(shortage)
        else:
            self._process = process

    def end(self, limit: float) -> None:
        """Kill the tasks that are left, within `limit` seconds, and end the guardian."""
        kill_marked(self._crew.all_marks, limit=limit)
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _guard(self) -> None:
        os.setsid()  # don't receive signals that are sent to the pilot's group
        for number in STOP_SIGNALS:
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
