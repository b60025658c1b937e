"""A simulated clock, with which ordinary functions run concurrently.

The program's own code blocks while it waits: it has neither generators nor `await`. So each
function runs in its own greenlet, which switches to the others when it sleeps. SimPy manages the
clock and the order of events.
"""

from __future__ import annotations

from collections.abc import Callable

import simpy
from greenlet import getcurrent, greenlet


class Simulation:
    """Runs functions concurrently, with a clock that jumps from event to event."""

    def __init__(self) -> None:
        self._environment = simpy.Environment()
        self._hub = getcurrent()

    def now(self) -> float:
        """Return the seconds since the simulation began."""
        return self._environment.now

    def start(self, work: Callable[[], object], after: float) -> None:
        """Run `work` in `after` seconds. An exception in it ends the simulation."""
        self._at(after, greenlet(work, parent=self._hub))

    def sleep(self, seconds: float) -> None:
        """Wait, when called by a function that runs in the simulation."""
        self._at(seconds, getcurrent())
        self._hub.switch()

    def run(self) -> None:
        """Run until no event is left."""
        self._environment.run()

    def _at(self, after: float, who: greenlet) -> None:
        callbacks = self._environment.timeout(after).callbacks
        assert callbacks is not None  # None only after the event
        callbacks.append(lambda _event: who.switch())
