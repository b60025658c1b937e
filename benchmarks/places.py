"""Places for the tables of a benchmark, and how to run the two scripts on them."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.processes import ROOT, Ran, run, running
from tests.support.dynamodb_local import DynamoDBLocal

AWS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/aws/credentials",
    "NO_PROXY": "127.0.0.1",
}


@dataclass(frozen=True)
class Place:
    """A folder for files, and a store for tables: an embedded file or DynamoDB Local."""

    folder: Path
    endpoint: str = ""  # of DynamoDB Local
    _filled: dict[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name for people."""
        return "DynamoDB Local" if self.endpoint else "embedded"

    @property
    def key(self) -> str:
        """The name as part of a figure's name."""
        return "dynamodb" if self.endpoint else "embedded"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that tell the scripts which store to use."""
        if self.endpoint:
            return {**AWS, "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint}
        return {"PYANAMO_LOCAL": str(self.folder / "pyanamo.db")}

    def new_table(self) -> str:
        """Return a name for a new table."""
        return f"Bench-{uuid.uuid4().hex[:12]}"

    def fill(self, items: int, script: str = "true", table: str = "") -> str:
        """Import single items with the same script into a new table; return its name."""
        table = table or self.new_table()
        self.import_file(table, task_file(self.folder, items, script))
        return table

    def fill_nested(self, script: str, arguments: Sequence[str]) -> str:
        """Import an item with a nested task per argument into a new table; return its name."""
        table = self.new_table()
        file = self.folder / "nested.txt"
        row = f"nested|group|{script}|{','.join(arguments)}"
        file.write_text(f"itemID|TaskID|TaskScript|TaskArgs\n{row}\n")
        self.import_file(table, file, "-n", ",")
        return table

    def filled(self, items: int) -> str:
        """Return a shared table with this number of items. Users must restore its items."""
        if items not in self._filled:
            self._filled[items] = self.fill(items)
        return self._filled[items]

    def keep_filled(self, items: int, table: str) -> None:
        """Share a table that has this number of items."""
        self._filled[items] = table

    def import_file(self, table: str, file: Path, *flags: str) -> Ran:
        """Run import-items.py. Raises `RuntimeError` if it doesn't import all rows."""
        command = [sys.executable, str(ROOT / "import-items.py"), "-t", table, "-i", str(file)]
        ran = run([*command, *flags], self.environment, self.folder)
        if not re.fullmatch(r"imported [1-9]\d*, already there 0\n", ran.stdout):
            raise RuntimeError(f"import-items.py says {ran.stdout!r}")
        return ran

    def pilot(
        self, table: str, *flags: str, done: int, environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a pilot to its end. Raises `RuntimeError` unless exactly `done` items were done."""
        command = pilot_command(table, *flags)
        ran = run(command, {**self.environment, **(environment or {})}, self.folder)
        if not ran.stdout.startswith(f"done {done}, failed 0, released 0 in"):
            raise RuntimeError(f"pyanamo.py says {ran.stdout!r}, not {done} done")
        return ran

    @contextmanager
    def running_pilot(self, table: str, *flags: str) -> Iterator[psutil.Process]:
        """Run a pilot, and stop it at the end of the block."""
        with running(pilot_command(table, *flags), self.environment, self.folder) as process:
            yield process


def pilot_command(table: str, *flags: str) -> list[str]:
    """Return the command line of a pilot."""
    return [sys.executable, str(ROOT / "pyanamo.py"), "-t", table, *flags]


def task_file(folder: Path, items: int, script: str) -> Path:
    """Write a task file with single items that all run the same script."""
    file = folder / f"single-{items}.txt"
    with file.open("w") as rows:
        rows.write("itemID|TaskID|TaskScript\n")
        rows.writelines(f"item-{row:06}|group-{row // 10:05}|{script}\n" for row in range(items))
    return file


@contextmanager
def places() -> Iterator[tuple[Place, Place]]:
    """Yield an embedded place, and one with a DynamoDB Local that keeps its tables in memory."""
    with (
        TemporaryDirectory() as embedded,
        TemporaryDirectory() as folder,
        DynamoDBLocal() as server,
    ):
        yield Place(Path(embedded)), Place(Path(folder), server.endpoint)
