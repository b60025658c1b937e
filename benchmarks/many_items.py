"""Fill three steps with 100,000 items, like a workflow that is half done.

    python benchmarks/many_items.py --local FILE
    python benchmarks/many_items.py --endpoint-url URL

The tables must not exist. The items are written directly, since running them would take too long.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pyanamo.account import Account
from pyanamo.aws import make_client
from pyanamo.model import Item, ItemState, Result, Task, TaskStatus
from pyanamo.parallel import several_at_a_time
from pyanamo.tables import Store
from pyanamo.tables.attributes import item_attributes, slot
from pyanamo.tables.dynamodb.expressions import typed_map

STEPS = {"Align": 33_334, "Call": 33_333, "Merge": 33_333}
NESTED_TASKS = 4  # per item of the second step
BATCH = 25  # items per BatchWriteItem: DynamoDB's limit
WRITERS = 8
DONE_PART = {"Align": 90, "Call": 50, "Merge": 10}  # percent


def state_of(step: str, number: int) -> ItemState:
    """Return an item's state: 3 % failed, 1 % locked, 1 % held, the others done or todo."""
    place = number * 37 % 100  # spreads the states over the table
    if place < 5:
        states = (ItemState.FAILED,) * 3 + (ItemState.LOCKED, ItemState.HELD)
        return states[place]
    return ItemState.DONE if place < DONE_PART[step] else ItemState.TODO


def item_of(step: str, number: int) -> Item:
    """Return an item with the results of its last attempt."""
    name = f"Sample{number:05}"
    state = state_of(step, number)
    began = state not in (ItemState.TODO, ItemState.HELD)
    ended = state in (ItemState.DONE, ItemState.FAILED)
    status = {ItemState.DONE: TaskStatus.DONE, ItemState.FAILED: TaskStatus.FAILED}.get(state)
    count = NESTED_TASKS if step == "Call" else 1
    tasks = tuple(
        Task(
            name=f"Task_{place}",
            script=f"bash {step.lower()}.sh {name} chr{place + 1}",
            status=status or TaskStatus.TODO,
        )
        for place in range(count)
    )
    code = 0 if state is ItemState.DONE else 3
    stderr = f"{step.lower()}: cannot read {name}.bam at line {number}\n" if code else ""
    result = Result(
        status=status or TaskStatus.TODO,
        exit_code=code,
        reason="exit code 3" if code else "",
        start_date="2027-01-15T08:00:00Z",
        run_seconds=61.5,
        stderr=stderr,
        stderr_bytes=len(stderr),
    )
    return Item(
        item_id=f"{name}_{step.lower()}",
        task_id=name,
        tasks=tasks,
        nested=count > 1,
        state=state,
        attempts=int(began),
        instance=f"0a1b2c3d-1111-2222-3333-{number % 500:012}#1" if began else "",
        token=f"{number:016x}" if state is ItemState.LOCKED else "",
        lock_date="2027-01-15T08:00:00Z" if began else "",
        done_date="2027-01-15T08:01:01Z" if ended else "",
        exit_code=code if ended else None,
        reason=result.reason if ended else "",
        run_seconds=61.5 if ended else None,
        results={task.name: result for task in tasks} if ended else {},
    )


def rows_of(step: str, items: int) -> Iterator[dict[str, Any]]:
    """Yield the attributes of a step's items."""
    for number in range(items):
        item = item_of(step, number)
        yield {**item_attributes(item), "Slot": slot(item.item_id), "Import_ID": "benchmark"}


def fill_file(file: Path) -> None:
    """Fill embedded tables in a file."""
    for step in STEPS:
        table = Store(local=file).open(step)
        table.create()
        table.close()
    database = sqlite3.connect(file)
    with database:
        for step in STEPS:
            for row in rows_of(step, STEPS[step]):
                values = [
                    json.dumps(value) if isinstance(value, (dict, list)) else value
                    for value in row.values()
                ]
                marks = ", ".join("?" * (len(row) + 1))
                names = ", ".join(("workflow_table", *row))
                database.execute(f"INSERT INTO items ({names}) VALUES ({marks})", (step, *values))
    database.close()


def fill_dynamodb(endpoint_url: str, steps: Mapping[str, int] = STEPS) -> None:
    """Fill DynamoDB tables, one per step, with so many items."""
    client = make_client("dynamodb", Account(endpoint_url=endpoint_url))

    def write(requests: dict[str, list[dict[str, Any]]]) -> None:
        while requests:
            requests = client.batch_write_item(RequestItems=requests).get("UnprocessedItems", {})

    for step, items in steps.items():
        table = Store(account=Account(endpoint_url=endpoint_url)).open(step)
        table.create()
        table.close()
        for _ in several_at_a_time(write, _batches(step, items), WRITERS):
            pass


def _batches(step: str, items: int) -> Iterator[dict[str, list[dict[str, Any]]]]:
    rows = rows_of(step, items)
    while batch := list(islice(rows, BATCH)):
        yield {step: [{"PutRequest": {"Item": typed_map(row)}} for row in batch]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill three steps with 100,000 items.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--local", type=Path, metavar="FILE")
    where.add_argument("--endpoint-url", metavar="URL")
    arguments = parser.parse_args()
    if arguments.local:
        fill_file(arguments.local)
    else:
        fill_dynamodb(arguments.endpoint_url)


if __name__ == "__main__":
    main()
