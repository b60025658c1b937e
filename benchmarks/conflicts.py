"""Measure how often pilots try to claim the same item."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.figures import Figure, at_most
from benchmarks.metering import Meter, Request, count
from benchmarks.places import Place
from benchmarks.processes import in_own_process
from pyanamo.account import Account
from pyanamo.aws import Client, make_client
from pyanamo.model import Ending, Outcome, Result, TaskStatus
from pyanamo.tables.dynamodb.table import DynamoDBTable

BEFORE_END = 0.9
DONE = Outcome(
    ending=Ending.DONE,
    results={"Task_0": Result(status=TaskStatus.DONE, exit_code=0, run_seconds=0.001)},
    exit_code=0,
)


def drain(place: Place, pilots: int, items: int, most: float) -> Figure:
    """Start pilots at the same time, let them finish all items without running tasks."""
    meter = Meter(place.folder / "conflicts.meter")
    table = place.fill(items)
    environment = {**place.environment, **meter.environment}
    done = in_own_process(environment, _drain, table, pilots)
    requests = meter.take()
    if sum(done) != items:
        raise RuntimeError(f"{sum(done)} of {items} items were done")
    conflicts = sum(one.is_conflict for one in requests)
    before_end = _until(requests, int(BEFORE_END * items))
    counts = count(requests)
    return Figure(
        name="conflicts",
        what=f"conflicts: failed conditional updates per claim, {pilots} pilots (threads) on "
        f"{items:,} items, DynamoDB Local, including the end",
        unit="%",
        values=[100 * conflicts / items],
        target=at_most(most),
        is_count=True,
        beside=f"{100 * before_end / (BEFORE_END * items):.1f} % until {BEFORE_END:.0%} of the "
        f"items were done; "
        f"{counts.total() / items:.2f} requests per item, {counts['Query']} queries",
    )


def _until(requests: Sequence[Request], items: int) -> int:
    """Count the conflicts until this number of items had ended."""
    conflicts = writes = 0
    for one in sorted(requests, key=lambda one: one.at):
        conflicts += one.is_conflict
        writes += one.operation == "UpdateItem" and not one.error
        if writes >= 2 * items:  # two writes per item: claim and end
            break
    return conflicts


def _drain(table: str, pilots: int) -> list[int]:
    """Run the pilots as threads; return how many items each has done."""
    client = make_client("dynamodb", Account())
    start = threading.Barrier(pilots)
    with ThreadPoolExecutor(pilots) as pool:
        return list(pool.map(partial(_work, client, table, start), range(pilots)))


def _work(client: Client, name: str, start: threading.Barrier, number: int) -> int:
    """Claim and finish items as a worker does, until two answers in a row are empty."""
    table = DynamoDBTable(name, client=client)
    done = empty = 0
    start.wait(60)
    while empty < 2:
        if claim := table.claim(f"pilot-{number}", lease=900, max_attempts=3):
            empty = 0
            done += table.finish(claim, DONE)
        else:
            empty += 1
            time.sleep(table.settle_seconds * random.uniform(0.8, 1.0))
    return done
