"""Pilots that are killed, stopped and frozen at random while they work, and what must hold.

`tests/slow/test_chaos.py` runs a short round; `make chaos MINUTES=30` runs long ones until the time
is over.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from pyanamo.model import Ending, Item, ItemState, TaskStatus
from tests.support.pilots import PilotProcess
from tests.support.place import Place
from tests.support.processes import processes

PILOTS = 6
TASKS = 4  # of a nested item
FLAGS = ["-i", "2", "-n", "2", "--idle", "60", "-q"]
FLAGS += ["--max-attempts", "1000", "--max-failures-in-a-row", "0"]
STARVED_SECONDS = (0.5, 8.0)
FEW_FILES = 10  # fewer than a worker has open
LIMIT_SECONDS = 100.0  # for a round
LONGEST_HISTORY = 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a round is."""

    singles: int  # single items
    nested: int  # nested items, of `TASKS` tasks each
    trouble: float  # seconds, then pilots are left alone
    lease: int  # seconds
    hasty: bool


SHORT = Size(singles=70, nested=20, trouble=10.0, lease=6, hasty=True)
LONG = Size(singles=150, nested=50, trouble=22.0, lease=10, hasty=False)

# A task holds a lock as long as it, or a child of it, lives; every fourth has one that hides.
SCRIPT = """
exec 9> lock.$id
flock --nonblock 9 || echo "$id, attempt $PYANAMO_ATTEMPT" >> overlaps
echo $PYANAMO_ITEM_ID $PYANAMO_TASK $EPOCHREALTIME >> starts
[ $((RANDOM % 4)) = 0 ] && setsid --fork sleep 20
[ $((RANDOM % 8)) = 0 ] && trap '' TERM
sleep $1
"""

TaskName = tuple[str, str]  # the item's name and the task's


