"""Measure PyAnamo's performance, compared with what the machine allows.

    python -m benchmarks.bench           update benchmarks/results.json and benchmarks/README.md
    python -m benchmarks.bench --quick   measure less, print only, and check the counts
    python -m benchmarks.bench --only rate-single --only memory

DynamoDB Local needs Java and npm, as for `make test`. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    backlog,
    conflicts,
    costs,
    footprint,
    imports,
    machine,
    overviews,
    rates,
    report,
    simulated,
)
from benchmarks.figures import Figure, at_least
from benchmarks.places import Place, places
from tests.support.dynamodb_fetch import DynamoDBLocalError

HERE = Path(__file__).parent
BUSY = 0.5  # load average of the last minute
BUSY_WARNING = "Other processes kept this machine busy: times and their ratios are unreliable."
MEASURES = (
    "rate-single",
    "rate-nested",
    "rate-dynamodb",
    "requests",
    "import",
    "start",
    "memory",
    "looks",
    "backlog",
    "conflicts",
    "overviews",
    "simulation",
)


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured."""

    rounds: int
    tasks: int  # for the rates
    dynamodb_rounds: int
    dynamodb_tasks: int
    looks_seconds: float
    import_rows: int
    batch_writer_rows: int
    backlog: Sequence[int]
    backlog_rounds: int
    pilots: int
    drained: int
    most_conflicts: float  # percent
    nested: Sequence[tuple[int, int]]  # the tasks of nested items, and how many run at a time
    simulations: Sequence[Sequence[str]]  # arguments for the command line of the simulation
    overview_items: int = 0  # 0: none are measured
    idle_seconds: int = 0  # the same


FULL = Amounts(
    rounds=7,
    tasks=1000,
    dynamodb_rounds=4,
    dynamodb_tasks=1000,
    looks_seconds=60,
    import_rows=100_000,
    batch_writer_rows=15_000,
    backlog=(100, 1000, 10_000, 100_000),
    backlog_rounds=9,
    pilots=100,
    drained=10_000,
    most_conflicts=5,
    nested=((25, 5), (100, 10), (300, 20), (900, 30)),
    simulations=((), ("--items", "10000", "--tasks", "100", "-n", "4", "--task-seconds", "60")),
    overview_items=200_000,
    idle_seconds=60,
)
QUICK = Amounts(
    rounds=1,
    tasks=500,
    dynamodb_rounds=1,
    dynamodb_tasks=100,
    looks_seconds=5,
    import_rows=1000,
    batch_writer_rows=500,
    backlog=(100, 1000),
    backlog_rounds=1,
    pilots=10,
    drained=1000,
    most_conflicts=15,  # most conflicts are at the end, a large part of so short a list
    nested=((25, 5),),
    simulations=(("--pilots", "200", "--items", "10000", "--task-seconds", "60"),),
)


