"""Measure a pilot's tasks per second, compared with a bare loop that does the least work."""

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
    """The time that a number of tasks took."""

    tasks: int
    seconds: float
    cpu_seconds: float  # of all processes, including the tasks

    @property
    def rate(self) -> float:
        """Tasks per second."""
        return self.tasks / self.seconds

    @property
    def cpu_milliseconds(self) -> float:
        """CPU time per task."""
        return 1000 * self.cpu_seconds / self.tasks


@dataclass(frozen=True)
class Round:
    """The times of a bare loop, and of a pilot right after it."""

    bare: Took
    pilot: Took  # without start and end
    whole: Took  # the pilot including start and end


def single_items(place: Place, *, workers: int, rounds: int, tasks: int) -> list[Round]:
    """Measure a pilot with several workers on single items `true`."""

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
    """Measure a pilot that runs the nested tasks `true` of one item, several at a time."""

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
    """Measure the bare loop, then the pilot.

    A second pilot finds nothing to do in the same table. Its time is that of the start and the end,
    and is subtracted from the first pilot's time.
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
    """Measure a bare loop."""
    command = [sys.executable, "-m", "benchmarks.bare", what, "--tasks", str(tasks), *flags]
    seconds, cpu_seconds = map(float, run(command, place.environment, ROOT).stdout.split())
    return Took(tasks, seconds, cpu_seconds)


def ratio_figure(name: str, what: str, rounds: Sequence[Round], target: Target) -> Figure:
    """Return the figure that compares a pilot's rate with that of the bare loop."""
    rates = {
        "pilot": [each.pilot for each in rounds],
        "including start and end": [each.whole for each in rounds],
        "bare loop": [each.bare for each in rounds],
    }
    beside = ", ".join(
        f"{of} {number(median(took.rate for took in all_))}/s "
        f"({number(median(took.cpu_milliseconds for took in all_))} ms of CPU time per task)"
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
