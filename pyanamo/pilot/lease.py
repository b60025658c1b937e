"""Keep a claim alive while it is worked on.

A lease promises that nobody else takes the item before it ends. It doesn't promise that the holder
is awake: one that was suspended finds out only afterwards that its lease is over. So every holder
has a deadline before that end, by which its tasks must be stopped unless a renewal has succeeded.
The holder stops them itself; where it can't (it is stopped or dead), the pilot's guardian does.
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
    """A claim that is being kept alive: a halt, set once the claim is lost."""

    def __init__(self, claim: Claim, *, due: float, deadline: float) -> None:
        """Of the lease clock: when to renew it, and from when on it counts as lost."""
        super().__init__()
        self.claim = claim
        self.due = due
        self.deadline = deadline

    def lose(self, reason: str) -> None:
        """Nothing more may be run or written for the claim."""
        self.set(reason, grace=LOST_GRACE_SECONDS)

    @property
    def seconds_left(self) -> float:
        """How long it holds if it isn't renewed any more."""
        return self.deadline - lease_clock()

    @property
    def reason(self) -> str:
        """Why the claim is lost; empty while it holds."""
        if not self._reason and self.seconds_left <= 0:
            self.lose("the lease could not be renewed in time")
        return self._reason


class LeaseKeeper:
    """Keeps the claims of a worker alive, one after another.

    One thread does it for all of them. It sleeps until a claim that is held now is due, so that a
    claim which ends before that costs it nothing.
    """

    def __init__(
        self,
        table: WorkflowTable,
        lease: float,
        watch: Callable[[float], None] = lambda deadline: None,
    ) -> None:
        """`lease` in seconds. `watch` is told each new deadline of a claim, and 0 at its end."""
        self._table = table
        self._lease = lease
        self._watch = watch
        self._changed = threading.Condition()
        self._held: Held | None = None
        self._busy: Held | None = None  # what the thread is renewing just now
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0  # the lease clock when the thread will look again

    @contextmanager
    def keep(self, claim: Claim, claimed_at: float) -> Iterator[Held]:
        """Renew the claim at every third of its lease until the block ends.

        `claimed_at` is the lease clock just before the claim was made. When a renewal is refused,
        or none has succeeded by the deadline, the claim is lost: the halt that is given is set,
        and nobody renews the claim any more.
        """
        held = Held(claim, due=claimed_at + self._lease / 3, deadline=self._deadline(claimed_at))
        self._watch(held.deadline)
        with self._changed:
            self._held = held
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._renew_when_due, daemon=True)
                self._thread.start()
            elif held.due < self._wakes_at:  # the claim took long
                self._changed.notify_all()
        try:
            yield held
        finally:
            is_free = self._let_go(held)
            self._watch(0.0)
            if is_free:
                held.close()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._thread = None
            self._changed.notify_all()

    def _let_go(self, held: Held) -> bool:
        """Renew it no more; False if the thread has still to do with it."""
        with self._changed:
            self._held = None
            # A renewal may hang in the network for longer than anybody wants to wait for it; it
            # carries its token, so that it harms nobody once the claim has ended.
            if self._changed.wait_for(lambda: self._busy is not held, timeout=0.1):
                return True
            self._busy = self._thread = None  # the next claim gets another thread
            return False

    def _renew_when_due(self) -> None:
        while (held := self._next_due()) is not None:
            self._renew(held)
            with self._changed:
                if self._busy is held:
                    self._busy = None
                    self._changed.notify_all()

    def _next_due(self) -> Held | None:
        """Wait until the claim that is held is due; None when this thread is wanted no more."""
        with self._changed:
            while self._thread is threading.current_thread():
                # What is claimed from now on is due later than that.
                now = lease_clock()
                self._wakes_at = now + self._lease / 3
                if (held := self._held) is not None and not held:
                    if held.due <= now:
                        self._busy = held
                        return held
                    self._wakes_at = min(self._wakes_at, held.due)
                self._changed.wait(self._wakes_at - now)
            return None

    def _renew(self, held: Held) -> None:
        started = lease_clock()
        try:
            renewed = self._table.renew(held.claim, lease=self._lease)
        except PyAnamoError as error:  # it may pass: once more, soon
            log.warning("not renewed: %s", error, extra=about(held.claim.item))
            held.due = lease_clock() + random.uniform(0.5, 1.0) * min(5.0, self._lease / 10)
            return
        with self._changed:
            # An answer that comes after the deadline comes too late: the tasks are being killed.
            if self._held is not held or held:
                return
            if not renewed:
                held.lose("somebody else has the item")
                return
            held.due = started + self._lease / 3
            held.deadline = self._deadline(started)
            self._watch(held.deadline)

    def _deadline(self, since: float) -> float:
        return since + self._lease - margin(self._lease)


def margin(lease: float) -> float:
    """How long before the end of a lease its deadline is, in seconds."""
    return min(MARGIN_SECONDS, lease * MARGIN_SHARE)
