"""What the operator's commands cost on 100,000 items in three tables: a Markdown table on stdout.

    python benchmarks/operator_commands.py

fills an embedded file, and Amazon's DynamoDB Local in memory (Java and npm must be there, as for
`make test`), and runs each command as a process: three times for the seconds, of which the median
counts, and for the memory, of which the largest does; and once more through a proxy that counts
the requests to DynamoDB.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# Nothing that makes this process large: a child's peak of memory is at least what its parent has.
from tests.support.dynamodb_local import DynamoDBLocal  # noqa: E402
from tests.support.faulty_proxy import FaultyProxy  # noqa: E402

TABLES = ("Align", "Call", "Merge")
COMMANDS = ("status", "samples --summary", "items --state failed")
RUNS = 3
AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True)
class Run:
    """What one process took."""

    seconds: float
    memory_mb: float


def run(command: str, place: Mapping[str, str]) -> Run:
    """Run a command of the operator's to its end."""
    name, *flags = command.split()
    tables = [part for table in TABLES for part in ("-t", table)]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyanamo", name, *tables, *flags],
        cwd=ROOT,
        env={**os.environ, **AWS, **place},
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss
    return Run(seconds, used.ru_maxrss * unit / 1e6)


def measure(kind: str, command: str, place: Mapping[str, str], requests: str) -> None:
    """Print a line of the table."""
    runs = [run(command, place) for _ in range(RUNS)]
    seconds = statistics.median(one.seconds for one in runs)
    memory = max(one.memory_mb for one in runs)
    print(f"| {kind} | `{command}` | {seconds:.1f} | {memory:.0f} | {requests} |", flush=True)


def count_requests(command: str, endpoint: str) -> int:
    """How many requests to DynamoDB a command makes."""
    with FaultyProxy(endpoint) as proxy:
        run(command, {"AWS_ENDPOINT_URL_DYNAMODB": proxy.url})
        return len(proxy.operations)


def fill(*where: str) -> None:
    """Fill the tables, in a process of its own."""
    script = Path(__file__).with_name("many_items.py")
    started = time.monotonic()
    subprocess.run([sys.executable, script, *where], check=True, env={**os.environ, **AWS})
    print(f"filled in {time.monotonic() - started:.0f} s", file=sys.stderr)


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
