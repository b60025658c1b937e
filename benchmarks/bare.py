"""Measure the least that a machine must do for a number of tasks, in bare loops.

    python -m benchmarks.bare start --tasks 1000 --processes 2
    python -m benchmarks.bare start --tasks 1000 --threads 2
    python -m benchmarks.bare update --tasks 1000 --processes 4 --table NAME
    python -m benchmarks.bare write --tasks 10000 --table NAME

`start` starts and reaps `true`, with its output in files. `update` makes two conditional updates
per item of a table, as a claim and its end do. `write` writes the rows of an import with boto3's
`batch_writer`. Prints two numbers: the seconds from the start of the work, when all processes are
ready, to the end of the last one; and the CPU time of all processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier

READY_SECONDS = 60.0

Work = Callable[[range], None]  # called with the numbers of its tasks


def starting(_arguments: argparse.Namespace) -> Work:
    """Return a loop that starts `true` and waits for its end, with two files for its output.

    The same files are reused, because creating files may cost more than starting the process.
    """

    def start_all(numbers: range) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for _ in numbers:
                with open(f"{folder}/out", "wb") as stdout, open(f"{folder}/err", "wb") as stderr:
                    command = ["true"]
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
                    ).wait()

    return start_all


def updating(arguments: argparse.Namespace) -> Work:
    """Return a loop that locks an item if it is todo, and ends it if we locked it."""
    import boto3

    client = boto3.client("dynamodb")
    changed = {"#state": "ItemState", "#token": "lockID"}
    lock = "SET #state = :locked, #token = :token, InstanceID = :pilot, Lock_Date = :now"
    end = "SET #state = :done, Done_Date = :now, #log = :log REMOVE #token"
    log = {"Status": {"S": "done"}, "Exit_Code": {"N": "0"}, "Run_Seconds": {"N": "0.002"}}

    def update_all(numbers: range) -> None:
        for number in numbers:
            key = {"itemID": {"S": f"item-{number:06}"}}
            token, now = {"S": f"{number:016x}"}, {"S": "2027-01-15T08:00:00Z"}
            client.update_item(
                TableName=arguments.table,
                Key=key,
                UpdateExpression=lock,
                ConditionExpression="#state = :todo",
                ExpressionAttributeNames=changed,
                ExpressionAttributeValues={
                    ":todo": {"S": "todo"},
                    ":locked": {"S": "locked"},
                    ":token": token,
                    ":pilot": {"S": "bare"},
                    ":now": now,
                },
                ReturnValues="ALL_NEW",
            )
            client.update_item(
                TableName=arguments.table,
                Key=key,
                UpdateExpression=end,
                ConditionExpression="#token = :token",
                ExpressionAttributeNames={**changed, "#log": "Log"},
                ExpressionAttributeValues={
                    ":done": {"S": "done"},
                    ":token": token,
                    ":now": now,
                    ":log": {"M": log},
                },
            )

    return update_all


def writing(arguments: argparse.Namespace) -> Work:
    """Return a loop that writes new items, overwriting existing ones."""
    import boto3

    from pyanamo.model import Item, Task
    from pyanamo.tables.attributes import new_item

    table = boto3.resource("dynamodb").Table(arguments.table)

    def write_all(numbers: range) -> None:
        with table.batch_writer() as batch:
            for number in numbers:
                task = Task(name="Task_0", script="true")
                name, group = f"item-{number:06}", f"group-{number // 10:05}"
                item = Item(item_id=name, task_id=group, tasks=(task,), nested=False)
                batch.put_item(Item=new_item(item, "2027-01-15T08:00:00Z 00000000"))

    return write_all


WORK = {"start": starting, "update": updating, "write": writing}


_ready: Barrier | None = None


def _set_ready(barrier: Barrier) -> None:
    global _ready
    _ready = barrier


def work_in_process(arguments: argparse.Namespace, process: int) -> tuple[float, float, float]:
    """Do the work of one process when all are ready; return its start, end and CPU seconds."""
    work = WORK[arguments.what](arguments)
    threads = arguments.threads
    step = arguments.processes * threads
    parts = [range(process * threads + thread, arguments.tasks, step) for thread in range(threads)]
    assert _ready is not None
    _ready.wait(READY_SECONDS)
    started, cpu_before = time.monotonic(), sum(os.times()[:4])
    if threads == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, parts))
    return started, time.monotonic(), sum(os.times()[:4]) - cpu_before


def main() -> None:
    """Do the work in the given number of processes and threads."""
    parser = argparse.ArgumentParser(
        description="Measure the least that a machine must do for tasks."
    )
    parser.add_argument("what", choices=WORK)
    parser.add_argument("--tasks", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table")
    arguments = parser.parse_args()
    count = arguments.processes
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(count, fork, _set_ready, (fork.Barrier(count),)) as pool:
        times = list(pool.map(partial(work_in_process, arguments), range(count)))
    started, ended, cpu = zip(*times, strict=True)
    print(max(ended) - min(started), sum(cpu))


if __name__ == "__main__":
    main()
