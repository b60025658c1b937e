"""How many tasks a second a pilot runs, next to what the machine must do for as many."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.figures import Figure, Target, rate_text
from benchmarks.places import Place
from benchmarks.processes import ROOT, run


@dataclass
class Rates:
    """Tasks a second, a value a round."""

    pilot: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)  # of the pilot, its start and end included
    bare: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """What the pilot reaches of the bare loop's rate."""
        return [pilot / bare for pilot, bare in zip(self.pilot, self.bare, strict=True)]


def single_items(place: Place, *, workers: int, rounds: int, tasks: int) -> Rates:
    """Of a pilot with so many workers on single items `true`."""

    def bare() -> float:
        if not place.endpoint:
            return bare_seconds(place, "start", tasks, "--processes", str(workers))
        table = place.fill(tasks)
        flags = ("--processes", str(workers), "--table", table)
        return bare_seconds(place, "update", tasks, *flags)

    flags = ("-i", str(workers))
    return measure(place, flags, lambda: place.fill(tasks), bare, rounds, tasks, done=tasks)


def nested_tasks(place: Place, *, threads: int, rounds: int, tasks: int) -> Rates:
    """Of a pilot that runs an item's nested tasks `true`, so many at a time."""

    def bare() -> float:
        return bare_seconds(place, "start", tasks, "--threads", str(threads))

    def fill() -> str:
        return place.fill_nested("true", [str(number) for number in range(tasks)])

    return measure(place, ("-n", str(threads)), fill, bare, rounds, tasks, done=1)


def measure(
    place: Place,
    flags: tuple[str, ...],
    fill: Callable[[], str],
    bare: Callable[[], float],
    rounds: int,
    tasks: int,
    *,
    done: int,
) -> Rates:
    """Alternate the bare loop and the pilot.

    A pilot that finds nothing to do in the same table takes as long as the other's start and end:
    the rest of that one's time it has worked.
    """
    rates = Rates()
    for _ in range(rounds):
        bare_rate = tasks / bare()
        table = fill()
        whole = place.pilot(table, *flags, done=done).seconds
        idle = place.pilot(table, *flags, done=0).seconds
        rates.bare.append(bare_rate)
        rates.whole.append(tasks / whole)
        rates.pilot.append(tasks / (whole - idle))
    return rates


def bare_seconds(place: Place, what: str, tasks: int, *flags: str) -> float:
    """The seconds that a bare loop takes."""
    command = [sys.executable, "-m", "benchmarks.bare", what, "--tasks", str(tasks), *flags]
    return float(run(command, place.environment, ROOT).stdout)


def ratio_figure(name: str, what: str, rates: Rates, target: Target) -> Figure:
    """A row for a pilot's rate next to the bare loop's."""
    beside = ", ".join(
        (
            rate_text(rates.pilot, "pilot"),
            rate_text(rates.whole, "with its start and end"),
            rate_text(rates.bare, "bare loop"),
        )
    )
    unit = "of the bare loop's rate"
    return Figure(
        name=name, what=what, unit=unit, values=rates.ratios, target=target, beside=beside
    )
