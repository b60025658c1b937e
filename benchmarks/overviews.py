"""Measure the operator's overviews of a large table in a DynamoDB that is 20 ms away.

They are compared with a program that reads one page after the other with boto3, whole rows, as the
AWS documents show it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from statistics import median
from typing import Any

import boto3

from benchmarks import many_items
from benchmarks.figures import Figure, at_least, number
from benchmarks.metering import Meter, Request, count
from benchmarks.places import Place
from benchmarks.processes import ROOT, in_own_process
from pyanamo import Selection, Workflow
from pyanamo.model import ItemState
from pyanamo.tables.attributes import INDEX
from pyanamo.tables.dynamodb.expressions import plain_map
from pyanamo.tables.dynamodb.overview import PAGE
from pyanamo.tables.dynamodb.whole import GET_BATCH, SCAN_PAGE
from pyanamo.tables.reading import Row, read_item, read_summary
from pyanamo.workflow.failures import failed_item, group_failures
from pyanamo.workflow.samples import samples_of
from pyanamo.workflow.status import status_of

COMMANDS = ("status", "samples", "items", "failures", "export")
TABLE = "Align"
Used = tuple[float, float]  # seconds, and peak memory in MB


def overviews(place: Place, items: int, rounds: int) -> Iterator[Figure]:
    """Measure each command, and what it is compared with, in turns."""
    steps = {TABLE: items}
    in_own_process(place.environment, many_items.fill_dynamodb, place.endpoint, steps)
    with _far_away(place.endpoint) as url:
        for command in COMMANDS:
            yield _compare(place, url, command, items, rounds)


def _compare(place: Place, url: str, command: str, items: int, rounds: int) -> Figure:
    meter = Meter(place.folder / "overviews.meter")
    environment = {**place.environment, "AWS_ENDPOINT_URL_DYNAMODB": url, **meter.environment}
    used: list[list[Used]] = [[], []]
    requests: list[list[Request]] = [[], []]
    for _ in range(rounds + 1):  # the first only fills the proxy
        for way, function in enumerate((one_page_after_another, as_we_do)):
            used[way].append(in_own_process(environment, function, command))
            requests[way] = meter.take()
    ratios = [old[0] / new[0] for old, new in zip(*(each[1:] for each in used), strict=True)]
    told = [
        f"{number(median(seconds for seconds, _ in each[1:]))} s, "
        f"{number(max(peak for _, peak in each))} MB, {count(sent).total()} requests, "
        f"{number(sum(one.reads for one in sent))} read units"
        for each, sent in zip(used, requests, strict=True)
    ]
    return Figure(
        name=f"overview_{command}",
        what=f"`{command}` of {items:,} items, DynamoDB Local 20 ms away, "
        "compared with one page after the other",
        unit="times as fast",
        values=ratios,
        target=at_least(4),
        beside=f"{told[1]}; one page after the other {told[0]}",
    )


def as_we_do(command: str) -> Used:
    """Do what a command does, without its output."""
    started = time.monotonic()
    with Workflow(TABLE) as workflow:
        if command == "status":
            workflow.status()
        elif command == "samples":
            workflow.samples()
        elif command == "failures":
            workflow.failures()
        elif command == "items":
            deque(workflow.items(), 0)
        else:
            deque(workflow.export(Selection()), 0)
    return time.monotonic() - started, _peak_mb()


def one_page_after_another(command: str) -> Used:
    """Do the same with boto3's paginators."""
    started = time.monotonic()
    client: Any = boto3.client("dynamodb")
    if command == "export":
        pages = client.get_paginator("scan").paginate(TableName=TABLE, Limit=SCAN_PAGE)
        deque((read_item(plain_map(raw)) for page in pages for raw in page["Items"]), 0)
    elif command == "failures":
        group_failures(failed_item(read_item(row)) for row in _failed(client))
    else:
        rows = (
            read_summary(TABLE, row) for state in ItemState for row in _index_rows(client, state)
        )
        if command == "status":
            status_of(TABLE, rows, time.time())
        elif command == "samples":
            samples_of({TABLE: rows})
        else:
            deque(rows, 0)
    return time.monotonic() - started, _peak_mb()


def _index_rows(client: Any, state: ItemState) -> Iterator[Row]:
    pages = client.get_paginator("query").paginate(
        TableName=TABLE,
        IndexName=INDEX,
        KeyConditionExpression="ItemState = :state",
        ExpressionAttributeValues={":state": {"S": state.value}},
        Limit=PAGE,
    )
    for page in pages:
        yield from map(plain_map, page["Items"])


def _failed(client: Any) -> Iterator[Row]:
    ids = (row["itemID"] for row in _index_rows(client, ItemState.FAILED))
    while batch := [{"itemID": {"S": item_id}} for item_id in islice(ids, GET_BATCH)]:
        answer = client.batch_get_item(RequestItems={TABLE: {"Keys": batch}})
        yield from map(plain_map, answer["Responses"][TABLE])


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


@contextmanager
def _far_away(endpoint: str) -> Iterator[str]:
    """Run the proxy in a process of its own; yield its address."""
    command = [sys.executable, "-m", "benchmarks.far_away", endpoint]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
