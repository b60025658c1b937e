"""Pilots as a user runs them: processes in a folder, a table for them, and what they leave."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import pytest

from pyanamo.account import Account
from pyanamo.model import Ending, Item, ItemState, Result
from pyanamo.tables import Store, WorkflowTable
from tests.support.makers import nested, single
from tests.support.waiting import wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
MARK = "TEST_MARK"  # in the environment of all that a test starts, and so of all that this starts

SUMMARY = re.compile(
    r"done (?P<done>\d+), failed (?P<failed>\d+), released (?P<released>\d+)"
    r"(?:, lost (?P<lost>\d+))? in \d+\.\d s\n"
)
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) .+")

# Runs a script with all its pauses a thousandth as long: those of the SDK between the tries of a
# request, above all, which can come to minutes. What it would have paused is printed in the end.
_IMPATIENT = """
import atexit, os, runpy, sys, time
sleep = time.sleep
def short(seconds):
    os.write(2, f"PAUSE {seconds}\\n".encode())
    sleep(seconds / 1000)
time.sleep = short
sys.argv = sys.argv[2:]  # without the interpreter, which comes first
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


# --- Processes ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process, as /proc/PID/stat tells of it."""

    pid: int
    parent: int
    group: int
    is_zombie: bool


def processes() -> Iterator[Process]:
    """All processes of this machine."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent, group, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                yield Process(int(entry.name), int(parent), int(group), is_zombie=state == "Z")


def with_environment(*entries: str) -> list[int]:
    """The processes that have all these `NAME=value` in their environment."""
    wanted = [b"\0" + os.fsencode(entry) + b"\0" for entry in entries]
    found = []
    for process in processes():
        with suppress(OSError):
            environment = b"\0" + Path(f"/proc/{process.pid}/environ").read_bytes()
            if all(entry in environment for entry in wanted):
                found.append(process.pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs, zombies not counted."""
    return any(process.pid == pid and not process.is_zombie for process in processes())


@dataclass(frozen=True)
class Ended:
    """How a pilot ended. `code` is negative where a signal ended it."""

    code: int
    stdout: str
    stderr: str
    seconds: float  # since it was started

    @property
    def counts(self) -> dict[str, int]:
        """What the summary says; a failure if it isn't there, or isn't alone on stdout."""
        match = SUMMARY.fullmatch(self.stdout)
        assert match, f"stdout is {self.stdout!r}, stderr {self.stderr!r}"
        return {name: int(count or 0) for name, count in match.groupdict().items()}

    @property
    def error_lines(self) -> list[str]:
        """The lines on stderr that aren't of the log."""
        return [line for line in self.stderr.splitlines() if not LOG_LINE.fullmatch(line)]


