"""Keep a claim alive while it is worked on.

A lease promises that nobody else takes the item before the lease ends. It doesn't promise that the
holder is awake: a holder that was suspended finds out only afterwards that its lease is over. So
every claim has a deadline before that end, by which its tasks must be stopped unless a renewal has
succeeded. The holder stops them itself; if it can't (it is stopped or dead), the pilot's guardian
does.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyanamo.errors import PyAnamoError
from pyanamo.model import Claim
from pyanamo.pilot.pilotlog import about
from pyanamo.signals import Halt
from pyanamo.tables import WorkflowTable

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 10.0
# How long before the lease's end tasks must have been stopped: two clocks may differ by a few
# seconds, and killing takes a moment. Of a short lease 3 tenths, so that renewals have their time.
MARGIN_SECONDS = 15.0
MARGIN_SHARE = 0.3
LOST_GRACE_SECONDS = 0.5  # for tasks of a lost claim, between SIGTERM and SIGKILL


def lease_clock() -> float:
    """Seconds that go on while the machine is suspended, where the kernel can tell."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Held(Halt):
    """A claim that is being kept alive: a halt, set once the claim is lost.

    It is lost when somebody else has the item, and when its deadline passes.
    """

    def __init__(self, claim: Claim, lease: float, *, since: float) -> None:
        """`lease` is in seconds; it counts from `since` (the lease clock) on."""
        super().__init__()
        self.claim = claim
        self.grace = LOST_GRACE_SECONDS
        self._lease = lease
        self._since = since
        self._lock = threading.Lock()  # so that a deadline that somebody saw pass isn't moved

    def lose(self, reason: str) -> None:
        """Nothing more may be run or written for the claim."""
        self.set(reason, grace=LOST_GRACE_SECONDS)

    def extend(self, since: float) -> bool:
        """Let the lease count from `since` on; False if the claim is lost already."""
        with self._lock:
            if self._reason or self.deadline <= lease_clock():
                return False
            self._since = since
            return True

    @property
    def deadline(self) -> float:
        """The lease clock from which on the claim is lost, unless it is renewed before."""
        return self._since + self._lease - margin(self._lease)

    @property
    def seconds_left(self) -> float:
        """How long it holds if it isn't renewed any more."""
        with self._lock:
            return self.deadline - lease_clock()

    @property
    def reason(self) -> str:
        """Why the claim is lost; empty while it holds."""
        if not self._reason and self.seconds_left <= 0:
            return "the lease could not be renewed in time"
        return self._reason


@contextmanager
def keep_alive(
    table: WorkflowTable,
    claim: Claim,
    lease: float,
    *,
    since: float,
    watch: Callable[[float], None] = lambda deadline: None,
) -> Iterator[Held]:
    """Renew a claim at every third of its lease (seconds) until the block ends.

    `since` is the lease clock just before the claim was made. When a renewal is refused, or none
    has succeeded by the deadline, the claim is lost: the halt that is given is set, and the claim
    isn't renewed any more. `watch` is told each new deadline, and 0 at the end.
    """
    held = Held(claim, lease, since=since)
    renewal = _Renewal(table, held, lease, watch)
    watch(held.deadline)
    # A renewal may hang in the network for longer than the block: nobody waits for the thread. It
    # carries its token, so that it harms nobody once the claim has ended.
    threading.Thread(target=renewal.run, args=(since,), daemon=True).start()
    try:
        yield held
    finally:
        renewal.end()


class _Renewal:
    """Renews one claim, in a thread of its own."""

    def __init__(
        self, table: WorkflowTable, held: Held, lease: float, watch: Callable[[float], None]
    ) -> None:
        self._table = table
        self._held = held
        self._lease = lease
        self._watch = watch
        self._ended = threading.Event()
        self._lock = threading.Lock()  # nothing is told to `watch` after the end

    def run(self, since: float) -> None:
        """Renew until the end, or until the claim is lost."""
        due = since + self._lease / 3
        while not self._ended.wait(max(0.0, due - lease_clock())) and not self._held:
            due = self._renew()
        self._ended.wait()  # its user may still have to do with it
        self._held.close()

    def end(self) -> None:
        """Renew no more."""
        with self._lock:
            self._ended.set()
            self._watch(0.0)

    def _renew(self) -> float:
        """Try to renew the claim; the lease clock at which to do it again."""
        held = self._held
        started = lease_clock()
        try:
            renewed = self._table.renew(held.claim, lease=self._lease)
        except PyAnamoError as error:  # it may pass: once more, soon
            log.warning("not renewed: %s", error, extra=about(held.claim.item))
            return lease_clock() + random.uniform(0.5, 1.0) * min(5.0, self._lease / 10)
        with self._lock:
            if not self._ended.is_set():
                self._take(renewed, started)
        return started + self._lease / 3

    def _take(self, renewed: bool, started: float) -> None:
        """Act on the answer to a renewal that was begun at `started`."""
        if not renewed:
            self._held.lose("somebody else has the item")
        # An answer that comes after the deadline comes too late: the tasks are being killed.
        elif self._held.extend(started):
            self._watch(self._held.deadline)


def margin(lease: float) -> float:
    """How long before the end of a lease its deadline is, in seconds."""
    return min(MARGIN_SECONDS, lease * MARGIN_SHARE)
