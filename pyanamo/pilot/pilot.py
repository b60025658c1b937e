"""The pilot: starts workers, handles signals and dead workers, and counts the outcomes."""

from __future__ import annotations

import gc
import logging
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait

from pyanamo.errors import PyAnamoError
from pyanamo.identity import pilot_name, runs_in_batch
from pyanamo.model import Claim, Ending
from pyanamo.output.keeper import Keeper
from pyanamo.pilot.command import GRACE_SECONDS
from pyanamo.pilot.guardian import Guardian
from pyanamo.pilot.marks import (
    CAN_FIND,
    Crew,
    adopt_orphans,
    hidden_orphans,
    kill_marked,
    reap_adopted,
)
from pyanamo.pilot.memory import RecentKills
from pyanamo.pilot.pilotlog import about
from pyanamo.pilot.runner import Runner
from pyanamo.pilot.shared import Quota, SharedNumbers
from pyanamo.pilot.spot import SPARE_SECONDS, SpotNotice
from pyanamo.pilot.tally import Summary, Tally
from pyanamo.pilot.unrecorded import kept_file
from pyanamo.pilot.walltime import WallTime
from pyanamo.pilot.worker import ItemClaimed, ItemEnded, ItemGivenUp, LostClaim, Report, Worker
from pyanamo.pilot.worker_process import WorkerProcess
from pyanamo.signals import Halt, Stop, stop_signals
from pyanamo.tables import Store

log = logging.getLogger(__name__)

