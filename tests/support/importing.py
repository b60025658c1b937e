"""Task files for import-items.py, and what it says."""

import re
import socket
from pathlib import Path

from pyanamo.account import Account
from pyanamo.model import Ending, Outcome, Result, TaskStatus
from pyanamo.tables import Store, WorkflowTable
from tests.support.cli import Finished, Place

HEADER = "itemID|TaskID|TaskScript"
FIVE = f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|seq 9\nC|Mario|seq 10\nD|Mario|echo ä\nE|Mario|true\n"
NESTED = "itemID|TaskID|TaskScript|TaskArgs\nA|Luigi|seq|1,2,3\nB|Luigi|seq 8|\nC|Luigi|echo|a b\n"
DONE = Outcome(
    ending=Ending.DONE,
    results={"Task_0": Result(status=TaskStatus.DONE, exit_code=0, stdout="1\n2\n")},
    exit_code=0,
)


def local(table: str, file: Path) -> Place:
    """A table in a file."""
    return Place(table=table, store=Store(local=file), flags=("--local", str(file)))


def at(endpoint: str, table: str) -> Place:
    """A table in the DynamoDB at an endpoint."""
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
    return Place(
        table=table, store=Store(account=Account(endpoint_url=endpoint)), environment=environment
    )


def written(file: Path, content: str | bytes) -> Path:
    """The file, with that content."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def names(rows: int) -> list[str]:
    return [f"Item_{number:05}" for number in range(rows)]


def large(tmp_path: Path, rows: int) -> Path:
    """A file of so many single items."""
    lines = [HEADER, *(f"{name}|Group|echo {name}" for name in names(rows))]
    return written(tmp_path / f"{rows}.txt", "\n".join(lines))


def told(finished: Finished) -> tuple[int, int]:
    """How many items an import says it imported, and were already there."""
    match = re.fullmatch(r"imported (\d+), already there (\d+)", finished.last_line)
    assert match, finished
    return int(match[1]), int(match[2])


def assert_refused(finished: Finished, message: str, code: int = 1) -> None:
    """It said in one line what is wrong, and nothing else."""
    assert re.search(message, finished.stderr), finished
    assert finished.stderr.count("\n") == 1, finished
    assert (finished.code, finished.stdout) == (code, "")


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def finish_one(table: WorkflowTable) -> str:
    """Claim an item, finish it, and return its name."""
    claim = table.claim("pilot", lease=900, max_attempts=3)
    assert claim
    assert table.finish(claim, DONE)
    return claim.item.item_id
