"""Task files for import-items.py, and checks of what it prints."""

import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from pyanamo.tables import WorkflowTable
from tests.support.faulty_proxy import FaultyProxy
from tests.support.makers import claim_from, done
from tests.support.operator import Operator
from tests.support.programs import Finished

HEADER = "itemID|TaskID|TaskScript"
FIVE = f"{HEADER}\nA|Luigi|seq 8\nB|Luigi|seq 9\nC|Mario|seq 10\nD|Mario|echo ä\nE|Mario|true\n"
NESTED = "itemID|TaskID|TaskScript|TaskArgs\nA|Luigi|seq|1,2,3\nB|Luigi|seq 8|\nC|Luigi|echo|a b\n"


def through(proxy: FaultyProxy, operator: Operator) -> Operator:
    """An operator of the same table whose requests go through a proxy."""
    return Operator.at(proxy.url, operator.folder, operator.table_name)


def written(file: Path, content: str | bytes) -> Path:
    """Write the content to the file; the file."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def names(rows: int) -> list[str]:
    return [f"Item_{number:05}" for number in range(rows)]


def large(tmp_path: Path, rows: int) -> Path:
    """A task file with `rows` single items."""
    lines = [HEADER, *(f"{name}|Group|echo {name}" for name in names(rows))]
    return written(tmp_path / f"{rows}.txt", "\n".join(lines))


def told(finished: Finished) -> tuple[int, int]:
    """How many items were imported and how many were already there, as an import says."""
    match = re.fullmatch(r"imported (\d+), already there (\d+)", finished.last_line)
    assert match, finished
    return int(match[1]), int(match[2])


def assert_refused(finished: Finished, message: str, code: int = 1) -> None:
    """Check that one line says what is wrong, and that nothing else was printed."""
    assert re.search(message, finished.stderr), finished
    assert finished.stderr.count("\n") == 1, finished
    assert (finished.code, finished.stdout) == (code, "")


def closed_port() -> int:
    """A port that no process listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def finish_one(table: WorkflowTable) -> str:
    """Claim an item and finish it; its name."""
    claim = claim_from(table)
    assert table.finish(claim, done())
    return claim.item.item_id


@contextmanager
def locked_file(file: Path) -> Iterator[None]:
    """Nobody else writes to the file."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=0)) as database:
        while not database.in_transaction:  # SQLite itself would look too seldom
            with suppress(sqlite3.OperationalError):
                database.execute("BEGIN IMMEDIATE")
        yield