@dataclass
class Round:
    """Pilots in a place, and somebody who ends them."""

    place: Place
    seed: int
    size: Size
    events: Counter[str] = field(default_factory=Counter)
    recorded: dict[TaskName, tuple[str, float]] = field(default_factory=dict)
    _frozen: list[tuple[float, list[int]]] = field(default_factory=list)  # until when
    _starved: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def run(self) -> str:
        """Cause trouble for a while, wait until all items are done, and check. What was seen.

        Fails if something doesn't hold, or not all items are done after `LIMIT_SECONDS`.
        """
        self._fill()
        started = time.monotonic()
        next_event = started + 2.0
        while not self._all_done():
            now = time.monotonic()
            if now - started > LIMIT_SECONDS:
                raise AssertionError(f"after {LIMIT_SECONDS:g} s not all items are done: {self}")
            self._thaw(now)
            self._feed(now)
            self._man()
            if now >= next_event and now - started < self.size.trouble:
                self._cause_trouble()
                next_event = now + self._random.uniform(0.5, 1.5)
            self._observe()
            time.sleep(0.1)
        self._end_all()
        check_no_overlap(self.place)
        check_nothing_recorded_ran_again(self.place, self.recorded)
        items = self.place.items().values()
        for item in items:
            check_history(item, self.size.lease)
        check_starts(items, starts(self.place))
        return self._seen(items, time.monotonic() - started)

    def _fill(self) -> None:
        def command() -> str:
            return f"./task.sh {self._random.uniform(0.2, 2.0):.2f}"

        self.place.script("task.sh", SCRIPT)
        self.place.fill({f"single{n:03}": command() for n in range(self.size.singles)})
        self.place.fill(
            {f"nested{n:02}": [command() for _ in range(TASKS)] for n in range(self.size.nested)}
        )

    def _all_done(self) -> bool:
        rows = self.place.table.summaries(ItemState.DONE)
        return sum(1 for _ in rows) == self.size.singles + self.size.nested

    # --- Trouble --------------------------------------------------------------------------------

    @property
    def _awake(self) -> list[PilotProcess]:
        frozen = {pid for _, pids in self._frozen for pid in pids}
        return [p for p in self.place.pilots if p.is_running and p.pid not in frozen]

    def _man(self) -> None:
        """Replace the pilots that have gone."""
        for _ in range(PILOTS - len(self._awake)):
            self.place.start(*FLAGS, "--lease", f"{self.size.lease}s", hasty=self.size.hasty)

    def _cause_trouble(self) -> None:
        events: dict[str, Callable[[PilotProcess], None]] = {
            "pilots killed": lambda pilot: pilot.signal(signal.SIGKILL),
            "pilots killed with their workers": lambda pilot: pilot.signal_all(signal.SIGKILL),
            "pilots stopped": lambda pilot: pilot.signal(signal.SIGTERM),
            "pilots frozen": self._freeze_pilot,
            "workers killed": self._kill_worker,
            "workers frozen": self._freeze_worker,
            "workers told to stop": self._terminate_worker,
            "all told to stop at once": self._terminate_all,
            "workers short of files": self._starve_worker,
        }
        name = self._random.choice(list(events))
        with suppress(ProcessLookupError):  # it has ended just now
            events[name](self._random.choice(self._awake))
            self.events[name] += 1

    def _kill_worker(self, pilot: PilotProcess) -> None:
        os.kill(self._a_worker(pilot), signal.SIGKILL)

    def _terminate_worker(self, pilot: PilotProcess) -> None:
        """The pilot has not ordered it, so that the worker dies of it."""
        os.kill(self._a_worker(pilot), signal.SIGTERM)

    def _terminate_all(self, pilot: PilotProcess) -> None:
        """Signal the pilot, its workers and their tasks, as systemd or a machine's end does."""
        workers = set(pilot.workers)
        tasks = [process.pid for process in processes() if process.parent in workers]
        for pid in (*tasks, *workers, pilot.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _starve_worker(self, pilot: PilotProcess) -> None:
        """Let a worker open no more files, until it ends for it or can go on."""
        worker = self._a_worker(pilot)
        _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (FEW_FILES, hard))
        self._starved.append((time.monotonic() + self._random.uniform(*STARVED_SECONDS), worker))

    def _feed(self, now: float) -> None:
        for until, worker in [entry for entry in self._starved if entry[0] <= now]:
            self._starved.remove((until, worker))
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
                resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))

    def _freeze_worker(self, pilot: PilotProcess) -> None:
        self._freeze([self._a_worker(pilot)])

    def _freeze_pilot(self, pilot: PilotProcess) -> None:
        self._freeze([pilot.pid, *pilot.workers])

    def _a_worker(self, pilot: PilotProcess) -> int:
        workers = pilot.workers
        if not workers:
            raise ProcessLookupError
        return self._random.choice(workers)

    def _freeze(self, pids: list[int]) -> None:
        longer_than_a_lease = self.size.lease + self._random.uniform(1, 4)
        until = time.monotonic() + longer_than_a_lease
        self._frozen.append((until, pids))
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    def _thaw(self, now: float) -> None:
        for until, pids in [entry for entry in self._frozen if entry[0] <= now]:
            self._frozen.remove((until, pids))
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _end_all(self) -> None:
        self._thaw(time.monotonic() + 1000)
        self._feed(time.monotonic() + 1000)
        for pilot in self.place.pilots:
            pilot.signal(signal.SIGTERM)
        for pilot in self.place.pilots:
            pilot.wait(25)
            assert "Traceback" not in pilot.stderr, pilot.stderr
        self.place.wait_for_no_process(10)

    # --- What is seen meanwhile -----------------------------------------------------------------

    def _observe(self) -> None:
        """Note which nested tasks are recorded as done, while their items are still worked on."""
        rows = self.place.table.summaries(ItemState.LOCKED, ItemState.TODO)
        for row in [row for row in rows if row.nested_done]:
            item = self.place.item(row.item_id)
            now = time.time()
            for task in item.tasks:
                if task.status is TaskStatus.DONE:
                    start_date = item.results[task.name].start_date
                    self.recorded.setdefault((item.item_id, task.name), (start_date, now))

    def _seen(self, items: Iterable[Item], seconds: float) -> str:
        endings = Counter(past.ending.value for item in items for past in item.history)
        tasks = self.size.singles + self.size.nested * TASKS
        return (
            f"seed {self.seed}: {seconds:.0f} s; {dict(self.events)}; attempts {dict(endings)}; "
            f"{len(starts(self.place))} starts of {tasks} tasks, "
            f"{len(self.recorded)} nested results seen early"
        )


