"""An operator with a table of items in every state, who types commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyanamo.account import Account
from pyanamo.model import Claim, Item
from pyanamo.tables import Store, WorkflowTable, transitions
from pyanamo.workflow import Workflow
from tests.support.cli import ROOT, Finished, finish
from tests.support.makers import add, badly, claimed, done, ended, failed, nested, single, well
from tests.support.terminal import Terminal, on_terminal


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Somebody at a command line, for whom a table is there."""

    store: Store
    table: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, name: str, *arguments: str, tables: Iterable[str] = ()) -> list[str]:
        """A command on the table, or on others."""
        flags = [part for table in (tables or (self.table,)) for part in ("-t", table)]
        return [sys.executable, "-m", "pyanamo", name, *flags, *arguments]

    def start(
        self, name: str, *arguments: str, tables: Iterable[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start a command; `finish` is to be called."""
        return subprocess.Popen(
            self.command(name, *arguments, tables=tables),
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def types(self, name: str, *arguments: str, tables: Iterable[str] = ()) -> Finished:
        """Run a command to its end."""
        return finish(self.start(name, *arguments, tables=tables))

    def sees(self, name: str, *arguments: str, tables: Iterable[str] = ()) -> str:
        """What a command prints, which must do its job."""
        ended = self.types(name, *arguments, tables=tables)
        assert (ended.code, ended.stderr) == (0, "")
        return ended.stdout

    def rows(self, name: str, *arguments: str, tables: Iterable[str] = ()) -> list[list[str]]:
        """The same as fields of lines, but for the header."""
        lines = self.sees(name, *arguments, tables=tables).splitlines()
        return [line.split("\t") for line in lines[1:]]

    def json(self, name: str, *arguments: str, tables: Iterable[str] = ()) -> dict[str, Any]:
        """What a command answers with --json."""
        answer = json.loads(self.sees(name, *arguments, "--json", tables=tables))
        assert (answer.pop("version"), answer.pop("command")) == (1, name)
        found: dict[str, Any] = answer
        return found

    def opened(self, table: str | None = None) -> WorkflowTable:
        """The table, or another; to be closed."""
        return self.store.open(table or self.table)

    def workflow(self) -> Workflow:
        """The same in Python."""
        return Workflow(
            self.table, local=self.store.local, endpoint_url=self.store.account.endpoint_url
        )

    def item(self, item_id: str) -> Item:
        """An item as it is now, which must be there."""
        table = self.opened()
        item = table.get(item_id)
        table.close()
        assert item is not None, f"{item_id} is not there"
        return item

    def states(self) -> dict[str, str]:
        """The states of all items."""
        table = self.opened()
        found = {row.item_id: row.state.value for row in table.summaries()}
        table.close()
        return found


def stock(table: WorkflowTable) -> Claim:
    """Items in every state; the claim of `busy`, which a pilot holds."""
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


def new_operator(kind: str, folder: Path, table: str, request: pytest.FixtureRequest) -> Operator:
    """An operator whose table isn't there yet."""
    if kind == "embedded":
        file = folder / "pyanamo.db"
        environment = {"PYANAMO_LOCAL": str(file)}
        return Operator(store=Store(local=file), table=table, environment=environment)
    endpoint: str = request.getfixturevalue("dynamodb")
    environment = {"AWS_ENDPOINT_URL_DYNAMODB": endpoint}
    return Operator(
        store=Store(account=Account(endpoint_url=endpoint)), table=table, environment=environment
    )


def fill(operator: Operator) -> Claim:
    """Put items of every state into the table; the claim of `busy`."""
    table = operator.opened()
    claim = stock(table)
    table.close()
    return claim


def add_failed(operator: Operator, count: int, table_name: str | None = None) -> None:
    """Add items that failed."""
    table = operator.opened(table_name)
    table.create()
    for number in range(count):
        ended(table, single(f"item-{number:04}", "align"), failed())
    table.close()


@contextmanager
def at_terminal(
    operator: Operator, name: str, *words: str, **environment: str | None
) -> Iterator[Terminal]:
    """A command on a terminal."""
    here = {**operator.environment, "PYTHONPATH": str(ROOT), **environment}
    with on_terminal(operator.command(name, *words), here) as terminal:
        yield terminal
