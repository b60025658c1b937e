"""Keep a claim alive while its item is worked on.

A lease guarantees that nobody else claims the item before the lease expires. It doesn't guarantee
that its holder notices the expiry: a holder that was suspended finds out too late. So every claim
has a deadline before the lease's end. If no renewal has succeeded by then, the tasks are stopped.
The holder stops them itself; if it can't, because it is suspended or dead, the pilot's guardian
does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from pyanamo.clocks import lease_clock
from pyanamo.errors import PyAnamoError
from pyanamo.model import Claim, Result
from pyanamo.pilot.pilotlog import about
from pyanamo.pilot.progress import Progress
from pyanamo.signals import Halt
from pyanamo.tables import WorkflowTable

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 10.0
LOOK_SECONDS = 1.0  # from one look whether a renewal is due to the next: results wait as long
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
        self.progress = Progress()
        self.grace = LOST_GRACE_SECONDS
        self._seconds = lease - margin(lease)
        self._deadline = since + self._seconds
        self._lock = threading.Lock()  # a deadline that was seen to pass must not be moved

    def lose(self, reason: str) -> None:
        """Mark the claim as lost: nothing more may be run or written for it."""
        self.set(reason, grace=LOST_GRACE_SECONDS)

    def extend(self, since: float) -> bool:
        """Restart the lease at `since`; return False if the claim is lost already."""
        with self._lock:
            if self._reason or self._deadline <= lease_clock():
                return False
            self._deadline = since + self._seconds
            return True

    @property
    def deadline(self) -> float:
        """The time (lease clock) at which the claim is lost unless it is renewed before."""
        return self._deadline

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        left = self._deadline - lease_clock()
        if left > 0:
            return left
        with self._lock:  # perhaps it is being moved just now
            return self._deadline - lease_clock()

    @property
    def reason(self) -> str:
        """Why the claim is lost; empty while it holds."""
        if not self._reason and self.seconds_left <= 0:
            return "the lease could not be renewed in time"
        return self._reason


class Renewals:
    """Keeps alive the claims of a worker, one after the other."""

    def __init__(
        self, table: WorkflowTable, lease: float, watch: Callable[[float], None] = lambda _: None
    ) -> None:
        """`lease` is in seconds. `watch` is called with each new deadline, and with 0 at an end."""
        self._table = table
        self._lease = lease
        self._watch = watch
        self._thread: _RenewalThread | None = None

    def begin(self, claim: Claim, *, since: float) -> Held:
        """Renew a claim every third of its lease, from now on until `end`.

        A renewal takes along what the claim's `progress` has by then; it is early if that has
        earned it.

        `since` is the lease clock just before the claim was made. The claim is lost if a renewal
        is refused, or if none has succeeded by the deadline. Then the returned halt is set, and
        renewing stops. Raises `OSError` or `RuntimeError` if there is no room for a file or thread.
        """
        held = Held(claim, self._lease, since=since)
        try:
            self._thread = self._thread or _RenewalThread(self._table, self._lease, self._watch)
        except BaseException:
            held.close()
            raise
        self._thread.renew(held, due=since + self._lease / 3)
        return held

    def end(self, held: Held) -> None:
        """Renew the claim no more."""
        if self._thread is not None and not self._thread.leave():
            self._thread = None
        held.close()


class _RenewalThread(threading.Thread):
    """Renews the claim that it was given last, until it is told to leave it."""

    def __init__(self, table: WorkflowTable, lease: float, watch: Callable[[float], None]) -> None:
        super().__init__(daemon=True)
        self._table = table
        self._lease = lease
        self._watch = watch
        self._lock = threading.Lock()  # `watch` must not be called after a claim's end
        self._held: Held | None = None
        self._due = 0.0  # lease clock
        self._is_asking = False
        self._is_over = False
        self.start()

    def renew(self, held: Held, *, due: float) -> None:
        """Renew this claim, for the first time when it is `due` (lease clock)."""
        with self._lock:
            self._held, self._due = held, due
            self._watch(held.deadline)

    def leave(self) -> bool:
        """Renew the claim no more. Returns whether the thread is free for another one.

        It isn't if a renewal still waits for its answer: that may hang in the network. A late
        renewal is harmless: it carries the token of the claim, which has ended.
        """
        with self._lock:
            self._held = None
            self._watch(0.0)
            self._is_over = self._is_asking
            return not self._is_over

    def run(self) -> None:
        """Look now and then whether a renewal is due: most items end before, so none wakes us."""
        pause = self._lease / 30
        while not self._is_over:
            time.sleep(min(LOOK_SECONDS, pause))
            with self._lock:
                held = self._held
                self._is_asking = held is not None and not held and self._is_due(held)
            if held is not None and self._is_asking and not self._ask(held):
                time.sleep(pause)

    def _is_due(self, held: Held) -> bool:
        """Whether it is time to renew, or the results that have come are worth the write."""
        if self._due <= lease_clock():
            return True
        progress = held.progress
        return progress.has_unwritten and progress.has_earned(self._units(held, progress.so_far()))

    def _units(self, held: Held, results: Mapping[str, Result]) -> int:
        return self._table.renewal_units(held.claim, results)

    def _ask(self, held: Held) -> bool:
        """Try to renew the claim, and handle the answer. Returns whether there was one."""
        started = lease_clock()
        renewed = None
        results = held.progress.so_far() if held.progress.has_unwritten else None
        try:
            renewed = self._table.renew(held.claim, lease=self._lease, results=results)
        except Exception as error:  # it may be temporary: it stays due
            is_bug = not isinstance(error, PyAnamoError)
            extra = about(held.claim.item)
            log.warning("lease not renewed: %s", error, extra=extra, exc_info=is_bug)
        with self._lock:
            self._is_asking = False
            if self._held is not held or renewed is None:
                return renewed is not None
            if results and renewed:
                held.progress.wrote(results, self._units(held, results))
            if not renewed:
                held.lose("somebody else has the item")
            # After the deadline an answer is too late, since the tasks are being killed.
            elif held.extend(started):
                self._due = started + self._lease / 3
                self._watch(held.deadline)
            return True


def margin(lease: float) -> float:
    """Return how many seconds before the end of a lease its deadline is."""
    return min(MARGIN_SECONDS, lease * MARGIN_SHARE)
