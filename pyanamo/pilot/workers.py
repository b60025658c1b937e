"""A pilot's workers: start them, hear from them, and replace those that died."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait

from pyanamo.model import Claim, Ending, Result
from pyanamo.pilot.marks import CAN_FIND, Crew, hidden_orphans, kill_marked
from pyanamo.pilot.memory import RecentKills
from pyanamo.pilot.pilotlog import about
from pyanamo.pilot.shared import Quota, SharedNumbers
from pyanamo.pilot.shortage import EXIT_CODE, Shortage, tell
from pyanamo.pilot.tally import Tally
from pyanamo.pilot.unrecorded import kept_file
from pyanamo.pilot.walltime import WallTime
from pyanamo.pilot.worker import (
    ItemClaimed,
    ItemEnded,
    LostClaim,
    LostClaimEnded,
    Message,
    NoRoom,
    NothingLeft,
    Report,
    TaskEnded,
    Worker,
)
from pyanamo.pilot.worker_process import WorkerProcess
from pyanamo.signals import Halt

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
KILL_SECONDS = 5.0  # for what a dead worker left; more than a moment only if it can't die
DEATHS_IN_A_ROW = 5  # of workers, without an item between them: something is wrong with us

# How long the place of a worker stays empty if the machine had no room for it: longer each time, as
# each try may take from the others what they need.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
ROOM_SECONDS = 60.0  # how long a pilot waits for room while nothing can be run at all

MakeWorker = Callable[[int, Halt, Report, LostClaim | None, Quota], Worker]


@dataclass
class _Vacancy:
    """The place of a worker that is to be started."""

    lost: LostClaim | None = None  # what the worker before it held
    start_at: float = 0.0  # monotonic clock
    pause: float = FIRST_PAUSE  # before the next try, if there is no room


@dataclass(kw_only=True)
class Workers:
    """The processes of a pilot's workers, by their numbers.

    Nothing here waits for a worker, but for one that has ended.
    """

    table: str  # the workflow table's name
    crew: Crew
    shared: SharedNumbers
    walltime: WallTime
    tally: Tally
    quota: Quota
    make_worker: MakeWorker
    kill_at: float = math.inf  # monotonic clock: when workers are killed that still run
    _processes: dict[int, WorkerProcess] = field(default_factory=dict)
    _vacancies: dict[int, _Vacancy] = field(default_factory=dict)
    _claims: dict[int, Claim] = field(default_factory=dict)  # what each worker holds
    _results: dict[int, dict[str, Result]] = field(default_factory=dict)  # of its nested tasks
    _lost_claims: dict[int, LostClaim] = field(default_factory=dict)  # what each is to give back
    _deaths: int = 0  # since an item has ended
    _memory_kills: RecentKills = field(default_factory=RecentKills)
    _short_since: float = -math.inf  # monotonic clock: since when there has been no room
    _last_short: float = -math.inf  # when a worker last said so
    _shortage: str = ""  # what it said

    def __post_init__(self) -> None:
        self._vacancies = {number: _Vacancy() for number in range(self.crew.size)}

    def __bool__(self) -> bool:
        """Whether a worker runs, or is to be started."""
        return bool(self._processes or self._vacancies)

    @property
    def messages(self) -> list[Connection]:
        """What can be read from when a worker says something, or has ended."""
        return [process.messages for process in self._processes.values()]

    @property
    def pids(self) -> set[int]:
        """The processes that run."""
        return {process.pid for process in self._processes.values()}

    @property
    def next_look(self) -> float:
        """Seconds until `start_due` and `remind` may have something to do."""
        left = self.kill_at - time.monotonic()
        return min(left, LOOK_SECONDS) if left > 0 else LOOK_SECONDS

    @property
    def busy(self) -> list[int]:
        """The numbers of the workers that hold an item."""
        return list(self._claims)

    @property
    def is_stopping(self) -> bool:
        """Whether the workers were told to stop."""
        return self.kill_at < math.inf

    def start_due(self) -> None:
        """Start workers where a place is empty, if the machine has room."""
        self._memory_kills.look()
        now = time.monotonic()
        for number, vacancy in list(self._vacancies.items()):
            if now >= self.kill_at or (vacancy.lost is None and not self._may_claim):
                self._close(number, vacancy)
            elif now >= vacancy.start_at and not self._start(number, vacancy):
                return  # there is no room for the others either

    def fail_if_nothing_ran(self) -> None:
        """At the end: if no task has ended, and there was no room, that is the pilot's error."""
        ran = self.shared.tasks_ended or self.tally.summary.nothing_left
        if self._shortage and not ran and not self.is_stopping and not self.shared.draining:
            self.tally.fail(f"no task could be run: {self._shortage}")

    def stop(self, reason: str, kill_at: float) -> None:
        """Have nothing more claimed, and all given back; kill workers that run at `kill_at`."""
        self.shared.drain()
        self.shared.stop_reason = reason
        self.kill_at = min(kill_at, self.kill_at)
        self.signal(signal.SIGTERM)

    def remind(self) -> None:
        """Tell workers that still run again to stop, or kill them if their time is up.

        A signal that arrives just before a process waits for something doesn't wake it up: Python
        runs the handler only after that.
        """
        if self.is_stopping:
            is_due = time.monotonic() >= self.kill_at
            self.signal(signal.SIGKILL if is_due else signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Send all workers a signal."""
        for process in self._processes.values():
            process.signal(number)

    def hear(self) -> None:
        """Take all that workers have said by now; after a worker's end, have it replaced."""
        while ready := wait(self.messages, timeout=0):
            for process in list(self._processes.values()):
                if process.messages in ready:
                    self._hear(process)

    def _hear(self, process: WorkerProcess) -> None:
        try:
            messages = process.messages.recv()
        except (EOFError, OSError):
            self._bury(process)
            return
        for message in messages:
            self._heed(process, message)

    def _heed(self, process: WorkerProcess, message: Message | str) -> None:
        if isinstance(message, ItemClaimed):
            self._claims[process.number] = message.claim
            self._results[process.number] = {}
        elif isinstance(message, TaskEnded):
            self._results[process.number][message.name] = message.result
        elif isinstance(message, ItemEnded):
            self._count(process, message)
        elif isinstance(message, LostClaimEnded):
            self._lost_claims.pop(process.number, None)
            self.tally.summary.failed += message.is_failed
        elif isinstance(message, NoRoom):
            self._fail_if_stuck(message.reason)
        elif isinstance(message, NothingLeft):
            self.tally.summary.locked = message.locked
            self.tally.summary.nothing_left = True
        else:
            log.error("worker %d can't continue: %s", process.number, message)
            self.tally.fail(message)

    def _count(self, process: WorkerProcess, ended: ItemEnded) -> None:
        """Count the end of what a worker held; if that is one failure too many, claim no more."""
        self._claims.pop(process.number, None)
        self._deaths = 0
        self.tally.count(ended)
        if ended.ending is not Ending.INTERRUPTED:
            self._last_short = -math.inf
        if self.tally.summary.error:
            self.shared.drain()
        if ended.ending is Ending.FAILED:
            process.acknowledge()

    @property
    def _is_over(self) -> bool:
        """Whether no worker is to be replaced, but to give back what the one before it held."""
        return self.is_stopping or bool(self.tally.summary.error)

    @property
    def _may_claim(self) -> bool:
        """Whether a worker that is started now may claim something."""
        ends = self._is_over or self.shared.draining
        return not ends and self.walltime.allows_another()

    def _start(self, number: int, vacancy: _Vacancy) -> bool:
        """Start a worker in an empty place; whether there was room for it."""
        quota = Quota(0) if self._is_over else self.quota

        def make(number: int, stop: Halt, report: Report) -> Worker:
            return self.make_worker(number, stop, report, vacancy.lost, quota)

        try:
            self._processes[number] = WorkerProcess(number, make, self.shared)
        except Shortage as shortage:
            self._pause(vacancy, shortage)
            return False
        del self._vacancies[number]
        if vacancy.lost is not None:
            self._lost_claims[number] = vacancy.lost
        return True

    def _pause(self, vacancy: _Vacancy, shortage: Shortage) -> None:
        """Try again later; give up if nothing has run for long."""
        tell(shortage)
        now = time.monotonic()
        vacancy.start_at = now + vacancy.pause
        vacancy.pause = min(2 * vacancy.pause, LONGEST_PAUSE)
        if not self._processes:
            self._fail_if_stuck(str(shortage))

    def _fail_if_stuck(self, shortage: str) -> None:
        """End the pilot if nothing could be run for long, and nothing is running now."""
        now = time.monotonic()
        if now - self._last_short > 2 * LONGEST_PAUSE:
            self._short_since = now
        self._last_short, self._shortage = now, shortage
        if now - self._short_since >= ROOM_SECONDS and not self._claims:
            self.tally.fail(f"no task could be started for {ROOM_SECONDS:.0f} s: {shortage}")
            self.shared.drain()

    def _close(self, number: int, vacancy: _Vacancy) -> None:
        """Leave a place empty for good."""
        del self._vacancies[number]
        if vacancy.lost is not None:
            self._leave_locked(vacancy.lost.claim)

    def _bury(self, process: WorkerProcess) -> None:
        """A worker has ended: if it did not mean to, end what it left, and have it replaced."""
        code = process.join()
        number = process.number
        del self._processes[number]
        claim = self._claims.pop(number, None)
        lost = self._lost_claims.pop(number, None)
        held = claim if lost is None else lost.claim
        if code == 0 or (held is None and self._is_over):
            for vacancy in self._vacancies.values():
                vacancy.start_at = 0.0  # there is room now
            return
        no_more_tries = lost is not None and bool(self.tally.summary.error)
        if held is not None and (no_more_tries or time.monotonic() >= self.kill_at):
            self.tally.summary.lost += lost is None
            self._leave_locked(held)
            return
        vacancy = _Vacancy(lost=lost)
        if code == EXIT_CODE:
            self._shortage = self._shortage or "see the warning about it"
            vacancy.start_at = time.monotonic() + FIRST_PAUSE
            vacancy.pause = 2 * FIRST_PAUSE
        if code != EXIT_CODE or claim is not None:
            how = self._how_died(code)
            vacancy.lost = lost or self._lost(number, claim, how)
            self._count_death(process, how)
        if vacancy.lost is not None or not self._is_over:
            self._vacancies[number] = vacancy

    def _count_death(self, process: WorkerProcess, how: str) -> None:
        """Tell of a worker that died; too many of them in a row are the pilot's error."""
        self._deaths += 1
        if self._deaths >= DEATHS_IN_A_ROW:
            self.tally.fail(f"{self._deaths} workers in a row died; the last one {how}")
            self.shared.drain()
        if not self._is_over:
            words = "worker %d (pid %d) %s: starting another one"
            log.warning(words, process.number, process.pid, how)

    def _leave_locked(self, claim: Claim) -> None:
        """Tell what could not be given back in time."""
        file = kept_file(self.table, claim)
        results = f"; the results are in {file}" if file else ""
        words = "not given back in time, locked until its lease expires%s"
        log.error(words, results, extra=about(claim.item))

    def _how_died(self, code: int) -> str:
        """How a worker with that exit code has died, as the rest of a sentence."""
        if code >= 0:
            return f"ended with exit code {code}"
        for_memory = -code == signal.SIGKILL and self._memory_kills
        return f"was killed by signal {-code}{', out of memory' if for_memory else ''}"

    def _lost(self, number: int, claim: Claim | None, how: str) -> LostClaim | None:
        """End what a dead worker's tasks have left; the claim that may be given back then."""
        marks = self.crew.marks_of(number)
        limit = min(KILL_SECONDS, self.kill_at - time.monotonic()) / 2
        # Twice: a task that was just being started has its mark a moment later.
        is_ended = kill_marked(marks, limit=limit) and kill_marked(marks, limit=limit)
        if hidden := hidden_orphans(self.pids):
            pids = ", ".join(map(str, hidden))
            words = (
                "worker %d's item stays locked until its lease expires: a process that PyAnamo "
                "may not look into may still work on it (pid %s)"
            )
            log.warning(words, number, pids)
            is_ended = False
        if claim is not None or self.shared.deadline(number):
            self.tally.summary.lost += 1
        self.shared.set_deadline(number, 0.0)
        if claim is None or not (CAN_FIND and is_ended):
            return None
        reason = f"the worker died while running it ({how.removeprefix('was ')})"
        return LostClaim(claim=claim, reason=reason, results=self._results.pop(number))
