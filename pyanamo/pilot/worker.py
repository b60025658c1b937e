"""A worker of a pilot: it claims an item, runs it, records the outcome, and repeats."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol

from pyanamo.clocks import lease_clock
from pyanamo.errors import AccessDenied, DamagedItem, PyAnamoError, StoreUnavailable, StoreUnusable
from pyanamo.model import Attempt, Claim, Ending, Item, Locked, Outcome, Result, TaskStatus
from pyanamo.output.lines import last_line_of
from pyanamo.pilot.lease import Held, Renewals
from pyanamo.pilot.pilotlog import about
from pyanamo.pilot.runner import Runner
from pyanamo.pilot.shared import Quota, SharedNumbers
from pyanamo.pilot.shortage import shortage_of
from pyanamo.pilot.unrecorded import SpareCopies, SpareCopy
from pyanamo.signals import Halt, when_set
from pyanamo.tables import WorkflowTable
from pyanamo.tables.transitions import is_lost_too_often
from pyanamo.text import shortened

log = logging.getLogger(__name__)

FIRST_POLL, LONGEST_POLL = 1.0, 10.0  # seconds between two queries of an empty table
LONGEST_BACKOFF = 10.0  # seconds between two attempts at a request that failed
LONGEST_LINE = 300  # characters of what a task printed, in the pilot's log


@dataclass(frozen=True, kw_only=True)
class LostClaim:
    """The claim of a worker that died; its item is without tasks and results."""

    claim: Claim
    reason: str
    results: Mapping[str, Result]  # of the tasks that had ended, perhaps in the table already


@dataclass(frozen=True, kw_only=True)
class ItemClaimed:
    """Message to the pilot: the worker has claimed an item.

    It has what `WorkflowTable.lose` needs, as plain values, which are the quickest to send.
    """

    item_id: str
    task_id: str
    attempts: int
    instance: str
    token: str
    lock_date: str
    history: tuple[Attempt, ...]

    @classmethod
    def of(cls, claim: Claim) -> ItemClaimed:
        """Make the message that tells of a claim."""
        item = claim.item
        return cls(
            item_id=item.item_id,
            task_id=item.task_id,
            attempts=item.attempts,
            instance=item.instance,
            token=claim.token,
            lock_date=item.lock_date,
            history=item.history,
        )

    @property
    def claim(self) -> Claim:
        """The claim; its item is without tasks and results."""
        return Claim(item=Item(tasks=(), nested=False, **vars(self)), token=self.token)


@dataclass(frozen=True)
class TaskEnded:
    """Message to the pilot: a nested task has ended, and its result may not be in the table yet."""

    name: str
    result: Result


@dataclass(frozen=True, kw_only=True)
class ItemEnded:
    """Message to the pilot: an attempt at an item has ended."""

    ending: Ending
    put_back: bool  # whether the item is todo again
    reason: str
    seconds: float  # since the claim


@dataclass(frozen=True)
class LostClaimEnded:
    """Message to the pilot: the claim of a dead worker needs no more care."""

    is_failed: bool  # the item was lost too often


@dataclass(frozen=True)
class NothingLeft:
    """Message to the pilot: the worker found no item to claim."""

    locked: Locked | None  # what others hold


@dataclass(frozen=True)
class NoRoom:
    """What a worker tells its pilot before it ends because the machine is short of something."""

    reason: str


Message = NoRoom | ItemClaimed | TaskEnded | ItemEnded | LostClaimEnded | NothingLeft


class Report(Protocol):
    """Sends messages from a worker to its pilot."""

    def __call__(self, *messages: Message, later: bool = False, and_wait: bool = False) -> None:
        """Send messages, after those that were kept for later.

        With `later`, keep them until the next call, or the worker's end. With `and_wait`, wait
        until the pilot has handled them.
        """


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker: its settings and tools, and the loop that works on items."""

    number: int
    pilot: str  # the InstanceID
    table: WorkflowTable
    runner: Runner
    stop: Halt
    shared: SharedNumbers
    lost: LostClaim | None  # the claim to give back first, if a worker died
    quota: Quota
    report: Report
    lease: float  # seconds
    retries: int
    max_attempts: int
    idle: float  # seconds
    made_with: Callable[[], Mapping[str, str]] = dict
    unrecorded: SpareCopies = field(default_factory=SpareCopies)

    @cached_property
    def _renewals(self) -> Renewals:
        watch = partial(self.shared.set_deadline, self.number)
        return Renewals(self.table, self.lease, watch)

    def work(self) -> bool:
        """Work on items until no items or no time is left, or until a stop.

        False if the machine had no room for an item: the worker should end, and leave its own room
        to others.
        """
        if self.lost is not None:
            self.report(LostClaimEnded(self._give_back(self.lost)))
        # We may be killed during a stop, before the table has the outcome: keep a copy in a file.
        with when_set(self.stop, self.unrecorded.keep):
            while self._may_claim() and self.quota.take():
                taken = self._next_claim()
                if taken is None:
                    self.quota.give_back()
                    break
                if not self._work_on(*taken):
                    return False
        return True

    def _work_on(self, claim: Claim, since: float) -> bool:
        """Run an item that was claimed at `since` (lease clock), and record what happened.

        False if the machine had no room for it, and it was given back.
        """
        tasks = len(claim.item.tasks) if claim.item.nested else 0
        done = claim.item.nested_done
        self.shared.begin_item(self.number, nested_tasks=tasks, done=done)
        self.report(ItemClaimed.of(claim))
        log.info("claimed, attempt %d", claim.item.attempts, extra=about(claim.item))
        held = self._hold(claim, since)
        try:
            outcome = self.runner.execute(claim, (self.stop, held), self._noting(held))
            ended = self._settle(claim, since, outcome, held)
        finally:
            self._renewals.end(held)
        self._tell(claim, ended, outcome)
        if outcome.short:
            self.report(NoRoom(outcome.reason))
        return not outcome.short

    def _hold(self, claim: Claim, since: float) -> Held:
        """Keep the claim alive; if there is no room for that, give the item back and raise."""
        try:
            return self._renewals.begin(claim, since=since)
        except (OSError, RuntimeError) as error:
            if not (shortage := shortage_of(error)):
                raise
            outcome = Outcome(ending=Ending.INTERRUPTED, reason=str(shortage))
            if self.table.release(claim, outcome):
                seconds = lease_clock() - since
                ended = ItemEnded(
                    ending=outcome.ending, put_back=True, reason=outcome.reason, seconds=seconds
                )
                self._tell(claim, ended, outcome)
            raise shortage from error

    def _may_claim(self) -> bool:
        return not (self.stop or self.shared.draining) and self.runner.walltime.allows_another()

    def _next_claim(self) -> tuple[Claim, float] | None:
        """Return a claim and the lease clock just before it was made; None if there are no items.

        The table counts as empty only after two empty answers: the second one comes after the time
        that the table needs to show recent changes.
        """
        give_up_at = time.monotonic() + self.idle
        wait = self.table.settle_seconds
        looks = 0
        while self._may_claim():
            claimed_at = lease_clock()
            if claim := self._claim_patiently():
                return claim, claimed_at
            looks += 1
            left = give_up_at - time.monotonic()
            if looks > 1:
                if left <= 0:
                    self.report(NothingLeft(self.table.locked))
                    return None
                wait = min(left, LONGEST_POLL, FIRST_POLL * 2 ** (looks - 2))
            self._wait(wait * random.uniform(0.8, 1.0))
        return None

    def _claim_patiently(self) -> Claim | None:
        """Claim an item; if the store can't be used, keep trying for the length of a lease.

        The store's refusal ends the worker at once, unless a claim of the pilot has been answered
        before: credentials that worked may work again.
        """
        give_up_at = time.monotonic() + self.lease
        tries = 0
        while True:
            try:
                claim = self.table.claim(
                    self.pilot, lease=self.lease, max_attempts=self.max_attempts
                )
                self.shared.note_answer(self.number)
                return claim
            except (AccessDenied, StoreUnavailable) as error:
                is_refused = isinstance(error, AccessDenied) and not self.shared.was_answered
                if is_refused or time.monotonic() >= give_up_at:
                    raise
                log.warning("no item claimed, trying again: %s", error)
            tries += 1
            self._wait(backoff(tries))
            if not self._may_claim():
                return None

    def _wait(self, seconds: float) -> None:
        """Wait, but return early if the worker may not claim any more."""
        self.report()
        until = time.monotonic() + seconds
        while self._may_claim() and (left := until - time.monotonic()) > 0:
            self.stop.wait(min(1.0, left))

    def _noting(self, held: Held) -> Callable[[str, Result], None]:
        """Return a function that is told of each nested task's end while others still run."""

        def note(name: str, result: Result) -> None:
            held.progress.add(name, result)
            self.report(TaskEnded(name, result))

        return note

    def _settle(self, claim: Claim, since: float, outcome: Outcome, held: Held) -> ItemEnded:
        """Write how the attempt ended; what can't be written is kept in a file."""
        attempts = claim.item.attempts
        put_back = outcome.ending is Ending.INTERRUPTED
        if outcome.ending is Ending.FAILED:
            put_back = claim.failures < self.retries
        elif outcome.spent and attempts >= self.max_attempts:
            reason = f"did not end within the wall time ({attempts} attempts, --max-attempts)"
            outcome = replace(outcome, ending=Ending.FAILED, reason=reason)
            put_back = False
        spare = SpareCopy(self.table.name, claim, outcome)
        with self.unrecorded.hold(spare, self.stop):
            if put_back:
                written = self._write(self.table.release, claim, outcome, held)
            else:
                outcome = replace(outcome, made_with=self.made_with())
                written = self._write(self.table.finish, claim, outcome, held)
        if written:
            spare.discard()
            ending, reason = outcome.ending, outcome.reason
        else:
            put_back, ending, reason = False, Ending.LOST, held.reason
            if file := spare.keep():
                log.error("not recorded: the results are in %s", file, extra=about(claim.item))
        seconds = lease_clock() - since
        return ItemEnded(ending=ending, put_back=put_back, reason=reason, seconds=seconds)

    def _write(
        self,
        write: Callable[[Claim, Outcome], bool],
        claim: Claim,
        outcome: Outcome,
        held: Held,
    ) -> bool:
        """Write the outcome, retrying while the claim holds; return whether it was written."""
        tries = 0
        while not held:
            try:
                if write(claim, outcome):
                    return True
                held.lose("somebody else has the item")
            except StoreUnusable as error:  # retrying won't help
                held.lose(str(error))
            except PyAnamoError as error:
                log.warning("not recorded yet: %s", error, extra=about(claim.item))
                tries += 1
                # However short the lease is, an outage of half of it must leave time to try again.
                held.wait(min(backoff(tries), self.lease / 10))
        return False

    def _give_back(self, lost: LostClaim) -> bool:
        """Give back the item of a dead worker, and return whether it is failed now.

        Nothing changes if the worker ended the claim before it died. Tries again while the store
        can't be used, also during a stop, until the lease must have expired.
        """
        extra = about(lost.claim.item)
        give_up_at = time.monotonic() + self.lease
        tries = 0
        while True:
            try:
                self._record(lost)
                if not self.table.lose(lost.claim, lost.reason, max_attempts=self.max_attempts):
                    return False
                break
            except PyAnamoError as error:
                if isinstance(error, StoreUnusable) or time.monotonic() >= give_up_at:
                    words = "not given back, locked until its lease expires: %s"
                    log.warning(words, error, extra=extra)
                    return False
                log.warning("not given back yet: %s", error, extra=extra)
            tries += 1
            time.sleep(min(backoff(tries), self.lease / 10))
        is_failed = is_lost_too_often(lost.claim.item, self.max_attempts)
        words = "lost too often (--max-attempts), now failed" if is_failed else "lost"
        log.warning("%s: %s", words, lost.reason, extra=extra)
        return is_failed

    def _record(self, lost: LostClaim) -> None:
        """Store the results that the dead worker had, as far as they aren't in the table."""
        if not lost.results:
            return
        with suppress(DamagedItem):
            item = self.table.get(lost.claim.item.item_id)
            if item is not None and {**item.results, **lost.results} != item.results:
                claim = Claim(item=item, token=lost.claim.token)
                self.table.renew(claim, lease=self.lease, results=lost.results)

    def _tell(self, claim: Claim, ended: ItemEnded, outcome: Outcome) -> None:
        """Log the end of the attempt, and report it to the pilot."""
        words = ended.ending.value + (", put back" if ended.put_back else "")
        is_failed = ended.ending is Ending.FAILED
        last_line = _last_line(claim.item, outcome) if is_failed else ""
        why = "".join(f": {part}" for part in (ended.reason, last_line) if part)
        well = ended.ending in (Ending.DONE, Ending.INTERRUPTED)
        level = logging.INFO if well else logging.WARNING
        log.log(level, "%s in %.1f s%s", words, ended.seconds, why, extra=about(claim.item))
        # After too many failures the pilot stops claiming: wait for its decision. All else is told
        # with the next claim, so that the pilot wakes up once an item.
        self.report(ended, later=not is_failed, and_wait=is_failed)


def _last_line(item: Item, outcome: Outcome) -> str:
    """The last line on stderr of the task for which the item failed; empty if there is none."""
    results = (outcome.results.get(task.name) for task in item.tasks)
    failed = (result for result in results if result and result.status is TaskStatus.FAILED)
    first = next(failed, None)
    if first is None or first.reason != outcome.reason:  # it failed for something else
        return ""
    return shortened(last_line_of(first), LONGEST_LINE)


def backoff(tries: int) -> float:
    """Return the seconds to wait before the next attempt: exponential, with random jitter."""
    return random.uniform(0.5, 1.0) * min(LONGEST_BACKOFF, 0.25 * 2.0**tries)