@dataclass(frozen=True)
class Bench:
    """The measurements, with their amounts and their tables."""

    amounts: Amounts
    embedded: Place
    dynamodb: Place

    def rate_single(self) -> Iterator[Figure]:
        """Measure the rate of single items in an embedded table."""
        tasks = self.amounts.tasks
        found = rates.single_items(
            self.embedded, workers=2, rounds=self.amounts.rounds, tasks=tasks
        )
        what = f"rate of {tasks:,} single items `true`, embedded, `-i 2`"
        yield rates.ratio_figure("rate_single", what, found, at_least(0.5))

    def rate_nested(self) -> Iterator[Figure]:
        """Measure the rate of nested tasks in an embedded table."""
        tasks = self.amounts.tasks
        found = rates.nested_tasks(
            self.embedded, threads=2, rounds=self.amounts.rounds, tasks=tasks
        )
        what = f"rate of an item of {tasks:,} nested tasks `true`, embedded, `-n 2`"
        yield rates.ratio_figure("rate_nested", what, found, at_least(0.5))

    def rate_dynamodb(self) -> Iterator[Figure]:
        """Measure the rate of single items in DynamoDB Local."""
        tasks, rounds = self.amounts.dynamodb_tasks, self.amounts.dynamodb_rounds
        found = rates.single_items(self.dynamodb, workers=4, rounds=rounds, tasks=tasks)
        what = f"rate of {tasks:,} single items `true`, DynamoDB Local, `-i 4`"
        yield rates.ratio_figure("rate_dynamodb", what, found, at_least(0.9))

    def requests(self) -> Iterator[Figure]:
        """Count requests and capacity units per item."""
        yield costs.single_items(self.dynamodb, items=500, workers=4)
        yield costs.nested_item(self.dynamodb)
        for tasks, nests in self.amounts.nested:
            for printed in (0, 900):
                yield costs.nested_units(self.dynamodb, tasks, nests, printed)
        yield from costs.units(self.dynamodb, items=20)
        if self.amounts.idle_seconds:
            seconds = self.amounts.idle_seconds
            yield costs.idle_pilot(self.dynamodb, items=100, kilobytes=300, seconds=seconds)

    def imports(self) -> Iterator[Figure]:
        """Measure an import."""
        yield from imports.import_rows(
            self.dynamodb, self.amounts.import_rows, self.amounts.batch_writer_rows
        )

    def start(self) -> Iterator[Figure]:
        """Measure the start of a pilot."""
        for place in (self.embedded, self.dynamodb):
            yield footprint.start_up(place, self.amounts.rounds)

    def memory(self) -> Iterator[Figure]:
        """Measure the memory of a pilot."""
        for place in (self.embedded, self.dynamodb):
            yield footprint.memory(place, 3 if self.amounts.rounds > 1 else 1)

    def looks(self) -> Iterator[Figure]:
        """Measure what it costs to look at the memory of tasks."""
        yield footprint.looks(self.embedded, self.amounts.looks_seconds)

    def backlog(self) -> Iterator[Figure]:
        """Measure claims from long and short backlogs."""
        sizes, rounds = self.amounts.backlog, self.amounts.backlog_rounds
        # The embedded table is ten times faster, so it gets more rounds.
        for place, more in ((self.embedded, 5), (self.dynamodb, 1)):
            yield from backlog.claims(place, sizes, more * rounds)

    def conflicts(self) -> Iterator[Figure]:
        """Count conflicts between many pilots on one table."""
        amounts = self.amounts
        most = amounts.most_conflicts
        yield conflicts.drain(self.dynamodb, amounts.pilots, amounts.drained, most)

    def overviews(self) -> Iterator[Figure]:
        """Measure overviews of a large table."""
        if self.amounts.overview_items:
            yield from overviews.overviews(self.dynamodb, self.amounts.overview_items, rounds=3)

    def simulation(self) -> Iterator[Figure]:
        """Simulate a large cluster."""
        for arguments in self.amounts.simulations:
            yield from simulated.clusters(arguments)

    @property
    def measures(self) -> dict[str, Callable[[], Iterator[Figure]]]:
        """All measurements, by their names for `--only`."""
        functions = (
            self.rate_single,
            self.rate_nested,
            self.rate_dynamodb,
            self.requests,
            self.imports,
            self.start,
            self.memory,
            self.looks,
            self.backlog,
            self.conflicts,
            self.overviews,
            self.simulation,
        )
        return dict(zip(MEASURES, functions, strict=True))


def measure(amounts: Amounts, only: Sequence[str]) -> list[Figure]:
    """Run the measurements, and print each figure on stderr as soon as it is known."""
    figures: list[Figure] = []
    with places() as (embedded, dynamodb):
        for name, figures_of in Bench(amounts, embedded, dynamodb).measures.items():
            if only and name not in only:
                continue
            started = time.monotonic()
            for figure in figures_of():
                figures.append(figure)
                tell("; ".join(filter(None, report.row(figure))))
            tell(f"({name}: {time.monotonic() - started:.0f} s)")
    return figures


def missed_counts(figures: Sequence[Figure]) -> list[Figure]:
    """Return the counts that miss their target. Counts don't depend on the machine."""
    return [figure for figure in figures if figure.is_count and figure.is_met is False]


def tell(text: str) -> None:
    """Print a progress message on stderr."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure PyAnamo's performance.")
    parser.add_argument(
        "--quick", action="store_true", help="measure less, print only, and check the counts"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        choices=MEASURES,
        help="run only this measurement (can be repeated)",
    )
    return parser.parse_args()


def main() -> int:
    """Measure; return 1 on errors, or if a quick run finds a count that misses its target."""
    arguments = parse_arguments()
    busy = os.getloadavg()[0] > BUSY
    if busy:
        tell(BUSY_WARNING)
    started = time.monotonic()
    try:
        described = machine.describe()
        figures = measure(QUICK if arguments.quick else FULL, arguments.only)
    except (DynamoDBLocalError, RuntimeError) as error:
        tell(str(error))
        return 1
    seconds = time.monotonic() - started
    on = ", ".join(f"{name} {value}" for name, value in described.items())
    text = f"{report.markdown(figures)}\n\nMeasured in {seconds:.0f} s: {on}."
    if busy:
        text += f" {BUSY_WARNING}"
    print(text)
    if arguments.quick:
        missed = missed_counts(figures)
        for figure in missed:
            tell(f"misses its target: {figure.what}: {figure.median:g}, not {figure.target}")
        return 1 if missed else 0
    if not arguments.only:
        (HERE / "results.json").write_text(report.as_json(described, seconds, figures))
        report.put_between_marks(HERE / "README.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
