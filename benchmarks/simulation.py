"""Simulate a cluster of ten thousand pilots with a million items.

    python benchmarks/simulation.py
    python benchmarks/simulation.py --quick

It prints conflicts, idle pilots, requests and dollars. The claims are made by the program's own
code, `DynamoDBTable` with its candidates. DynamoDB, the clock and the tasks are simulated;
`simulated_dynamodb.py` lists the assumptions.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heapify, heapreplace
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.simulated_dynamodb import (
    Service,
    SimulatedClient,
    SimulatedTable,
    log_normal,
)
from benchmarks.simulated_time import Simulation
from pyanamo.errors import StoreUnavailable
from pyanamo.model import Claim, Result, TaskStatus
from pyanamo.pilot.lease import LOOK_SECONDS
from pyanamo.pilot.progress import Progress
from pyanamo.pilot.worker import backoff
from pyanamo.tables.dynamodb.candidates import SlotRange
from pyanamo.tables.dynamodb.table import DynamoDBTable

# On-demand, us-east-1, since November 2024 (aws.amazon.com/dynamodb/pricing/on-demand).
DOLLARS_A_WRITE, DOLLARS_A_READ = 0.625e-6, 0.125e-6
IMPORT_UNITS = 2  # per item: one for the table, one for the index
LEASE = 900.0  # seconds; renewed every third of it
# Of a nested item: without its tasks; for each task its command and state, and its result.
ITEM_BYTES, TASK_BYTES, RESULT_BYTES = 500, 60, 400
RESULT = Result(status=TaskStatus.DONE)
END_ITEMS = 100  # the end phase begins when this number of items is left
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The parameters of a simulated cluster."""

    pilots: int = 10_000
    workers: int = 1  # per pilot (-i)
    items: int = 1_000_000
    tasks: int = 1  # per item; nested if there are more
    nests: int = 1  # nested tasks at a time (-n)
    task_seconds: float = 60.0  # the median; log-normal
    task_sigma: float = 0.5
    start_seconds: float = 300.0  # pilots start evenly over this time
    seed: int = 1
    service: Service = field(default_factory=Service)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The counts up to a moment."""

    when: float = 0.0
    claims: int = 0
    conflicts: int = 0
    queries: int = 0
    requests: int = 0


class Run:
    """One simulated run of a cluster, from its first pilot to its last."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.random = random.Random(cluster.seed)
        self.simulation = Simulation()
        clock = self.simulation.now
        self.table = SimulatedTable(cluster.items, cluster.service, clock, self.random)
        self.client = SimulatedClient(self.table, cluster.service, self.simulation, self.random)
        self.task_seconds = log_normal(cluster.task_seconds, cluster.task_sigma, self.random)
        self.starts: list[float] = []  # when workers start
        self.claims_at = array("d")
        self.ran = array("d")  # seconds of each task, in the order of the claims
        self.last_end = 0.0
        self.longest_idle = 0.0
        self.exits: list[tuple[float, float]] = []  # end of a worker's last task, and its exit
        self.renewals = 0
        self.written = 0  # units of renewals, and of what is larger than 1 KB
        self.end_began = Counts() if cluster.items <= END_ITEMS else None

    def run(self) -> None:
        """Run the simulation."""
        cluster = self.cluster
        for _ in range(cluster.pilots):
            starts_at = self.random.random() * cluster.start_seconds
            for worker in range(cluster.workers):
                self.starts.append(starts_at)
                slots = SlotRange.part(worker, cluster.workers)
                self.simulation.start(partial(self._work, slots), starts_at)
        self.simulation.run()

    def counts(self) -> Counts:
        """Return the counts up to now."""
        return Counts(
            when=self.simulation.now(),
            claims=len(self.claims_at),
            conflicts=self.table.conflicts,
            queries=self.client.requests["Query"],
            requests=self.client.by_second.total(),
        )

    def _work(self, slots: SlotRange) -> None:
        """Work as a worker does."""
        now = self.simulation.now
        table = DynamoDBTable(
            "simulated",
            slots=slots,
            clock=now,
            steady_clock=now,
            rng=self.random,
            client=self.client,
        )
        free_since = now()
        while claim := self._next_claim(table):
            self.longest_idle = max(self.longest_idle, now() - free_since)
            self._count_claim()
            seconds = self._run_one() if self.cluster.tasks == 1 else self._run_nested()
            self.ran.append(seconds)
            self.simulation.sleep(seconds)
            free_since = self.last_end = now()
            self._patiently(partial(self.client.finish, claim.item.item_id, claim.token))
        self.exits.append((free_since, now()))

    def _next_claim(self, table: DynamoDBTable) -> Claim | None:
        """Claim an item as a worker does: a second empty answer means that there are none."""
        claim = partial(table.claim, "pilot", lease=LEASE, max_attempts=3)
        if found := self._patiently(claim):
            return found
        self.simulation.sleep(table.settle_seconds * self.random.uniform(0.8, 1.0))
        return self._patiently(claim)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Repeat a request until the store answers."""
        for tries in count(1):
            try:
                return ask()
            except StoreUnavailable:
                self.simulation.sleep(backoff(tries))
        raise AssertionError

    def _count_claim(self) -> None:
        self.claims_at.append(self.simulation.now())
        if self.end_began is None and self.table.waiting <= END_ITEMS:
            self.end_began = self.counts()

    def _run_one(self) -> float:
        """Count the renewals while a task runs; return its seconds."""
        now = self.simulation.now()
        seconds = next(self.task_seconds)
        for number in range(1, int(seconds / (LEASE / 3)) + 1):
            self._count_renewal(now + number * LEASE / 3, 1)
        return seconds

    def _run_nested(self) -> float:
        """Count what is written while nested tasks run; return the seconds that all of them take.

        It is written when a worker would write it: with a renewal, or when it has earned the write.
        """
        now = self.simulation.now()
        tasks = self.cluster.tasks
        progress = Progress()
        written_at = now
        ends = self._ends_of_nested(now)
        for number, end in enumerate(ends):
            while written_at + LEASE / 3 < end:
                written_at += LEASE / 3
                self._count_renewal(written_at, kilobytes(tasks, number) + (number > 0))
                progress.wrote(progress.so_far(), 0)
            progress.add(str(number), RESULT)
            units = kilobytes(tasks, number + 1) + 1
            if progress.has_earned(units) and end - written_at >= LOOK_SECONDS:
                written_at = end
                self._count_renewal(end, units)
                progress.wrote(progress.so_far(), units)
        # The simulated table counts items of 1 KB.
        self.written += 2 * (kilobytes(tasks, 0) - 1) + kilobytes(tasks, tasks) - 1
        return ends[-1] - now

    def _ends_of_nested(self, now: float) -> list[float]:
        """Return when the tasks of an item end that begins now."""
        free_at = [now] * self.cluster.nests
        ends = []
        for seconds in islice(self.task_seconds, self.cluster.tasks):
            ends.append(free_at[0] + seconds)
            heapreplace(free_at, ends[-1])
        return sorted(ends)

    def _count_renewal(self, when: float, units: int) -> None:
        self.renewals += 1
        self.written += units
        self.client.by_second[int(when)] += 1


def simulate(cluster: Cluster) -> dict[str, float]:
    """Return the figures of a run. Seconds are simulated, except `cpu_seconds`."""
    started = time.process_time()
    run = Run(cluster)
    run.run()
    all_ = run.counts()
    before_end = run.end_began or all_
    last_claim = max(run.claims_at, default=0.0)
    waited_for_nothing = [last_claim - free_since for free_since, _ in run.exits]
    writes = run.table.units["write"] + run.written + IMPORT_UNITS * cluster.items
    dollars = writes * DOLLARS_A_WRITE + run.table.units["read"] * DOLLARS_A_READ
    requests = all_.requests + run.renewals
    end_claims = all_.claims - before_end.claims
    return {
        "claims": all_.claims,
        "conflicts": all_.conflicts,
        "conflicts_percent": 100 * all_.conflicts / all_.claims,
        "longest_idle_seconds": max(run.longest_idle, *waited_for_nothing),
        "left_early": sum(left < last_claim for _, left in run.exits),
        "queries_a_claim": all_.queries / all_.claims,
        "requests": requests,
        "requests_a_second_mean": requests / all_.when,
        "requests_a_second_peak": max(run.client.by_second.values()),
        "renewals": run.renewals,
        "throttled": run.client.requests["throttled"],
        "write_units": writes,
        "read_units": run.table.units["read"],
        "dollars": dollars,
        "write_units_a_task": writes / cluster.items / cluster.tasks,
        "dollars_a_thousand_items": 1000 * dollars / cluster.items,
        "makespan_seconds": run.last_end,
        "ideal_seconds": ideal_seconds(run.starts, run.ran),
        "end_claims": end_claims,
        "end_conflicts": all_.conflicts - before_end.conflicts,
        "end_requests": all_.requests - before_end.requests,
        "end_seconds": last_claim - before_end.when,
        "last_exit_seconds": all_.when,
        "cpu_seconds": time.process_time() - started,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def kilobytes(tasks: int, ended: int) -> int:
    """Return the size of a nested item of which this many tasks have ended."""
    return math.ceil((ITEM_BYTES + tasks * TASK_BYTES + ended * RESULT_BYTES) / 1024)


def ideal_seconds(starts: Iterable[float], tasks: Iterable[float]) -> float:
    """Return when the last task would end if workers were never idle."""
    free_at = list(starts)
    heapify(free_at)
    for seconds in tasks:
        heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)


def scenarios(arguments: argparse.Namespace) -> dict[str, Cluster]:
    """Return the clusters to simulate, by name."""
    service = Service(
        latency=arguments.latency / 1000,
        lag=arguments.lag / 1000,
        index_partitions=arguments.partitions,
    )
    common = Cluster(
        pilots=arguments.pilots,
        workers=arguments.workers,
        items=arguments.items,
        tasks=arguments.tasks,
        nests=arguments.nests,
        start_seconds=arguments.start,
        seed=arguments.seed,
        service=service,
    )
    if arguments.quick:
        common = replace(common, pilots=min(common.pilots, 1000), items=min(common.items, 50_000))
    clusters = {
        f"tasks of {seconds:g} s": replace(common, task_seconds=seconds)
        for seconds in arguments.task_seconds
    }
    if arguments.tasks > 1:
        return {f"items of {arguments.tasks} {name}": each for name, each in clusters.items()}
    few = f"{END_ITEMS} items, all pilots at once"
    return clusters | {few: replace(common, items=END_ITEMS, start_seconds=0.0)}


def run(clusters: Mapping[str, Cluster], processes: int = 2) -> dict[str, dict[str, float]]:
    """Simulate clusters, several at a time; return their figures."""
    # One process per run, so that the memory of each run is measured separately.
    with get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        return dict(zip(clusters, pool.map(simulate, clusters.values(), 1), strict=True))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Simulate a large cluster.")
    parser.add_argument("--pilots", type=int, default=10_000)
    parser.add_argument(
        "-i", "--workers", type=int, default=1, help="workers per pilot (default: 1)"
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--tasks", type=int, default=1, help="tasks per item (default: 1)")
    parser.add_argument(
        "-n", "--nests", type=int, default=1, help="nested tasks at a time (default: 1)"
    )
    parser.add_argument(
        "--task-seconds",
        type=float,
        nargs="+",
        default=[60.0, 7200.0],
        help="median of the tasks; one run per value",
    )
    parser.add_argument(
        "--start", type=float, default=300.0, help="seconds over which pilots start; 0: all at once"
    )
    parser.add_argument("--latency", type=float, default=6.0, help="median of a request, in ms")
    parser.add_argument("--lag", type=float, default=50.0, help="median of the index's lag, in ms")
    parser.add_argument(
        "--partitions", type=int, default=1, help="partitions of the index per value of ItemState"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="runs at a time (default: 2)")
    parser.add_argument("--quick", action="store_true", help="1,000 pilots and 50,000 items")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the scenarios and print a Markdown table with one column per scenario."""
    arguments = parse()
    figures = run(scenarios(arguments), arguments.processes)
    print("|", *(f"| {name}" for name in figures), "|")
    print("| ---", *("| ---:" for _ in figures), "|")
    for figure in next(iter(figures.values())):
        print(f"| {figure}", *(f"| {column[figure]:,.6g}" for column in figures.values()), "|")


if __name__ == "__main__":
    main()
