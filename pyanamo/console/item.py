"""The commands that show one item: show, logs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

from pyanamo.cli import say, utf8_name
from pyanamo.console.arguments import ITEM_HELP, Commands, add_command, workflow_of
from pyanamo.console.layout import Column
from pyanamo.console.screen import (
    is_terminal,
    json_error,
    print_data,
    print_json,
    print_table,
    write_bytes,
)
from pyanamo.errors import DamagedItem
from pyanamo.model import Item, Result, TaskStatus
from pyanamo.output.lines import last_lines_of
from pyanamo.output.reader import Stream, tail_of
from pyanamo.tables.attributes import item_attributes
from pyanamo.timetext import short_date

ATTRIBUTE_COLUMNS = (Column(heading="Attribute"), Column(heading="Value", text=True))
TASK_COLUMNS = (
    Column(heading="Task"),
    Column(heading="Status"),
    Column(heading="Exit", name="Exit_Code", right=True),
    Column(heading="Seconds", name="Run_Seconds", right=True),
    Column(heading="MB", name="Max_RSS_MB", right=True),
    Column(heading="Peak", name="Peak_MB", right=True),
    Column(heading="Reason", text=True),
    Column(heading="Script", text=True),
)
ATTEMPT_COLUMNS = (
    Column(heading="Attempt", right=True),
    Column(heading="Outcome"),
    Column(heading="Claimed", name="Lock_Date"),
    Column(heading="Ended", name="End_Date"),
    Column(heading="InstanceID", text=True),
    Column(heading="Reason", text=True),
)


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    show = add_command(
        commands,
        "show",
        run_show,
        "show one item with its tasks, results and attempts",
        "show -t Align Sample1",
        takes_items=True,
    )
    show.add_argument("item", type=utf8_name, metavar="ITEM", help=ITEM_HELP)
    _add_logs(commands)


def _add_logs(commands: Commands) -> None:
    logs = add_command(
        commands,
        "logs",
        run_logs,
        "print what an item's task printed",
        "logs -t Align Sample1 Task_3 --stderr --whole",
        takes_items=True,
    )
    logs.add_argument("item", type=utf8_name, metavar="ITEM", help=ITEM_HELP)
    logs.add_argument(
        "task", nargs="?", metavar="TASK", help="a nested item's task, for example Task_3"
    )
    logs.add_argument("--stderr", action="store_true", help="stderr instead of stdout")
    logs.add_argument(
        "--whole",
        action="store_true",
        help="all of it, from S3 or the log folder (default: the end of it, from the table)",
    )


def run_show(arguments: argparse.Namespace) -> int:
    """Show one item with its tasks, results and attempts."""
    with workflow_of(arguments) as workflow:
        try:
            item = workflow.show(arguments.item)
        except DamagedItem as damaged:
            _show_damaged(damaged, as_json=arguments.json)
            raise
    if arguments.json:
        print_json("show", item=item)
        return 0
    print_table(ATTRIBUTE_COLUMNS, _attribute_rows(item))
    print()
    print_table(TASK_COLUMNS, _task_rows(item))
    if printed := list(_stderr_rows(item)):
        print()
        print_table(("Task", Column(heading="stderr", text=True)), printed)
    for heading, rows in _listed(item).items():
        if rows:
            print()
            print_table(("Task", Column(heading=heading, text=True)), rows)
    if item.history:
        print()
        print_table(ATTEMPT_COLUMNS, _attempt_rows(item))
    return 0


def _show_damaged(damaged: DamagedItem, *, as_json: bool) -> None:
    """Print a row as it is: values that JSON doesn't have are printed as Python writes them."""
    shown = {
        name: value if isinstance(value, str) else json.dumps(value, default=repr)
        for name, value in damaged.row.items()
    }
    if as_json:
        print_json("show", damaged=damaged.reason, row=shown, error=json_error(damaged))
    else:
        print_table(ATTRIBUTE_COLUMNS, shown.items())


def _attribute_rows(item: Item) -> Iterator[tuple[str, str]]:
    values = item_attributes(item)
    for name in ("TaskScript", "Nested_Status", "Log", "History"):  # which have tables of their own
        values.pop(name, None)
    made_with = values.pop("Made_With", {})
    yield from ((name, str(value)) for name, value in values.items())
    yield from ((f"Made_With.{name}", value) for name, value in sorted(made_with.items()))


def _task_rows(item: Item) -> Iterator[tuple[str, ...]]:
    for task in item.tasks:
        result = item.results.get(task.name)
        used = _used(result) if result is not None else ("",) * 5
        yield (task.name, task.status.value, *used, task.script)


def _used(result: Result) -> tuple[str, ...]:
    """How a task ended, and what it used: `TASK_COLUMNS` from `Exit_Code` to `Reason`."""
    return (
        "" if result.exit_code is None else str(result.exit_code),
        f"{result.run_seconds:.1f}",
        f"{result.max_rss_mb:.0f}",
        "" if result.peak_mb is None else f"{result.peak_mb:.0f}",
        result.reason,
    )


def _stderr_rows(item: Item) -> Iterator[tuple[str, str]]:
    """The last lines that failed tasks printed on stderr."""
    for name, result in item.results.items():
        if result.status is TaskStatus.FAILED:
            yield from ((name, line) for line in last_lines_of(result))


def _listed(item: Item) -> dict[str, list[tuple[str, str]]]:
    """The result lines that tasks printed, and where their whole output is, each by task."""
    results = item.results.items()
    return {
        "Result": [(name, line) for name, result in results for line in result.results],
        "Log_URI": [(name, result.log_uri) for name, result in results if result.log_uri],
    }


def _attempt_rows(item: Item) -> Iterator[tuple[str, ...]]:
    now = time.time()
    for past in item.history:
        dates = (past.lock_date, past.end_date)
        yield (
            str(past.attempt),
            past.ending.value,
            *((short_date(date, now) for date in dates) if is_terminal() else dates),
            past.instance,
            past.reason,
        )


def run_logs(arguments: argparse.Namespace) -> int:
    """Print what an item's task printed: the end of it, or all."""
    stream: Stream = "stderr" if arguments.stderr else "stdout"
    with workflow_of(arguments) as workflow:
        result = workflow.result(arguments.item, arguments.task)
        tail, size = tail_of(result, stream)
        if arguments.whole:
            chunks = workflow.logs(arguments.item, arguments.task, stream=stream)
            if not arguments.json:
                write_bytes(chunks)
                _tell_of_the_other(result, stream)
                return 0
            tail = b"".join(chunks).decode(errors="replace")
    if arguments.json:
        print_json("logs", item_id=arguments.item, stream=stream, text=tail, size=size)
        return 0
    print_data(tail, end="")
    if len(tail.encode()) != size:
        say(f"the end of {size} bytes, as a terminal shows it; all of them with --whole")
    _tell_of_the_other(result, stream)
    return 0


def _tell_of_the_other(result: Result, stream: Stream) -> None:
    """Tell where the output is, if it is all in the other stream."""
    other: Stream = "stdout" if stream == "stderr" else "stderr"
    _, size = tail_of(result, other)
    if size and not tail_of(result, stream)[1]:
        how = "with" if other == "stderr" else "without"
        say(f"{stream} is empty; {other} has {size} bytes: show it {how} --stderr")
