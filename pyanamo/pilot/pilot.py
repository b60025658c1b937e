"""The pilot: starts workers, handles signals and dead workers, and counts the outcomes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait

from pyanamo.identity import pilot_name, runs_in_batch
from pyanamo.model import UNFINISHED
from pyanamo.output.keeper import Keeper
from pyanamo.pilot.closing import counted
from pyanamo.pilot.command import GRACE_SECONDS, TIME_IS_UP, grace_seconds
from pyanamo.pilot.guardian import Guardian
from pyanamo.pilot.live import LiveLine, Screen
from pyanamo.pilot.madewith import MadeWith
from pyanamo.pilot.marks import (
    CAN_FIND,
    Crew,
    adopt_orphans,
    kill_marked,
    reap_adopted,
)
from pyanamo.pilot.runner import Runner
from pyanamo.pilot.shared import Quota, SharedNumbers
from pyanamo.pilot.shortage import allow_files, check_processes
from pyanamo.pilot.spot import SPARE_SECONDS, SpotNotice
from pyanamo.pilot.tally import Summary, Tally
from pyanamo.pilot.walltime import WallTime
from pyanamo.pilot.worker import LostClaim, Report, Worker
from pyanamo.pilot.workers import KILL_SECONDS, Workers
from pyanamo.signals import Halt, Stop, stop_signals
from pyanamo.tables import Store

log = logging.getLogger(__name__)

# A container gets 30 s between SIGTERM and SIGKILL. Tasks have GRACE_SECONDS of them to end, or
# less in AWS Batch; workers have the next 8 s to record results and to release items.
STOP_SECONDS = GRACE_SECONDS + 8.0
LAST_SECONDS = 1.0  # for what may be left of the tasks then, so that a stop takes less than 20 s
HURRY_SECONDS = 3.0  # after a second signal
# What workers say within this time is heard at once: to wake up costs as much as a short item.
PAUSE_SECONDS = 0.02
OVERDUE_SECONDS = 600.0  # a machine that is still there then won't be taken away


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A pilot's settings; times are in seconds. See `pyanamo.py --help`."""

    store: Store
    table: str
    items: int = 1
    nests: int = 1
    wall_time: float | None = None
    kill_after: float | None = None
    task_timeout: float | None = None
    lease: float = 900.0
    retries: int = 0
    max_attempts: int = 3
    max_items: int | None = None
    idle: float = 0.0
    max_failures_in_a_row: int = 10
    spot_notice: bool = False
    keeper: Keeper = field(default_factory=Keeper)


