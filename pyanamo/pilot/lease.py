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

    def __init__(self, deadline: float) -> None:
        """`deadline`, of the lease clock: from then on the claim counts as lost."""
        super().__init__()
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


@contextmanager
def keep_alive(
    table: WorkflowTable,
    claim: Claim,
    lease: float,
    claimed_at: float,
    watch: Callable[[float], None] = lambda deadline: None,
) -> Iterator[Held]:
    """Renew the claim at every third of its lease, in a thread, until the block ends.

    `claimed_at` is the lease clock just before the claim was made. `watch` is told each new
    deadline, and 0 at the end. When a renewal is refused, or none has succeeded by the deadline,
    the claim is lost: what is given is set, and nobody renews the claim any more.
    """
    held = Held(claimed_at + lease - margin(lease))
    watch(held.deadline)
    ended = threading.Event()
    thread = threading.Thread(
        target=_renew_until, args=(ended, held, table, claim, lease, watch), daemon=True
    )
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        # A renewal may hang in the network for longer than anybody wants to wait for it; it
        # carries its token, so that it harms nobody once the claim has ended.
        thread.join(timeout=0.1)
        watch(0.0)
        if not thread.is_alive():
            held.close()


def margin(lease: float) -> float:
    """How long before the end of a lease its deadline is, in seconds."""
    return min(MARGIN_SECONDS, lease * MARGIN_SHARE)


def _renew_until(
    ended: threading.Event,
    held: Held,
    table: WorkflowTable,
    claim: Claim,
    lease: float,
    watch: Callable[[float], None],
) -> None:
    wait = lease / 3
    while not ended.wait(wait) and not held:
        started = lease_clock()
        try:
            renewed = table.renew(claim, lease=lease)
        except PyAnamoError as error:  # it may pass: once more, soon
            log.warning("not renewed: %s", error, extra=about(claim.item))
            wait = random.uniform(0.5, 1.0) * min(5.0, lease / 10)
            continue
        # An answer that comes after the deadline comes too late: the tasks are being killed.
        if ended.is_set() or held:
            return
        if not renewed:
            held.lose("somebody else has the item")
            return
        held.deadline = started + lease - margin(lease)
        watch(held.deadline)
        wait = lease / 3
