"""Where the tables of a benchmark are, and the two scripts run on them as a user runs them."""

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
    """A folder for files, and a store for tables: an embedded file there, or DynamoDB Local."""

    folder: Path
    endpoint: str = ""  # of DynamoDB Local
    _filled: dict[int, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For a person."""
        return "DynamoDB Local" if self.endpoint else "embedded"

    @property
    def key(self) -> str:
        """For the names of figures."""
        return "dynamodb" if self.endpoint else "embedded"

    @property
    def environment(self) -> dict[str, str]:
        """By which the scripts find the store."""
        if self.endpoint:
            return {**AWS, "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint}
        return {"PYANAMO_LOCAL": str(self.folder / "pyanamo.db")}

    def new_table(self) -> str:
        """The name of a table that isn't there yet."""
        return f"Bench-{uuid.uuid4().hex[:12]}"

    def fill(self, items: int, script: str = "true", table: str = "") -> str:
        """Import so many single items with one script, into a new table; its name."""
        table = table or self.new_table()
        self.import_file(table, task_file(self.folder, items, script))
        return table

    def fill_nested(self, script: str, arguments: Sequence[str]) -> str:
        """Import one item with a nested task for each argument into a new table; its name."""
        table = self.new_table()
        file = self.folder / "nested.txt"
        row = f"nested|group|{script}|{','.join(arguments)}"
        file.write_text(f"itemID|TaskID|TaskScript|TaskArgs\n{row}\n")
        self.import_file(table, file, "-n", ",")
        return table

    def filled(self, items: int) -> str:
        """A table with so many items that all who only need some to be there may share."""
        if items not in self._filled:
            self._filled[items] = self.fill(items)
        return self._filled[items]

    def keep_filled(self, items: int, table: str) -> None:
        """Let others share a table that has so many items."""
        self._filled[items] = table

    def import_file(self, table: str, file: Path, *flags: str) -> Ran:
        """Run import-items.py; an error unless it imports something, and no row is left out."""
        command = [sys.executable, str(ROOT / "import-items.py"), "-t", table, "-i", str(file)]
        ran = run([*command, *flags], self.environment, self.folder)
        if not re.fullmatch(r"imported [1-9]\d*, already there 0\n", ran.stdout):
            raise RuntimeError(f"import-items.py says {ran.stdout!r}")
        return ran

    def pilot(
        self, table: str, *flags: str, done: int, environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Run a pilot to its end; an error unless so many items are done, and none failed."""
        command = pilot_command(table, *flags)
        ran = run(command, {**self.environment, **(environment or {})}, self.folder)
        if not ran.stdout.startswith(f"done {done}, failed 0, released 0 in"):
            raise RuntimeError(f"pyanamo.py says {ran.stdout!r}, not {done} done")
        return ran

    @contextmanager
    def running_pilot(self, table: str, *flags: str) -> Iterator[psutil.Process]:
        """A pilot, stopped at the end of the block."""
        with running(pilot_command(table, *flags), self.environment, self.folder) as process:
            yield process


def pilot_command(table: str, *flags: str) -> list[str]:
    """The command line of a pilot."""
    return [sys.executable, str(ROOT / "pyanamo.py"), "-t", table, *flags]


def task_file(folder: Path, items: int, script: str) -> Path:
    """A task file with so many single items that all run the same."""
    file = folder / f"single-{items}.txt"
    with file.open("w") as rows:
        rows.write("itemID|TaskID|TaskScript\n")
        rows.writelines(f"item-{row:06}|group-{row // 10:05}|{script}\n" for row in range(items))
    return file


@contextmanager
def places() -> Iterator[tuple[Place, Place]]:
    """An embedded one, and one with a DynamoDB Local that keeps its tables in memory."""
    with (
        TemporaryDirectory() as embedded,
        TemporaryDirectory() as folder,
        DynamoDBLocal() as server,
    ):
        yield Place(Path(embedded)), Place(Path(folder), server.endpoint)