class Pilot:
    """Runs a table's items with several workers, each a process of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        started: float | None = None,
        screen: Screen | None = None,
    ) -> None:
        """The wall time counts from `started` (monotonic clock; default: now).

        A `screen` shows how far the pilot is.
        """
        self._settings = settings
        self._started = time.monotonic() if started is None else started
        self._name = pilot_name()
        items, self._nests = allow_files(settings.items, settings.nests)
        self._shared = SharedNumbers(items)
        self._crew = Crew(items)
        self._walltime = WallTime(
            settings.wall_time,
            settings.kill_after,
            self._shared.mean_task_seconds,
            started=self._started,
        )
        self._guardian = Guardian(self._shared, self._crew)
        self._made_with = MadeWith()
        self._spot = SpotNotice() if settings.spot_notice else None
        self._tally = Tally(settings.max_failures_in_a_row)
        self._summary = self._tally.summary
        self._workers = Workers(
            table=settings.table,
            crew=self._crew,
            shared=self._shared,
            walltime=self._walltime,
            tally=self._tally,
            quota=Quota(settings.max_items),
            make_worker=self._make_worker,
        )
        self._screen = screen
        self._live: LiveLine | None = None
        self._hurried = False  # we were told to stop a second time

    def run(self) -> Summary:
        """Work until no items or no time is left, or until a stop signal; return the counts.

        Raises `PyAnamoError` if the table or the log store can't be used.
        """
        self._check_stores()
        check_processes(self._crew.size, self._nests)
        gc.freeze()  # what there is stays: workers needn't look through it, nor so copy it
        if not CAN_FIND:
            log.warning("there is no /proc: if this pilot is killed (SIGKILL), its tasks go on")
        adopt_orphans()
        again = Halt()
        try:
            with stop_signals(grace=grace_seconds(), again=again) as stop, _child_signals() as wake:
                while self._workers:
                    self._turn(stop, again, wake)
                self._workers.fail_if_nothing_ran()
                self._summary.why = self._why_no_more(stop)
                if self._screen is None and not stop:
                    self._log_end()
                self._summary.seconds = time.monotonic() - self._started
                self._stay_until_taken_away(stop)
                self._summary.stopped_by = stop.signal
        finally:
            self._workers.signal(signal.SIGKILL)  # after a bug: otherwise none is left
            if self._live is not None:
                self._live.clear()
            self._guardian.end(LAST_SECONDS if self._workers.is_stopping else KILL_SECONDS)
            again.close()
        return self._summary

    def _check_stores(self) -> None:
        """Check the table and the log store now, so that a mistyped name is found at the start."""
        store = self._settings.store
        table = store.open(self._settings.table)
        try:
            store.check(table)
            if self._screen is not None and self._screen.console is not None:
                self._live = LiveLine(
                    self._screen,
                    self._screen.console,
                    workers=self._workers,
                    walltime=self._walltime,
                    started=self._started,
                    total=counted(table, *UNFINISHED),
                )
        finally:
            table.close()  # before forking: workers must not share the connection
        if (logs := self._settings.keeper.store) is not None:
            logs.check(self._settings.table)
            where = logs.where(self._settings.table)
            log.info("short output stays in the item, longer output goes to %s", where)

    def _turn(self, stop: Stop, again: Halt, wake: int) -> None:
        """One turn of the loop: start what is due, wait until something happens, see to it."""
        self._guardian.start_if_needed()
        self._workers.start_due()
        ready = wait([*self._workers.messages, wake], timeout=self._workers.next_look)
        if wake in ready:
            os.read(wake, 4096)
        self._workers.hear()
        reap_adopted(self._workers.pids | self._guardian.pids)
        self._mind_spot_notice()
        self._mind_stop(stop, again)
        self._workers.remind()
        wait([wake], timeout=PAUSE_SECONDS)
        if self._live is not None:
            self._live.refresh()

    def _why_no_more(self, stop: Stop) -> str:
        """Why nothing more was claimed; empty if nothing was left."""
        if stop:
            return stop.reason
        if self._shared.draining:
            return "this machine is to be taken away"
        if self._summary.nothing_left:
            return ""
        if not self._walltime.allows_another():
            return TIME_IS_UP
        return f"--max-items {self._settings.max_items} is reached"

    def _log_end(self) -> None:
        """Log why the pilot ends, as far as it knows without asking the table."""
        if self._summary.locked is not None:
            log.info("nothing else is left: %s", self._summary.locked)
        elif self._summary.why and not self._summary.error:
            log.info("no more is claimed: %s", self._summary.why)

    def _mind_stop(self, stop: Stop, again: Halt) -> None:
        if stop and not self._workers.is_stopping:
            log.info("%s: giving back all items", stop.reason)
            self._workers.stop(stop.reason, stop.since + STOP_SECONDS)
        if again and not self._hurried:
            self._hurried = True
            kill_marked(self._crew.all_marks, limit=LAST_SECONDS)
            self._workers.stop(stop.reason, time.monotonic() + HURRY_SECONDS)

    def _mind_spot_notice(self) -> None:
        """After a Spot notice, stop claiming, and stop running tasks before the machine goes."""
        goes_at = self._spot.taken_away_at() if self._spot else None
        if goes_at is None:
            return
        if not self._shared.draining:
            log.warning("this machine will be taken away in %.0f s", goes_at - time.time())
            self._shared.drain()
        if time.time() >= goes_at - SPARE_SECONDS and not self._workers.is_stopping:
            kill_at = time.monotonic() + STOP_SECONDS
            self._workers.stop("this machine will be taken away", kill_at)

    def _stay_until_taken_away(self, stop: Stop) -> None:
        """After a Spot notice in AWS Batch, keep the container running until the machine goes.

        If the container ended first, Batch would see a job that ended, and not retry it. If the
        machine goes first, the job gets the status reason "Host EC2 (instance i-...) terminated",
        for which a retry strategy can start it again (AWS Batch User Guide, "Automated job
        retries").
        """
        goes_at = self._spot.taken_away_at() if self._spot else None
        if goes_at is None or self._summary.error or not runs_in_batch():
            return
        words = "%s; waiting until this machine is taken away, so that AWS Batch retries the job"
        log.info(words, self._summary)
        stop.wait(goes_at + OVERDUE_SECONDS - time.time())

    def _make_worker(
        self,
        number: int,
        stop: Halt,
        report: Report,
        lost: LostClaim | None,
        quota: Quota,
    ) -> Worker:
        settings = self._settings
        if number == 0:
            self._made_with.ask()
        runner = Runner(
            table=settings.table,
            mark=self._crew.mark(number),
            nests=self._nests,
            walltime=self._walltime,
            count_task=lambda seconds: self._shared.add_task(number, seconds),
            task_timeout=settings.task_timeout,
            keeper=settings.keeper,
        )
        return Worker(
            number=number,
            pilot=self._name,
            table=settings.store.open(
                settings.table,
                worker=number,
                workers=self._crew.size,
                on_damaged=lambda damaged: log.warning("put on hold: %s", damaged),
                stop=stop,
            ),
            runner=runner,
            stop=stop,
            shared=self._shared,
            lost=lost,
            quota=quota,
            report=report,
            lease=settings.lease,
            retries=settings.retries,
            max_attempts=settings.max_attempts,
            made_with=self._made_with.known,
            idle=settings.idle,
        )


@contextmanager
def _child_signals() -> Iterator[int]:
    """Yield a file that becomes readable on every signal, including the death of a child."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, previous)
        os.close(reader)
        os.close(writer)
