"""A simulated clock, by which ordinary functions run at the same time.

The program's own code waits for answers; it knows no generators and no `await`. Each function runs
in a greenlet of its own, which hands over to the others where it sleeps. SimPy keeps the clock and
the order of events.
"""

from __future__ import annotations

from collections.abc import Callable

import simpy
from greenlet import getcurrent, greenlet


class Simulation:
    """Functions that run at the same time, by a clock that jumps from event to event."""

    def __init__(self) -> None:
        self._environment = simpy.Environment()
        self._hub = getcurrent()

    def now(self) -> float:
        """Seconds since the simulation began."""
        return self._environment.now

    def start(self, work: Callable[[], object], after: float) -> None:
        """Have `work` run `after` so many seconds from now. What it raises ends the simulation."""
        self._at(after, greenlet(work, parent=self._hub))

    def sleep(self, seconds: float) -> None:
        """To be called by what runs in the simulation: go on so many seconds later."""
        self._at(seconds, getcurrent())
        self._hub.switch()

    def run(self) -> None:
        """Run until nothing is left to be done."""
        self._environment.run()

    def _at(self, after: float, who: greenlet) -> None:
        callbacks = self._environment.timeout(after).callbacks
        assert callbacks is not None  # they are taken away once it is over
        callbacks.append(lambda _event: who.switch())