class PilotProcess:
    """A running pilot, in a process group of its own with its workers."""

    def __init__(self, command: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        # Files, not pipes: whatever a pilot leaves behind must not keep a test waiting.
        self._files = [folder / f".{uuid.uuid4().hex}.{name}" for name in ("stdout", "stderr")]
        self.started = time.monotonic()
        with self._files[0].open("wb") as stdout, self._files[1].open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def stderr(self) -> str:
        """What it has said so far."""
        return self._files[1].read_text()

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended."""
        return self._process.poll() is None

    @property
    def children(self) -> list[Process]:
        """Its workers, its guardian, and what it has adopted."""
        return [process for process in processes() if process.parent == self.pid]

    @property
    def workers(self) -> list[int]:
        """Its workers."""
        return [
            child.pid for child in self.children if child.group == self.pid and not child.is_zombie
        ]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to it and all its workers at once."""
        os.killpg(self.pid, number)

    def wait_for_log(self, text: str, seconds: float = 30.0) -> None:
        """Wait until its log says that."""
        wait_until(lambda: text in self.stderr, f"the pilot says {text!r}", seconds)

    def wait(self, seconds: float = 60.0) -> Ended:
        """Wait for its end; a failure if that takes longer."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the pilot still runs after {seconds:g} s; it said:\n{self.stderr}")
        stdout, stderr = (file.read_text() for file in self._files)
        return Ended(code, stdout, stderr, time.monotonic() - self.started)


# --- A place to work at -------------------------------------------------------------------------


@dataclass
class Place:
    """A folder where pilots run, and a table for them."""

    folder: Path
    store: Store
    table_name: str
    environment: dict[str, str] = field(default_factory=dict)  # beside the tests' own
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    pilots: list[PilotProcess] = field(default_factory=list)  # all that were started here

    @cached_property
    def table(self) -> WorkflowTable:
        """The table, for the test's own use."""
        return self.store.open(self.table_name)

    def fill(self, items: Mapping[str, str | Sequence[str]]) -> None:
        """Add items to the table: a command makes a single one, several a nested one."""
        self.table.create()
        self.table.add(itertools.starmap(_new_item, items.items()))

    def item(self, item_id: str) -> Item:
        """An item as it is now."""
        item = self.table.get(item_id)
        assert item is not None, f"there is no item {item_id}"
        return item

    def result(self, item_id: str = "item", task: str = "Task_0") -> Result:
        """The result of an item's task."""
        return result(self.item(item_id), task)

    def items(self) -> dict[str, Item]:
        """All items as they are now, by name."""
        names = sorted({summary.item_id for summary in self.table.summaries()})
        return {name: self.item(name) for name in names}

    def wait_for_state(self, item_id: str, state: ItemState) -> None:
        """Wait until an item is in that state."""
        wait_until(lambda: self.item(item_id).state is state, f"{item_id} is {state.value}")

    def script(self, name: str, text: str) -> str:
        """Make an executable file in the folder; the command for it, from wherever.

        It is one of Bash, which may use the functions of `_LIBRARY`, unless it says of what.
        """
        file = self.folder / name
        file.write_text(text if text.startswith("#!") else f"#!/bin/bash\n{_LIBRARY}\n{text}\n")
        file.chmod(0o755)
        return shlex.quote(str(file))

    def python(self, name: str, text: str) -> str:
        """Make a script of Python; the command for it."""
        return self.script(name, f"#!{sys.executable}\n{text}\n")

    def touch(self, name: str) -> None:
        """Make an empty file in the folder, for tasks that wait for it."""
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

    def start(
        self, *flags: str, prefix: Sequence[str] = (), table: Sequence[str] | None = None
    ) -> PilotProcess:
        """Start a pilot; `table` are the flags that name another table."""
        where = self.flags if table is None else table
        command = [*prefix, sys.executable, str(REPOSITORY / "pyanamo.py"), *where, *flags]
        environment = {**os.environ, **self.environment, MARK: self.mark}
        self.pilots.append(PilotProcess(command, self.folder, environment))
        return self.pilots[-1]

    def run(
        self,
        *flags: str | Path,
        table: Sequence[str] | None = None,
        seconds: float = 90.0,
        impatient: bool = False,
        file_limit: int | None = None,
    ) -> Ended:
        """Run a pilot to its end. No file of it may be larger than `file_limit`."""
        prefix = [] if file_limit is None else ["prlimit", f"--fsize={file_limit}"]
        prefix += [sys.executable, "-c", _IMPATIENT] if impatient else []
        return self.start(*map(str, flags), prefix=prefix, table=table).wait(seconds)

    @property
    def flags(self) -> list[str]:
        """The command line's flags for the table; that of DynamoDB is in the environment."""
        local = [] if self.store.local is None else ["--local", str(self.store.local)]
        return ["-t", self.table_name, *local]

    def processes(self, *entries: str) -> list[int]:
        """What runs of all that was started here, with such `NAME=value` in its environment."""
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
        """Wait until nothing is left of all that was started here."""
        wait_until(lambda: not self.processes(), "all processes have gone", seconds)


# For tasks' scripts: wait_for FILE..., until COMMAND... - both for half a minute at the most.
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


def result(item: Item, task: str = "Task_0") -> Result:
    """The result of an item's task."""
    assert task in item.results, f"{item} has no result of {task}"
    return item.results[task]


def endings(item: Item) -> list[Ending]:
    """How the item's attempts ended, the oldest first."""
    return [attempt.ending for attempt in item.history]


@contextmanager
def new_place(
    kind: str, folder: Path, table_name: str, request: pytest.FixtureRequest
) -> Iterator[Place]:
    """A place with an embedded table, or one of the shared DynamoDB Local.

    It is a failure if anything that was started there still runs in the end.
    """
    if kind == "embedded":
        place = Place(folder, Store(local=folder / "table.db"), table_name)
    else:
        endpoint = request.getfixturevalue("dynamodb")
        environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
        place = Place(
            folder, Store(account=Account(endpoint_url=endpoint)), table_name, environment
        )
    with cleaned_up(place):
        yield place


@contextmanager
def cleaned_up(place: Place) -> Iterator[Place]:
    """Fail if something still runs in the end; end it in any case."""
    try:
        yield place
        place.wait_for_no_process()
    finally:
        place.table.close()
        for pid in place.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pilot in place.pilots:
            pilot.wait(5)


# --- Namespaces ---------------------------------------------------------------------------------


def unshared() -> list[str]:
    """The command that runs another as process 1 of a pid namespace; fails where that can't be."""
    tool = shutil.which("unshare")
    options = ["--pid", "--fork", "--mount-proc", "--kill-child"]
    for rights in ([], ["--user", "--map-root-user"]):
        command = [str(tool), *rights, *options]
        if tool and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    pytest.fail("unshare(1) can't make a pid namespace here: run the tests where it can")
