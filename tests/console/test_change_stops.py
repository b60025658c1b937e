"""Commands that are stopped, or that meet an error that passes."""

from __future__ import annotations

import io
import itertools
import json
import select
import shutil
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pyanamo.console import overview
from pyanamo.errors import StoreUnavailable
from pyanamo.tables.sqlite import SQLiteTable
from pyanamo.tables.sqlitefile import BUSY_SECONDS
from pyanamo.workflow import Workflow
from tests.support.importing import locked_file
from tests.support.operator import Operator, add_failed
from tests.support.place import cleaned_up
from tests.support.programs import finish, read_line
from tests.support.waiting import wait_until

ITEMS = 3000
STOPPING = "stopping after the current items; a second signal stops at once"


@pytest.fixture(scope="module")
def many_failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a table with many items that failed, for tests to copy."""
    with cleaned_up(Operator.in_file(tmp_path_factory.mktemp("many"), "Align")) as operator:
        add_failed(operator, ITEMS)
        assert operator.store.local is not None
        with closing(sqlite3.connect(operator.store.local)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return operator.store.local


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_change_that_is_stopped_tells_what_it_did(
    embedded: Operator, tmp_path: Path, many_failed: Path, number: signal.Signals, as_json: bool
) -> None:
    shutil.copy(many_failed, tmp_path / "table.db")
    flags = ["--json"] if as_json else []
    process = embedded.starts("restart", "--failed", "--yes", *flags)
    wait_until(lambda: "todo" in embedded.states().values(), "the first items are restarted")
    assert process.stderr is not None
    with locked_file(tmp_path / "table.db"):  # it can't go on until the signal has come
        process.send_signal(number)
        # Python handles no signal while the main thread itself waits for the file.
        select.select([process.stderr], [], [], BUSY_SECONDS / 4)
    assert read_line(process.stderr) == f"{STOPPING}\n"
    stopped = finish(process)
    assert stopped.code == 128 + number
    assert stopped.stderr == f"stopped by {number.name}: run the command again for the rest\n"
    states = Counter(embedded.states().values())
    assert 0 < states["todo"] < ITEMS
    if as_json:
        assert json.loads(stopped.stdout)["changed"]["changed"] == states["todo"]
    else:
        assert stopped.stdout == f"restarted {states['todo']}\n"
    assert embedded.sees("restart", "--failed", "--yes") == f"restarted {states['failed']}\n"


@pytest.mark.parametrize("verb", ["amend", "summaries"])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_change_that_meets_an_error_tells_what_it_did(
    embedded: Operator, monkeypatch: pytest.MonkeyPatch, verb: str, as_json: bool
) -> None:
    """Be it a change that fails, or the index that tells which items match."""
    add_failed(embedded, ITEMS // 10)
    calls = itertools.count()
    amend, summaries = SQLiteTable.amend, SQLiteTable.summaries

    def fail_later() -> None:
        if next(calls) == ITEMS // 20:
            raise StoreUnavailable("the table isn't there now")

    def failing_amend(*words: Any, **named: Any) -> Any:
        fail_later()
        return amend(*words, **named)

    def failing_summaries(*words: Any) -> Any:
        for row in summaries(*words):
            fail_later()
            yield row

    with monkeypatch.context() as patched:
        patched.setattr(SQLiteTable, verb, {"amend": failing_amend}.get(verb, failing_summaries))
        flags = ["--json"] if as_json else []
        ended = embedded.types("restart", "--failed", "--yes", *flags)
    states = Counter(embedded.states().values())
    assert 0 < states["todo"] < ITEMS // 10
    assert ended.code == 1
    assert ended.stderr == "the table isn't there now: run the command again for the rest\n"
    if as_json:
        assert json.loads(ended.stdout)["changed"]["changed"] == states["todo"]
    else:
        assert ended.stdout == f"restarted {states['todo']}\n"


def test_a_change_that_an_error_prevents_tells_only_the_error(
    embedded: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_failed(embedded, 3)

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("the table isn't there now")

    monkeypatch.setattr(SQLiteTable, "amend", fail)
    ended = embedded.types("restart", "--failed", "--yes")
    assert (ended.code, ended.stdout, ended.stderr) == (1, "", "the table isn't there now\n")


class Over(BaseException):
    """The end of a test's watch."""


@pytest.mark.parametrize("on_terminal", [False, True])
def test_watching_goes_on_after_an_error_that_passes(
    shelf: Operator, monkeypatch: pytest.MonkeyPatch, on_terminal: bool
) -> None:
    statuses = Workflow.status
    calls = 0

    def status(workflow: Workflow) -> Any:
        nonlocal calls
        calls += 1
        if calls in (2, 3):
            raise StoreUnavailable(f"not now \x1b[2J {calls}")
        if calls == 5:
            raise Over
        return statuses(workflow)

    monkeypatch.setattr(Workflow, "status", status)
    shown = io.StringIO()
    if on_terminal:
        console = Console(file=shown, force_terminal=True, width=100)
        monkeypatch.setattr(overview, "rich_console", lambda: console)
    monkeypatch.setattr("builtins.print", lambda *words, **_: shown.write(f"{words[0]}\n"))
    with pytest.raises(Over):
        shelf.types("status", "--watch", "0.01")
    text = shown.getvalue()
    for call in (2, 3):
        assert f"not now \\x1b[2J {call}" in text
    assert text.rindex("Align") > text.index("not now \\x1b[2J 3")


def test_watching_a_table_that_is_not_there_ends(embedded: Operator) -> None:
    assert embedded.types("status", "--watch", "0.01").code == 1
