"""Keep a claim alive while its item is worked on.

A lease guarantees that nobody else claims the item before the lease expires. It doesn't guarantee
that its holder notices the expiry: a holder that was suspended finds out too late. So every claim
has a deadline before the lease's end. If no renewal has succeeded by then, the tasks are stopped.
The holder stops them itself; if it can't, because it is suspended or dead, the pilot's guardian
does.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyanamo.clocks import lease_clock
from pyanamo.errors import PyAnamoError
from pyanamo.model import Claim
from pyanamo.pilot.pilotlog import about
from pyanamo.signals import Halt
from pyanamo.tables import WorkflowTable

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 10.0
# How long before the lease's end the deadline is: clocks may differ by a few seconds, and killing
# takes a moment. For a short lease it is 30 %, which leaves enough time for renewals.
MARGIN_SECONDS = 15.0
MARGIN_SHARE = 0.3
LOST_GRACE_SECONDS = 0.5  # between SIGTERM and SIGKILL, for tasks of a lost claim


class Held(Halt):
    """A claim that is being kept alive, and the halt that is set when the claim is lost.

    The claim is lost when somebody else has the item, or when its deadline passes.
    """

    def __init__(self, claim: Claim, lease: float, *, since: float) -> None:
        """`lease` is in seconds, counted from `since` (lease clock)."""
        super().__init__()
        self.claim = claim
        self.grace = LOST_GRACE_SECONDS
        self._lease = lease
        self._since = since
        self._lock = threading.Lock()  # a deadline that was seen to pass must not be moved

    def lose(self, reason: str) -> None:
        """Mark the claim as lost: nothing more may be run or written for it."""
        self.set(reason, grace=LOST_GRACE_SECONDS)

    def extend(self, since: float) -> bool:
        """Restart the lease at `since`; return False if the claim is lost already."""
        with self._lock:
            if self._reason or self.deadline <= lease_clock():
                return False
            self._since = since
            return True

    @property
    def deadline(self) -> float:
        """The time (lease clock) at which the claim is lost unless it is renewed before."""
        return self._since + self._lease - margin(self._lease)

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
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
    """Renew a claim every third of its lease (seconds) until the block ends.

    `since` is the lease clock just before the claim was made. The claim is lost if a renewal is
    refused, or if none has succeeded by the deadline. Then the yielded halt is set, and renewing
    stops. `watch` is called with each new deadline, and with 0 at the end.
    """
    held = Held(claim, lease, since=since)
    renewal = _Renewal(table, held, lease, watch)
    watch(held.deadline)
    # Nobody waits for the thread at the end, because a renewal may hang in the network. A late
    # renewal is harmless: it carries the token of the claim, which has ended.
    threading.Thread(target=renewal.run, args=(since,), daemon=True).start()
    try:
        yield held
    finally:
        renewal.end()


class _Renewal:
    """Renews one claim in its own thread."""

    def __init__(
        self, table: WorkflowTable, held: Held, lease: float, watch: Callable[[float], None]
    ) -> None:
        self._table = table
        self._held = held
        self._lease = lease
        self._watch = watch
        self._ended = threading.Event()
        self._lock = threading.Lock()  # `watch` must not be called after the end

    def run(self, since: float) -> None:
        """Renew until the block ends or the claim is lost."""
        due = since + self._lease / 3
        while not self._ended.wait(max(0.0, due - lease_clock())) and not self._held:
            due = self._renew()
        self._ended.wait()  # the block still uses `held`
        self._held.close()

    def end(self) -> None:
        """Stop renewing."""
        with self._lock:
            self._ended.set()
            self._watch(0.0)

    def _renew(self) -> float:
        """Try to renew the claim; return the time (lease clock) of the next attempt."""
        claim = self._held.claim
        started = lease_clock()
        try:
            renewed = self._table.renew(claim, lease=self._lease)
        except Exception as error:  # it may be temporary: retry soon
            is_bug = not isinstance(error, PyAnamoError)
            log.warning("not renewed: %s", error, extra=about(claim.item), exc_info=is_bug)
            return lease_clock() + random.uniform(0.5, 1.0) * min(5.0, self._lease / 10)
        with self._lock:
            if not self._ended.is_set():
                self._take(renewed, started)
        return started + self._lease / 3

    def _take(self, renewed: bool, started: float) -> None:
        """Handle the answer to a renewal that began at `started`."""
        if not renewed:
            self._held.lose("somebody else has the item")
        # After the deadline an answer is too late, since the tasks are being killed.
        elif self._held.extend(started):
            self._watch(self._held.deadline)


def margin(lease: float) -> float:
    """Return how many seconds before the end of a lease its deadline is."""
    return min(MARGIN_SECONDS, lease * MARGIN_SHARE)