# --- What must hold -----------------------------------------------------------------------------


def starts(place: Place) -> list[tuple[TaskName, float]]:
    """Each start of a task, and when it was (epoch seconds)."""
    lines = (line.split() for line in place.lines("starts"))
    return [((item, task), float(when)) for item, task, when in lines]


def check_no_overlap(place: Place) -> None:
    """No task was started while another process of it was alive."""
    assert place.lines("overlaps") == []


def check_nothing_recorded_ran_again(
    place: Place, recorded: dict[TaskName, tuple[str, float]]
) -> None:
    """Once a task was recorded as done, its result stays, and it is never started again."""
    for (item_id, task), (start_date, _) in recorded.items():
        assert place.item(item_id).results[task].start_date == start_date, (item_id, task)
    late = [
        (task, when)
        for task, when in starts(place)
        if task in recorded and when > recorded[task][1]
    ]
    assert late == []


def check_history(item: Item, lease: float) -> None:
    """One holder after the other, each with its own token; and the attempts add up."""
    assert item.state is ItemState.DONE, item
    assert [result.status for result in item.results.values()] == [TaskStatus.DONE] * len(
        item.tasks
    )
    assert (item.token, item.exit_code, item.lease_expires) == ("", 0, None), item
    *before, last = item.history
    assert last.ending is Ending.DONE, item
    assert {past.ending for past in before} <= {Ending.INTERRUPTED, Ending.LOST}, item
    assert len({past.token for past in item.history}) == len(item.history), item
    for past, following in zip(before, item.history[1:], strict=True):
        assert past.lock_date <= past.end_date <= following.lock_date, item
        spent = past.ending is Ending.LOST
        at_once = past.reason.startswith("the worker died")  # by its pilot, which lives
        assert following.attempt == past.attempt + spent, item
        assert following.times_lost == past.times_lost + (following.ending is Ending.LOST), item
        if spent and not at_once:
            assert _epoch(past.end_date) - _epoch(past.lock_date) >= lease - 1, item
    assert item.attempts == last.attempt == last.times_lost + 1, item
    if len(item.history) < LONGEST_HISTORY:
        lost = [past for past in item.history if past.ending is Ending.LOST]
        assert item.attempts == len(lost) + 1, item


def check_starts(items: Iterable[Item], starts: list[tuple[TaskName, float]]) -> None:
    """Whatever was started was started by a holder: at most once in each claim, and during it."""
    by_task: dict[TaskName, list[float]] = {}
    for name, when in sorted(starts, key=lambda start: start[1]):
        by_task.setdefault(name, []).append(when)
    for item in items:
        whole = len(item.history) < LONGEST_HISTORY
        for task in item.tasks:
            times = by_task[item.item_id, task.name]
            claims = [(_epoch(past.lock_date), _epoch(past.end_date)) for past in item.history]
            for when in times if whole else ():
                # Dates are whole seconds, and a task tells of its start a moment after it.
                assert any(start <= when < end + 2 for start, end in claims), (item, times)
            assert not whole or len(times) <= len(claims), (item, times)
            started = _epoch(item.results[task.name].start_date)
            assert abs(times[-1] - started) < 3, "the last start is the one that was recorded"


def _epoch(date: str) -> float:
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()
