"""Measure the operator's commands on 100,000 items in three tables; print a Markdown table.

    python benchmarks/operator_commands.py

This fills an embedded file, and Amazon's DynamoDB Local in memory (which needs Java and npm, as for
`make test`). Each command runs three times as a process, for the median time and the peak memory.
Then it runs once more, through a proxy that counts the requests to DynamoDB.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Import only small modules: a child's peak memory is at least the memory of this process.
from benchmarks.places import AWS  # noqa: E402
from benchmarks.processes import Ran, run  # noqa: E402
from tests.support.dynamodb_local import DynamoDBLocal  # noqa: E402
from tests.support.faulty_proxy import FaultyProxy  # noqa: E402

TABLES = ("Align", "Call", "Merge")
COMMANDS = ("status", "samples --summary", "items --state failed")
RUNS = 3


def run_command(command: str, place: Mapping[str, str]) -> Ran:
    """Run an operator's command to its end."""
    name, *flags = command.split()
    tables = [part for table in TABLES for part in ("-t", table)]
    program = [sys.executable, "-m", "pyanamo", name, *tables, *flags]
    return run(program, {**AWS, **place}, ROOT)


def measure(kind: str, command: str, place: Mapping[str, str], requests: str) -> None:
    """Measure a command, and print a row of the table."""
    runs = [run_command(command, place) for _ in range(RUNS)]
    seconds = statistics.median(one.seconds for one in runs)
    memory = max(one.peak_mb for one in runs)
    print(f"| {kind} | `{command}` | {seconds:.1f} | {memory:.0f} | {requests} |", flush=True)


def count_requests(command: str, endpoint: str) -> int:
    """Return the number of requests to DynamoDB that a command makes."""
    with FaultyProxy(endpoint) as proxy:
        run_command(command, {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url})
        return len(proxy.operations)


def fill(*where: str) -> None:
    """Fill the tables in a separate process."""
    script = Path(__file__).with_name("many_items.py")
    ran = run([sys.executable, str(script), *where], AWS, ROOT)
    print(f"filled in {ran.seconds:.0f} s", file=sys.stderr)


def main() -> None:
    """Fill and measure both kinds of table."""
    print("| table | command | seconds | peak memory, MB | requests |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "pyanamo.db"))
        fill("--local", file)
        for command in COMMANDS:
            measure("embedded", command, {"PYANAMO_LOCAL": file}, "")
    with DynamoDBLocal() as server:
        fill("--endpoint-url", server.endpoint)
        place = {"AWS_ENDPOINT_URL_DYNAMODB": server.endpoint}
        for command in COMMANDS:
            requests = count_requests(command, server.endpoint)
            measure("DynamoDB Local", command, place, str(requests))


if __name__ == "__main__":
    main()
