"""What the operator's commands refuse, and how they say it."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from resource import RLIMIT_NOFILE, getrlimit
from unittest import mock

import pytest

from pyanamo.cli import run_command_line
from pyanamo.console import command_line
from pyanamo.errors import TableNotFound, UsageError
from pyanamo.workflow import Workflow
from pyanamo.workflow.selection import Selection
from tests.support.makers import add, single
from tests.support.operator import Operator
from tests.support.programs import ROOT, run_main

ABOUT_TABLES = (
    *("create", "drop", "capacity", "status", "samples", "items", "show", "logs", "failures"),
    *("restart", "hold", "unhold", "release", "jobs", "delete", "export", "submit"),
)
COMMANDS = (*ABOUT_TABLES, "tables", "completion")


def test_an_unknown_table_in_python(shelf: Operator) -> None:
    anything = Selection(names=("x",))
    acts: dict[str, Callable[[Workflow], object]] = {
        "status": Workflow.status,
        "samples": Workflow.samples,
        "items": lambda workflow: list(workflow.items()),
        "show": lambda workflow: workflow.show("x"),
        "logs": lambda workflow: workflow.logs("x"),
        "failures": Workflow.failures,
        "jobs": Workflow.jobs,
        "export": lambda workflow: list(workflow.export()),
        "restart": lambda workflow: workflow.restart(anything),
        "hold": lambda workflow: workflow.hold(anything),
        "unhold": lambda workflow: workflow.unhold(anything),
        "release": lambda workflow: workflow.release(anything),
        "delete": lambda workflow: workflow.delete(anything),
        "drop": Workflow.drop,
    }
    assert {*acts, "create", "capacity", "submit"} == set(ABOUT_TABLES)
    with Workflow("Exmaple", local=shelf.store.local) as workflow:
        for act in acts.values():
            with pytest.raises(TableNotFound, match="there is no table 'Exmaple'"):
                act(workflow)


BAD_INPUT: list[tuple[list[str], int, str]] = [
    (["items", "nobody"], 4, "item 'nobody' is not in "),
    (["items", "--name", "nobody*"], 4, "no item matches --name 'nobody*'"),
    (["restart", "--group", "abcdef"], 4, "no item matches --group abcdef"),
    (["items", "fine", "--older-than", "2h"], 4, "no item matches fine --older-than 2h"),
    (["release", "--name", "bad*"], 4, "no item matches --state locked --name 'bad*'"),
    (["restart"], 2, "which items?"),
    (["restart", "parts", "--task", "Task_7"], 4, "item 'parts' has no Task_7"),
    (["show", "nobody"], 4, "item 'nobody' is not in "),
    (["items", "--state", "finished"], 2, "'finished' is not one of todo, locked, done, failed"),
    (["items", "--state", "faild"], 2, "; did you mean 'failed'? (see python -m pyanamo items --h"),
    (["items", "--older-than", "2h", "--older-than", "3h"], 2, "it is given twice, but takes one"),
    (["items", "--stat", "failed"], 2, "unrecognized arguments: --stat; did you mean '--state'?"),
    (["items", "--local", "a", "--local", "b"], 2, "argument --local: it is given twice"),
    (["items", "nobody", "fine", "noone"], 4, "items 'nobody', 'noone' are not in "),
    (["hold", "--items", "-", "--task-ids", "-"], 2, "only one of --items and --task-ids can be -"),
    (["hold", "--items", "/nonexistent/names"], 1, "/nonexistent/names can't be read: No such"),
    (["hold", "--items", "/dev/null"], 4, "no item matches --items /dev/null: it names none"),
    (["release", "--state", "done"], 2, "--state done: release changes locked items only"),
    (["export", "--reason", "flood"], 4, "no item matches --reason flood"),
    (
        ["items", "--columns", "itemID,Sample"],
        2,
        "'Sample' is not a column: expected all, or some of Table,itemID,",
    ),
    (["items", "--older-than", "soon"], 2, "'soon' is not a duration: use 90, 90s, 30m, 2h or 1d"),
    (["samples", "--where", "Align"], 2, "'Align' is not a filter: expected STEP=STATE"),
    (["samples", "--where", "Align=finished"], 2, "'finished' in 'Align=finished' is not a state"),
    (["samples", "--where", "Call=done"], 2, "'Call' in 'Call=done' is not a step: expected Align"),
    (["samples", "--where", "Align=held", "--where", "Align="], 4, "no sample has Align=held and "),
    (["release", "--ended-jobs", "busy"], 2, "--ended-jobs takes no item names"),
    (["release", "--ended-jobs", "--dry-run"], 4, "no item is held by an AWS Batch job that has"),
    (["restart", "--name", "nobody*", "--dry-run"], 4, "no item matches --name 'nobody*'"),
    (
        ["items", "--reason", "*bam*"],
        4,
        " of stderr is not part of the reason: see `failures`, and",
    ),
    (["status", "-r", "x", "Align"], 2, "guments: Align; a table's name goes after -t (see "),
    (["show", "Align", "fine"], 2, "unrecognized arguments: fine; a table's name goes after -t"),
    (["show", "-fine"], 2, "required: ITEM; a name that begins with - goes after --: -- -fine"),
    (["status", "-t", "Align,Call"], 2, "be a table's name; for several: -t Align -t Call"),
    (["status", "--watch", "0"], 2, "--watch 0: give a longer time"),
    (["status", "--endpoint-url", "http://127.0.0.1:x"], 2, "'http://127.0.0.1:x' is not a URL"),
]


@pytest.mark.parametrize(("words", "code", "message"), BAD_INPUT)
def test_bad_input(shelf: Operator, words: list[str], code: int, message: str) -> None:
    ended_so = shelf.types(*words)
    assert (ended_so.code, ended_so.stdout) == (code, "")
    assert message in ended_so.stderr
    assert ended_so.stderr.count("\n") == 1


def test_a_name_that_is_no_items(shelf: Operator) -> None:
    with closing(shelf.store.open("Call")) as table:
        table.create()
    for name, hint in (
        ("Call", " (for several tables: -t Align -t Call)"),
        ("S10", " (it is a TaskID: --task-id S10)"),
        ("wait", "; did you mean 'waits'?"),
        ("nothing-like-it", ""),
    ):
        for words in (["restart", name, "--state", "failed"], ["show", name]):
            ended = shelf.types(*words)
            assert (ended.code, ended.stderr) == (4, f"item {name!r} is not in Align{hint}\n")
    answer = json.loads(shelf.types("items", "Call", "--json").stdout)
    assert answer["error"].endswith("-t Align -t Call)")


def test_flags_before_the_command(embedded: Operator) -> None:
    ended = run_main(command_line.main, ["--local", "op.db", "status"], environment={})
    assert ended.code == 2
    assert ended.stderr.startswith("'op.db' is not a command; flags go after the command (see ")


def test_a_bad_name_for_a_table(embedded: Operator) -> None:
    unknown = embedded.types("status")
    assert (unknown.code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("there is no table 'Align' in ")
    assert unknown.stderr.count("\n") == 1
    assert embedded.types("create", tables=("Al ign",)).code == 2


def test_an_unknown_table_of_dynamodb(hosted: Operator) -> None:
    unknown = hosted.types("failures")
    assert (unknown.code, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith(f"there is no table {hosted.table_name!r} in us-east-1")
    with pytest.raises(UsageError, match="at least one table"):
        Workflow()


@pytest.mark.parametrize("command", ["items", "export", "samples --csv"])
def test_a_reader_that_has_enough(embedded: Operator, command: str) -> None:
    with embedded.opened() as table:
        table.create()
        add(
            table, *(single(f"{'x' * 100}-{n:05}", task_id=f"{'y' * 100}-{n}") for n in range(1500))
        )
    name, *words = command.split()
    typed = " ".join(embedded.command(name, *words))
    ended_so = subprocess.run(
        ["bash", "-c", f"{typed} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=ROOT,
        env={**os.environ, **embedded.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended_so.stderr == ""
    assert ended_so.stdout.count("\n") == 1
    assert ended_so.returncode == 1


def test_help_has_an_example_of_every_command() -> None:
    for name in COMMANDS:
        told = run_main(command_line.main, [name, "--help"], environment={"COLUMNS": "100"})
        assert (told.code, told.stderr) == (0, "")
        takes_tables = name in ABOUT_TABLES
        example = f"{name} -t " if takes_tables else f"{name} "
        assert f"Example:\n  python -m pyanamo {example}" in told.stdout
        assert told.stdout.splitlines()[-2] == "Example:"  # on one line, to be copied
        assert ("a table (one workflow step)" in told.stdout) == takes_tables


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EIO, "Input/output error", "a.txt"), "a.txt: Input/output error"),
        (OSError(errno.ENOSPC, "No space left"), "No space left: make room on its disk"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            f"Too many open files (ulimit -n is {getrlimit(RLIMIT_NOFILE)[0]}): raise the limit",
        ),
    ],
)
def test_an_error_of_a_file_is_told_in_words(error: OSError, message: str) -> None:
    def main() -> int:
        raise error

    with (
        open(os.devnull, "w") as stdout,
        mock.patch.object(sys, "stdout", stdout),
        mock.patch.object(sys, "stderr", io.StringIO()) as stderr,
    ):
        assert run_command_line(main) == 1
    assert stderr.getvalue() == f"{message}\n"
