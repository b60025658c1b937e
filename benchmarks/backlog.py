"""Measure what a claim costs as the backlog grows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, at_most, number
from benchmarks.metering import Meter
from benchmarks.places import Place
from benchmarks.processes import in_own_process
from pyanamo.model import Ending, Outcome
from pyanamo.tables import Store

CLAIMS = 50  # per round: half of the shortest backlog
PUT_BACK = Outcome(ending=Ending.INTERRUPTED, results={}, reason="measured")


@dataclass(frozen=True)
class Cost:
    """The average cost of a claim in one round."""

    milliseconds: float
    requests: float


def claims(place: Place, sizes: Sequence[int], rounds: int) -> list[Figure]:
    """Claim from tables of these sizes in turn, and compare the largest with the smallest."""
    tables = {size: place.filled(size) for size in sizes}
    costs = in_own_process(
        {**place.environment, **_meter(place).environment}, _measure, place, tables, rounds
    )
    first, last = sizes[0], sizes[-1]
    pairs = zip(costs[last], costs[first], strict=True)
    times = {size: median(cost.milliseconds for cost in costs[size]) for size in sizes}
    figures = [
        Figure(
            name=f"backlog_time_{place.key}",
            what=f"time per claim with {last:,} items waiting, compared with {first:,}, "
            f"{place.name}",
            unit="times as long",
            values=[many.milliseconds / few.milliseconds for many, few in pairs],
            target=at_most(1.2),
            beside="ms per claim: " + _listed(times),
        )
    ]
    if place.endpoint:
        requests = {size: median(cost.requests for cost in costs[size]) for size in sizes}
        figures.append(
            Figure(
                name="backlog_requests",
                what=f"requests per claim with {last:,} items waiting",
                unit="requests",
                values=[cost.requests for cost in costs[last]],
                target=at_most(1.1),
                is_count=True,
                beside=_listed(requests),
            )
        )
    return figures


def _measure(place: Place, tables: Mapping[int, str], rounds: int) -> dict[int, list[Cost]]:
    costs: dict[int, list[Cost]] = {size: [] for size in tables}
    sizes = deque(tables)
    for _ in range(rounds):
        for size in sizes:
            costs[size].append(_claim_some(place, tables[size]))
        sizes.rotate()  # so that no table is always the first
    return costs


def _claim_some(place: Place, name: str) -> Cost:
    """Claim some items as a new worker does, and put them back."""
    local = None if place.endpoint else Path(place.environment["PYANAMO_LOCAL"])
    table = Store(local=local).open(name)
    table.check()  # opens the connection before the time is measured
    if place.endpoint:
        _meter(place).take()
    started = time.perf_counter()
    claims = [table.claim("bench", lease=900, max_attempts=3) for _ in range(CLAIMS)]
    seconds = time.perf_counter() - started
    requests = sum(one.tries for one in _meter(place).take()) if place.endpoint else 0
    for claim in claims:
        if claim is None or not table.release(claim, PUT_BACK):
            raise RuntimeError(f"{name}: a claim of {CLAIMS} failed")
    table.close()
    return Cost(1000 * seconds / CLAIMS, requests / CLAIMS)


def _meter(place: Place) -> Meter:
    return Meter(place.folder / "backlog.meter")


def _listed(values: Mapping[int, float]) -> str:
    return ", ".join(f"{number(value)} ({size:,} items)" for size, value in values.items())
