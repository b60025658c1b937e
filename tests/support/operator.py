"""An operator, who types commands, and a table with items in every state for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from pyanamo import importer
from pyanamo.console import command_line
from pyanamo.model import Claim
from pyanamo.tables import WorkflowTable, transitions
from tests.support.makers import add, badly, claimed, done, ended, failed, nested, single, well
from tests.support.place import Place
from tests.support.programs import IMPORT_ITEMS, ROOT, Finished, run_main
from tests.support.terminal import COLUMNS, Terminal, on_terminal
from tests.support.warm import popen

NO_TABLES = ("",)  # for commands that are typed without -t


@dataclass
class Operator(Place):
    """A person who types commands and imports files.

    `types` and `imports` run a program in this process, `starts` and `starts_import` in another.
    The commands find the file of an embedded table through the environment.
    """

    def __post_init__(self) -> None:
        if self.store.local is not None:
            self.environment["PYANAMO_LOCAL"] = str(self.store.local)

    # --- Commands: python -m pyanamo ---

    def types(self, name: str, *words: str, tables: Iterable[str] = ()) -> Finished:
        """Run a command to its end."""
        typed = [name, *self._tables(tables), *words]
        return run_main(command_line.main, typed, environment=self.environment)

    def sees(self, name: str, *words: str, tables: Iterable[str] = (), told: str = "") -> str:
        """Run a command, which must succeed; what it prints. `told` is a pattern of its stderr."""
        ended = self.types(name, *words, tables=tables)
        assert ended.code == 0
        assert re.fullmatch(told, ended.stderr), ended.stderr
        return ended.stdout

    def rows(self, name: str, *words: str, tables: Iterable[str] = ()) -> list[list[str]]:
        """Run a command, which must succeed; the fields of the lines below the header."""
        lines = self.sees(name, *words, tables=tables).splitlines()
        return [line.split("\t") for line in lines[1:]]

    def json(self, name: str, *words: str, tables: Iterable[str] = ()) -> dict[str, Any]:
        """Run a command with --json, which must succeed; the answer."""
        answer = json.loads(self.sees(name, *words, "--json", tables=tables))
        assert (answer.pop("version"), answer.pop("command")) == (1, name)
        found: dict[str, Any] = answer
        return found

    def command(self, name: str, *words: str) -> list[str]:
        """The words that start a command in a process."""
        return [sys.executable, "-m", "pyanamo", name, *self._tables(()), *words]

    def starts(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        """Start a command in a process; call `finish` on it."""
        return self._start(self.command(name, *words), subprocess.PIPE)

    @contextmanager
    def at_terminal(
        self, name: str, *words: str, columns: int = COLUMNS, **environment: str | None
    ) -> Iterator[Terminal]:
        """Start a command on a terminal of that width."""
        here = {**self.environment, "PYTHONPATH": str(ROOT), **environment}
        with on_terminal(self.command(name, *words), here, columns) as terminal:
            yield terminal

    # --- import-items.py ---

    def imports(self, *words: str | Path, stdin: bytes = b"", hasty: bool = False) -> Finished:
        """Import into the table. If hasty, pauses take a hundredth of their time."""
        with mock.patch("time.sleep", _hundredth) if hasty else nullcontext():
            return run_main(
                importer.main,
                [*self.flags, *words],
                environment=self.environment,
                name="import-items.py",
                stdin=stdin,
            )

    def import_command(self, *words: str | Path) -> list[str]:
        """The words that start an import in a process."""
        return [sys.executable, str(IMPORT_ITEMS), *self.flags, *map(str, words)]

    def starts_import(
        self, *words: str | Path, stderr: int = subprocess.PIPE, cold: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start an import in a process; call `finish` on it. See `warm.py` for cold starts."""
        return self._start(self.import_command(*words), stderr, cold=cold)

    def _tables(self, tables: Iterable[str]) -> list[str]:
        chosen = () if tables is NO_TABLES else tables or (self.table_name,)
        return [part for table in chosen for part in ("-t", table)]

    def _start(
        self, command: list[str], stderr: int, *, cold: bool = False
    ) -> subprocess.Popen[bytes]:
        start = subprocess.Popen if cold else popen
        return start(
            command,
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )


_sleep = time.sleep


def _hundredth(seconds: float) -> None:
    _sleep(seconds / 100)


def stock(table: WorkflowTable) -> Claim:
    """Create a table with items in every state; the claim of `busy`, which a pilot holds."""
    table.create()
    ended(
        table,
        single("fine", "seq 3", task_id="S1"),
        done({"Task_0": well(stdout="1\n2\n3\n", stdout_bytes=6)}),
    )
    for item_id, code in (("bad1", 3), ("bad2", 3), ("bad3", 4)):
        line = f"cannot read {item_id}.bam, line {len(item_id) + code}\n"
        result = badly(code, stderr=line, stderr_bytes=len(line))
        ended(
            table,
            single(item_id, f"align {item_id}", task_id=f"S{item_id[-1]}"),
            failed({"Task_0": result}),
            pilot="pilot-2",
        )
    parts = {"Task_0": well(), "Task_1": badly(), "Task_2": well()}
    ended(table, nested("parts", 3, task_id="S1"), failed(parts))
    busy = claimed(table, single("busy", task_id="S2"), pilot="pilot-3")
    # Last, for the next claim would take it over.
    claimed(table, single("lost", task_id="S2"), lease=-60, pilot="pilot-4")
    add(table, single("waits", task_id="S10"), single("aside", task_id="S10"))
    table.amend("aside", transitions.held)
    return busy


def add_failed(operator: Operator, count: int, table_name: str | None = None) -> None:
    """Add items that failed."""
    with closing(operator.store.open(table_name or operator.table_name)) as table:
        table.create()
        for number in range(count):
            ended(table, single(f"item-{number:04}", "align"), failed())
