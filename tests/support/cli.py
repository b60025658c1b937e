"""Run the scripts as a user does, and read a table back through `pyanamo.tables`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pyanamo.model import Item, ItemState
from pyanamo.tables import Store, WorkflowTable

ROOT = Path(__file__).resolve().parents[2]
IMPORT_ITEMS = ROOT / "import-items.py"
SECONDS = 60.0  # for anything that ends by itself

# Runs a script with all its pauses a hundredth as long: the SDK's between the tries of a request,
# above all, which can come to minutes.
_IMPATIENT = """
import runpy, sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 100)
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a user sees of a command that has ended."""

    code: int  # as a shell has it: 128 + n for signal n
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line of stdout."""
        return self.stdout.splitlines()[-1] if self.stdout else ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A table that may or may not be there, how the scripts are told of it, and how we are."""

    table: str
    store: Store
    flags: tuple[str, ...] = ()  # of the scripts
    environment: Mapping[str, str] = field(default_factory=dict)

    def import_items(
        self, *arguments: str | Path, stdin: bytes = b"", impatient: bool = False
    ) -> Finished:
        """Run import-items.py on the table, to its end."""
        return finish(self.start_import(*arguments, impatient=impatient), stdin)

    def import_command(self, *arguments: str | Path) -> list[str]:
        """The command that imports into the table, but for its environment."""
        script = [sys.executable, str(IMPORT_ITEMS)]
        return [*script, "-t", self.table, *self.flags, *map(str, arguments)]

    def start_import(
        self, *arguments: str | Path, stderr: int = subprocess.PIPE, impatient: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start import-items.py on the table; `finish` is to be called."""
        command = self.import_command(*arguments)
        if impatient:
            command[1:1] = ["-c", _IMPATIENT]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **self.environment},
        )

    @contextmanager
    def opened(self) -> Iterator[WorkflowTable]:
        """The table, to look into it or to work on it."""
        table = self.store.open(self.table)
        try:
            yield table
        finally:
            table.close()

    def create(self) -> None:
        """Create the table, without items."""
        with self.opened() as table:
            table.create()

    def names(self, *states: ItemState) -> list[str]:
        """The names of all items, or of those in some states, sorted."""
        with self.opened() as table:
            return sorted(item.item_id for item in table.summaries(*states))

    def get(self, item_id: str) -> Item:
        """An item, which must be there."""
        with self.opened() as table:
            item = table.get(item_id)
        assert item is not None, f"{item_id} is not there"
        return item


def finish(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Finished:
    """What a command that was started prints and ends with; an error if it doesn't end."""
    try:
        stdout, stderr = process.communicate(stdin, SECONDS)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    code = process.returncode
    return Finished(
        code=code if code >= 0 else 128 - code,
        stdout=stdout.decode(),
        stderr=(stderr or b"").decode(),
    )
