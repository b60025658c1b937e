"""A place to work at: a folder and a table, and the pilots that run there."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from pyanamo.account import Account
from pyanamo.model import Item, ItemState, Result
from pyanamo.tables import Store, WorkflowTable
from pyanamo.tables.dynamodb.table import DynamoDBTable
from pyanamo.workflow import Workflow
from tests.support.backends import shared_client
from tests.support.hasty import PREFIX as HASTY
from tests.support.makers import nested, single
from tests.support.pilots import Ended, PilotProcess
from tests.support.processes import processes, with_environment
from tests.support.programs import PILOT
from tests.support.terminal import Terminal, on_terminal
from tests.support.waiting import wait_until

MARK = "TEST_MARK"  # a variable by which the processes that a test started are found

P = TypeVar("P", bound="Place")


@dataclass
class Place:
    """A folder, and a table of either kind for the programs that run there.

    The table may not exist yet.
    """

    folder: Path
    store: Store
    table_name: str
    environment: dict[str, str] = field(default_factory=dict)  # beside the tests' own
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    pilots: list[PilotProcess] = field(default_factory=list)  # all that were started here

    @classmethod
    def in_file(cls: type[P], folder: Path, table_name: str = "Step") -> P:
        """A place with an embedded table, in a file of the folder."""
        return cls(folder, Store(local=folder / "table.db"), table_name)

    @classmethod
    def at(cls: type[P], endpoint: str, folder: Path, table_name: str) -> P:
        """A place with a table in the DynamoDB at an endpoint."""
        environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
        return cls(folder, Store(account=Account(endpoint_url=endpoint)), table_name, environment)

    # --- The table ---

    @cached_property
    def table(self) -> WorkflowTable:
        """The table, for the test's own use."""
        return self._open()

    @contextmanager
    def opened(self) -> Iterator[WorkflowTable]:
        """The table as a new object, as another process would have it."""
        with closing(self._open()) as table:
            yield table

    def _open(self) -> WorkflowTable:
        endpoint = self.store.account.endpoint_url
        if endpoint is None:
            return self.store.open(self.table_name)
        return DynamoDBTable(self.table_name, client=shared_client(endpoint))

    @property
    def flags(self) -> list[str]:
        """The flags that name the table. DynamoDB's endpoint is in the environment."""
        local = [] if self.store.local is None else ["--local", str(self.store.local)]
        return ["-t", self.table_name, *local]

    def workflow(self) -> Workflow:
        """The table through the operator's interface in Python."""
        return Workflow(
            self.table_name,
            local=self.store.local,
            endpoint_url=self.store.account.endpoint_url,
        )

    def fill(self, items: Mapping[str, str | Sequence[str]]) -> None:
        """Create the table, and add items: single ones of a command, nested ones of several."""
        self.table.create()
        self.table.add(itertools.starmap(_new_item, items.items()))

    def item(self, item_id: str) -> Item:
        """Read an item."""
        item = self.table.get(item_id)
        assert item is not None, f"there is no item {item_id}"
        return item

    def result(self, item_id: str = "item", task: str = "Task_0") -> Result:
        """The result of an item's task."""
        item = self.item(item_id)
        assert task in item.results, f"{item} has no result of {task}"
        return item.results[task]

    def items(self) -> dict[str, Item]:
        """Read all items, by name."""
        return {name: self.item(name) for name in self.names()}

    def names(self, *states: ItemState) -> list[str]:
        """The names of all items, or of those in some states, sorted."""
        return sorted(row.item_id for row in self.table.summaries(*states))

    def states(self) -> dict[str, str]:
        """The states of all items."""
        return {row.item_id: row.state.value for row in self.table.summaries()}

    def wait_for_state(self, item_id: str, state: ItemState) -> None:
        """Wait until an item is in that state."""
        wait_until(lambda: self.item(item_id).state is state, f"{item_id} is {state.value}")

    # --- Files of the folder ---

    def script(self, name: str, text: str) -> str:
        """Make an executable file in the folder, and return the command for it.

        Unless the text begins with `#!`, it is a Bash script that can use `_LIBRARY`.
        """
        file = self.folder / name
        file.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{_LIBRARY}\n{text}\n")
        file.chmod(0o755)
        return shlex.quote(str(file))

    def python(self, name: str, text: str) -> str:
        """Make a Python script, and return the command for it."""
        return self.script(name, f"#!{sys.executable}\n{text}\n")

    def touch(self, name: str) -> None:
        """Make an empty file in the folder: tasks can wait for it."""
        (self.folder / name).touch()

    def has(self, name: str) -> bool:
        """Whether a task has made that file in the folder."""
        return (self.folder / name).exists()

    def wait_for(self, *names: str, seconds: float = 30.0) -> None:
        """Wait until tasks have made these files."""
        for name in names:
            wait_until(partial(self.has, name), f"the file {name}", seconds)

    def lines(self, name: str) -> list[str]:
        """The lines that tasks have written to a file, sorted."""
        file = self.folder / name
        return sorted(file.read_text().splitlines()) if file.exists() else []

    # --- Pilots ---

    def start(
        self,
        *flags: str,
        prefix: Sequence[str] = (),
        table: Sequence[str] | None = None,
        hasty: bool = False,
        cold: bool = False,
    ) -> PilotProcess:
        """Start a pilot. `table` are flags for another table.

        See `hasty.py` for hasty ones, and `warm.py` for what a cold start is.
        """
        where = self.flags if table is None else table
        hurry = HASTY if hasty else ()
        command = [*prefix, *hurry, sys.executable, str(PILOT), *where, *flags]
        environment = {**os.environ, **self.environment, MARK: self.mark}
        self.pilots.append(PilotProcess(command, self.folder, environment, cold=cold))
        return self.pilots[-1]

    def run(
        self,
        *flags: str | Path,
        table: Sequence[str] | None = None,
        seconds: float = 90.0,
        hasty: bool = False,
        file_limit: int | None = None,
    ) -> Ended:
        """Run a pilot to its end. It can't make files larger than `file_limit` bytes."""
        prefix = [] if file_limit is None else ["prlimit", f"--fsize={file_limit}"]
        words = map(str, flags)
        return self.start(*words, prefix=prefix, table=table, hasty=hasty).wait(seconds)

    @contextmanager
    def pilot_at_terminal(
        self, *flags: str, columns: int = 100, **environment: str | None
    ) -> Iterator[Terminal]:
        """Start a pilot on a terminal of that width, in the test's folder."""
        here = {**self.environment, MARK: self.mark, **environment}
        command = [sys.executable, str(PILOT), *self.flags, *flags]
        with on_terminal(command, here, columns) as terminal:
            yield terminal

    # --- Processes ---

    def processes(self, *entries: str) -> list[int]:
        """The processes that were started here and have these `NAME=value` in the environment."""
        return with_environment(f"{MARK}={self.mark}", *entries)

    def task(self, item_id: str, task: str = "Task_0") -> list[int]:
        """The processes of a task."""
        return self.processes(f"PYANAMO_ITEM_ID={item_id}", f"PYANAMO_TASK={task}")

    def worker_of(self, item_id: str) -> int:
        """The worker that runs a task of the item."""
        pids = self.processes(f"PYANAMO_ITEM_ID={item_id}")
        (worker,) = {
            process.parent
            for process in processes()
            if process.pid in pids and process.parent not in pids
        }
        return worker

    def wait_for_no_process(self, seconds: float = 5.0) -> None:
        """Wait until no process is left that was started here."""
        wait_until(lambda: not self.processes(), "all processes have gone", seconds)

    def clean_up(self) -> None:
        """Kill the processes that still run, and close the table."""
        if "table" in vars(self):
            self.table.close()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pilot in self.pilots:
            pilot.wait(5)


# Functions for the scripts of tasks. Both give up after half a minute.
_LIBRARY = """
id=$PYANAMO_ITEM_ID.$PYANAMO_TASK
until_() { for _ in {1..1500}; do "$@" && return; sleep 0.02; done; exit 99; }
wait_for() { until_ test -e "$1"; }
"""


def _new_item(item_id: str, commands: str | Sequence[str]) -> Item:
    task_id = f"{item_id}-group"
    if isinstance(commands, str):
        return single(item_id, commands, task_id=task_id)
    return nested(item_id, commands, task_id=task_id)


@contextmanager
def cleaned_up(place: P) -> Iterator[P]:
    """Clean up after the block; fail if a process still runs at its end."""
    try:
        yield place
        place.wait_for_no_process()
    finally:
        place.clean_up()