# A container gets 30 s between SIGTERM and SIGKILL. Tasks have GRACE_SECONDS of them to end;
# workers have the next 8 s to record results and to release items.
STOP_SECONDS = GRACE_SECONDS + 8.0
HURRY_SECONDS = 3.0  # the same time after a second signal
OVERDUE_SECONDS = 600.0  # how long after the announced time we still wait for the machine's end
KILL_SECONDS = 5.0  # time limit for killing what a dead worker left behind
DEATHS_IN_A_ROW = 5  # give up after 5 dead workers without an ended item in between


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
    """Runs the items of a table with several workers, each in its own process."""

    def __init__(self, settings: Settings, *, started: float | None = None) -> None:
        """The wall time counts from `started` (monotonic clock; default: now)."""
        self._settings = settings
        self._started = time.monotonic() if started is None else started
        self._name = pilot_name()
        self._shared = SharedNumbers(settings.items)
        self._quota = Quota(settings.max_items)
        self._crew = Crew(settings.items)
        self._walltime = WallTime(
            settings.wall_time,
            settings.kill_after,
            self._shared.mean_task_seconds,
            started=self._started,
        )
        self._guardian = Guardian(self._shared, self._crew)
        self._spot = SpotNotice() if settings.spot_notice else None
        self._workers: dict[int, WorkerProcess] = {}
        self._claims: dict[int, Claim] = {}  # the claim that each worker holds, by worker number
        self._tally = Tally(settings.max_failures_in_a_row)
        self._summary = self._tally.summary
        self._deaths = 0  # of workers, since the last item ended
        self._memory_kills = RecentKills()
        self._kill_workers_at: float | None = None  # None unless we are stopping
        self._hurried = False  # whether a second stop signal came

    def run(self) -> Summary:
        """Work until no items or no time is left, or until a stop signal; return the counts.

        Raises `PyAnamoError` if the table or the log store can't be used.
        """
        self._check_stores()
        gc.freeze()  # keeps workers' garbage collector from copying memory shared with us
        if not CAN_FIND:
            log.warning("no /proc here: if this pilot is killed (SIGKILL), its tasks keep running")
        adopt_orphans()
        self._guardian.start()
        again = Halt()
        try:
            with stop_signals(grace=GRACE_SECONDS, again=again) as stop, _child_signals() as wake:
                for number in range(self._settings.items):
                    self._start_worker(number)
                while self._workers:
                    self._wait_for_news(stop, again, wake)
                self._summary.seconds = time.monotonic() - self._started
                self._stay_until_taken_away(stop)
                self._summary.stopped_by = stop.signal
        finally:
            self._guardian.end()
            again.close()
        return self._summary

    def _check_stores(self) -> None:
        """Check the table and the log store now, so that a mistyped name is found at the start."""
        table = self._settings.store.open(self._settings.table)
        try:
            table.check()
        finally:
            table.close()  # before forking: workers must not share the connection
        if self._settings.keeper.store is not None:
            self._settings.keeper.store.check(self._settings.table)

    def _wait_for_news(self, stop: Stop, again: Halt, wake: int) -> None:
        """Wait at most a second for an event, and handle it."""
        workers = {worker.messages: worker for worker in self._workers.values()}
        for source in wait([*workers, wake], timeout=1.0):
            if isinstance(source, Connection):
                self._hear(workers[source], stop)
            else:
                os.read(wake, 4096)
        reap_adopted(self._own_processes)
        self._guardian.restart_if_dead()
        self._memory_kills.look()
        self._mind_spot_notice()
        self._mind_stop(stop, again)

    @property
    def _own_processes(self) -> set[int]:
        return {worker.pid for worker in self._workers.values()} | {self._guardian.pid}

    def _mind_stop(self, stop: Stop, again: Halt) -> None:
        if stop and self._kill_workers_at is None:
            log.info("%s: giving back the items in progress", stop.reason)
            self._shared.stop_reason = stop.reason
            self._stop_workers(STOP_SECONDS)
        if again and not self._hurried:
            self._hurried = True
            kill_marked(self._crew.all_marks)
            self._stop_workers(HURRY_SECONDS)
        if self._seconds_left <= 0:
            for worker in self._workers.values():
                worker.signal(signal.SIGKILL)

    def _stop_workers(self, seconds: float) -> None:
        self._shared.drain()
        until = time.monotonic() + seconds
        self._kill_workers_at = min(until, self._kill_workers_at or until)
        for worker in self._workers.values():
            worker.signal(signal.SIGTERM)

    def _mind_spot_notice(self) -> None:
        """After a Spot notice, stop claiming, and stop running tasks before the machine goes."""
        goes_at = self._spot.taken_away_at() if self._spot else None
        if goes_at is None:
            return
        if not self._shared.draining:
            log.warning("this machine is to be taken away in %.0f s", goes_at - time.time())
            self._shared.drain()
        if time.time() >= goes_at - SPARE_SECONDS and self._kill_workers_at is None:
            self._shared.stop_reason = "this machine is to be taken away"
            self._stop_workers(STOP_SECONDS)

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
        log.info("%s; staying until this machine goes, so that AWS Batch retries", self._summary)
        stop.wait(goes_at + OVERDUE_SECONDS - time.time())

    def _hear(self, worker: WorkerProcess, stop: Stop) -> None:
        """Handle a message from a worker, or its end."""
        try:
            message = worker.messages.recv()
        except (EOFError, OSError):
            self._bury(worker, stop)
            return
        if isinstance(message, ItemClaimed):
            self._claims[worker.number] = message.claim
        elif isinstance(message, ItemEnded):
            self._count(worker, message)
        elif isinstance(message, ItemGivenUp):
            self._summary.failed += 1
        else:
            self._tally.fail(message)

    def _count(self, worker: WorkerProcess, ended: ItemEnded) -> None:
        """Count an ended attempt, and stop claiming after too many failures in a row."""
        del self._claims[worker.number]
        self._deaths = 0
        self._tally.count(ended)
        if self._summary.error:
            self._shared.drain()
        if ended.ending is Ending.FAILED:
            worker.acknowledge()

    def _bury(self, worker: WorkerProcess, stop: Stop) -> None:
        """Handle the end of a worker: if it died, kill what it left behind, and replace it.

        If the pilot is stopping, a new worker is started only to give back the dead one's item.
        """
        code = worker.join()
        del self._workers[worker.number]
        claim = self._claims.pop(worker.number, None)
        if claim is not None and self._seconds_left <= 0:
            self._leave_locked(claim)
        is_over = bool(self._summary.error) or self._kill_workers_at is not None
        if code == 0 or (is_over and claim is None) or self._seconds_left <= 0:
            return
        how = self._how_died(code)
        lost = self._lost(worker.number, claim, how)
        self._deaths += 1
        if self._deaths >= DEATHS_IN_A_ROW and not is_over:
            self._tally.fail(f"{self._deaths} workers in a row died; the last one {how}")
            self._shared.drain()
        elif not (stop or is_over):
            log.warning("worker %d (pid %d) %s: replaced", worker.number, worker.pid, how)
            self._start_worker(worker.number, lost=lost)
            return
        if lost is not None:
            with suppress(PyAnamoError, OSError):  # the item stays locked until its lease expires
                self._start_worker(worker.number, lost=lost, quota=Quota(0))

    def _leave_locked(self, claim: Claim) -> None:
        """Log the item of a worker that was killed because it didn't stop in time."""
        self._summary.lost += 1
        file = kept_file(self._settings.table, claim)
        results = f"; the results are in {file}" if file else ""
        words = "not given back in time: it stays locked until its lease expires%s"
        log.error(words, results, extra=about(claim.item))

    def _how_died(self, code: int) -> str:
        """Return how a worker with this exit code died, as the end of a sentence."""
        if code > 0:
            return f"ended with exit code {code}"
        for_memory = -code == signal.SIGKILL and self._memory_kills
        return f"was killed by signal {-code}{', out of memory' if for_memory else ''}"

    def _lost(self, worker: int, claim: Claim | None, how: str) -> LostClaim | None:
        """Kill a dead worker's tasks, and return its claim if nothing of them can still run."""
        marks = self._crew.marks_of(worker)
        limit = min(KILL_SECONDS, self._seconds_left)
        # Twice, because a task that was just being started gets its mark a moment later.
        is_ended = kill_marked(marks, limit=limit) and kill_marked(marks, limit=limit)
        if hidden := hidden_orphans(self._own_processes):
            pids = ", ".join(map(str, hidden))
            words = "worker %d: its item is not given back, since its task may still run (pid %s)"
            log.warning(words, worker, pids)
            is_ended = False
        if claim is not None or self._shared.deadline(worker):
            self._summary.lost += 1
        self._shared.set_deadline(worker, 0.0)
        if claim is None or not (CAN_FIND and is_ended):
            return None
        reason = f"the worker died while running it ({how.removeprefix('was ')})"
        return LostClaim(claim=claim, reason=reason)

    @property
    def _seconds_left(self) -> float:
        """Seconds until workers that still run are killed; infinity unless we are stopping."""
        kill_at = self._kill_workers_at
        return math.inf if kill_at is None else kill_at - time.monotonic()

    def _start_worker(
        self, number: int, *, lost: LostClaim | None = None, quota: Quota | None = None
    ) -> None:
        """Start a worker. It first gives back `lost`; `quota` replaces the shared quota."""
        make_worker = partial(self._make_worker, lost=lost, quota=quota or self._quota)
        self._workers[number] = WorkerProcess(number, make_worker, self._shared)

    def _make_worker(
        self,
        number: int,
        stop: Stop,
        report: Report,
        *,
        lost: LostClaim | None,
        quota: Quota,
    ) -> Worker:
        settings = self._settings
        runner = Runner(
            table=settings.table,
            mark=self._crew.mark(number),
            nests=settings.nests,
            walltime=self._walltime,
            count_task=lambda seconds: self._shared.add_task(number, seconds),
            task_timeout=settings.task_timeout,
            keeper=settings.keeper,
        )
        return Worker(
            number=number,
            pilot=self._name,
            table=settings.store.open(settings.table, worker=number, workers=settings.items),
            runner=runner,
            stop=stop,
            shared=self._shared,
            lost=lost,
            quota=quota,
            report=report,
            lease=settings.lease,
            retries=settings.retries,
            max_attempts=settings.max_attempts,
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
