"""How many tasks a second a pilot runs, next to what the machine must do for as many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure, Target, number
from benchmarks.places import Place
from benchmarks.processes import ROOT, run


@dataclass(frozen=True)
class Took:
    """What some tasks took."""

    tasks: int
    seconds: float
    cpu_seconds: float  # of all processes, the tasks' own included

    @property
    def rate(self) -> float:
        """Tasks a second."""
        return self.tasks / self.seconds

    @property
    def cpu_milliseconds(self) -> float:
        """Processor time a task."""
        return 1000 * self.cpu_seconds / self.tasks


@dataclass(frozen=True)
class Round:
    """A bare loop and a pilot, one right after the other."""

    bare: Took
    pilot: Took  # the time that it worked
    whole: Took  # its start and end included


def single_items(place: Place, *, workers: int, rounds: int, tasks: int) -> list[Round]:
    """A pilot with so many workers on single items `true`."""

    def bare_loop() -> Took:
        processes = ("--processes", str(workers))
        if not place.endpoint:
            return bare(place, "start", tasks, *processes)
        return bare(place, "update", tasks, *processes, "--table", place.fill(tasks))

    def fill() -> str:
        return place.fill(tasks)

    flags = ("-i", str(workers))
    return [one_round(place, bare_loop, fill, flags, tasks, done=tasks) for _ in range(rounds)]


def nested_tasks(place: Place, *, threads: int, rounds: int, tasks: int) -> list[Round]:
    """A pilot that runs an item's nested tasks `true`, so many at a time."""

    def bare_loop() -> Took:
        return bare(place, "start", tasks, "--threads", str(threads))

    def fill() -> str:
        return place.fill_nested("true", [str(number) for number in range(tasks)])

    flags = ("-n", str(threads))
    return [one_round(place, bare_loop, fill, flags, tasks, done=1) for _ in range(rounds)]


def one_round(
    place: Place,
    bare_loop: Callable[[], Took],
    fill: Callable[[], str],
    flags: Sequence[str],
    tasks: int,
    *,
    done: int,
) -> Round:
    """The bare loop, then the pilot.

    A pilot that finds nothing to do in the same table takes as long as the other's start and end:
    the rest of that one's time it has worked.
    """
    beside = bare_loop()
    table = fill()
    whole = place.pilot(table, *flags, done=done)
    idle = place.pilot(table, *flags, done=0)
    return Round(
        bare=beside,
        pilot=Took(tasks, whole.seconds - idle.seconds, whole.cpu_seconds - idle.cpu_seconds),
        whole=Took(tasks, whole.seconds, whole.cpu_seconds),
    )


def bare(place: Place, what: str, tasks: int, *flags: str) -> Took:
    """What a bare loop takes."""
    command = [sys.executable, "-m", "benchmarks.bare", what, "--tasks", str(tasks), *flags]
    seconds, cpu_seconds = map(float, run(command, place.environment, ROOT).stdout.split())
    return Took(tasks, seconds, cpu_seconds)


def ratio_figure(name: str, what: str, rounds: Sequence[Round], target: Target) -> Figure:
    """A row for a pilot's rate next to the bare loop's."""
    rates = {
        "pilot": [each.pilot for each in rounds],
        "with its start and end": [each.whole for each in rounds],
        "bare loop": [each.bare for each in rounds],
    }
    beside = ", ".join(
        f"{of} {number(median(took.rate for took in all_))}/s "
        f"({number(median(took.cpu_milliseconds for took in all_))} ms of processor time a task)"
        for of, all_ in rates.items()
    )
    return Figure(
        name=name,
        what=what,
        unit="of the bare loop's rate",
        values=[each.pilot.rate / each.bare.rate for each in rounds],
        target=target,
        beside=beside,
    )
