"""The commands that show items: items, show, logs, failures, jobs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from pyanamo.cli import say, utf8_name
from pyanamo.console.arguments import (
    ITEM_HELP,
    Commands,
    add_command,
    add_selection_flags,
    selection_of,
    selection_text,
    tables_text,
    workflow_of,
)
from pyanamo.console.screen import (
    is_terminal,
    print_data,
    print_json,
    print_json_list,
    print_line,
    print_table,
    write_bytes,
)
from pyanamo.errors import DamagedItem, ItemNotFound, UsageError
from pyanamo.model import Item, ItemSummary
from pyanamo.output.reader import Stream, tail_of
from pyanamo.tables.attributes import item_attributes

ITEM_COLUMNS: Mapping[str, Callable[[ItemSummary], str]] = {
    "Table": lambda row: row.table,
    "itemID": lambda row: row.item_id,
    "TaskID": lambda row: row.task_id,
    "ItemState": lambda row: row.state.value,
    "Nested": lambda row: _nested(row),
    "Exit_Code": lambda row: "" if row.exit_code is None else str(row.exit_code),
    "Run_Seconds": lambda row: "" if row.run_seconds is None else f"{row.run_seconds:.1f}",
    "Lock_Date": lambda row: row.lock_date,
    "Done_Date": lambda row: row.done_date,
    "InstanceID": lambda row: row.instance,
}


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    items = add_command(
        commands,
        "items",
        run_items,
        "list items",
        "items -t Align --state failed --older-than 2h",
        takes_items=True,
    )
    add_selection_flags(items)
    items.add_argument(
        "--columns",
        metavar="NAMES",
        help=f"the columns to show, separated by commas: {', '.join(ITEM_COLUMNS)}",
    )
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
    add_command(
        commands,
        "failures",
        run_failures,
        "show what failed items have in common",
        "failures -t Align",
    )
    add_command(
        commands, "jobs", run_jobs, "list AWS Batch jobs that hold items", "jobs -t Align Call"
    )


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


def run_items(arguments: argparse.Namespace) -> int:
    """List items."""
    columns = _columns(arguments)
    selection = selection_of(arguments)
    with workflow_of(arguments) as workflow:
        rows = workflow.items(selection)
        first = next(rows, None)
        if first is None and not selection.is_all:
            raise ItemNotFound(f"no item matches {selection_text(arguments)}")
        found = _chained(first, rows)
        if arguments.json:
            print_json_list("items", "items", found)
        else:
            cells = (tuple(ITEM_COLUMNS[name](row) for name in columns) for row in found)
            print_table(columns, cells)
    return 0


def _columns(arguments: argparse.Namespace) -> Sequence[str]:
    if arguments.columns is None:
        several = len(set(arguments.table)) > 1
        return [name for name in ITEM_COLUMNS if several or name != "Table"]
    names: list[str] = arguments.columns.split(",")
    if unknown := [name for name in names if name not in ITEM_COLUMNS]:
        raise UsageError(f"{unknown[0]!r} is not a column: expected {','.join(ITEM_COLUMNS)}")
    return names


def _chained(first: ItemSummary | None, rest: Iterator[ItemSummary]) -> Iterator[ItemSummary]:
    if first is not None:
        yield first
        yield from rest


def _nested(row: ItemSummary) -> str:
    return "" if row.nested_tasks is None else f"{row.nested_done or 0}/{row.nested_tasks}"


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
    print_table(("Attribute", "Value"), _attribute_rows(item))
    print()
    tasks = ("Task", "Status", "Exit_Code", "Run_Seconds", "Max_RSS_MB", "Reason", "Script")
    print_table(tasks, _task_rows(item))
    if item.history:
        print()
        attempts = ("Attempt", "Outcome", "Lock_Date", "End_Date", "InstanceID", "Reason")
        print_table(attempts, _attempt_rows(item))
    return 0


def _show_damaged(damaged: DamagedItem, *, as_json: bool) -> None:
    """Print a row as it is: values that JSON doesn't have are printed as Python writes them."""
    shown = {
        name: value if isinstance(value, str) else json.dumps(value, default=repr)
        for name, value in damaged.row.items()
    }
    if as_json:
        print_json("show", damaged=damaged.reason, row=shown)
    else:
        print_table(("Attribute", "Value"), shown.items())


def _attribute_rows(item: Item) -> Iterator[tuple[str, str]]:
    values = item_attributes(item)
    for name in ("TaskScript", "Log", "History"):
        values.pop(name, None)
    yield from ((name, str(value)) for name, value in values.items())


def _task_rows(item: Item) -> Iterator[tuple[str, ...]]:
    for task in item.tasks:
        result = item.results.get(task.name)
        status = result.status if result and not item.nested else task.status
        used = ("", "", "", "")
        if result is not None:
            code = "" if result.exit_code is None else str(result.exit_code)
            used = (code, f"{result.run_seconds:.1f}", f"{result.max_rss_mb:.0f}", result.reason)
        yield (task.name, status.value, *used, task.script)


def _attempt_rows(item: Item) -> Iterator[tuple[str, ...]]:
    for past in item.history:
        yield (
            str(past.attempt),
            past.ending.value,
            past.lock_date,
            past.end_date,
            past.instance,
            past.reason,
        )


def run_logs(arguments: argparse.Namespace) -> int:
    """Print what an item's task printed: the end of it, or all."""
    stream: Stream = "stderr" if arguments.stderr else "stdout"
    with workflow_of(arguments) as workflow:
        if arguments.whole and not arguments.json:
            write_bytes(workflow.logs(arguments.item, arguments.task, stream=stream))
            return 0
        tail, size = tail_of(workflow.result(arguments.item, arguments.task), stream)
        if arguments.whole:
            whole = b"".join(workflow.logs(arguments.item, arguments.task, stream=stream))
            tail = whole.decode(errors="replace")
    if arguments.json:
        print_json("logs", item_id=arguments.item, stream=stream, text=tail, size=size)
        return 0
    print_data(tail, end="")
    if len(tail.encode()) != size:
        say(f"the end of {size} bytes, as a terminal shows it; all of them with --whole")
    return 0


def run_failures(arguments: argparse.Namespace) -> int:
    """Show what failed items have in common."""
    with workflow_of(arguments) as workflow:
        groups = workflow.failures()
    restart = f"{arguments.program} restart {tables_text(arguments)} --group"
    if arguments.json:
        commands = {group.group_id: f"{restart} {group.group_id}" for group in groups}
        print_json("failures", groups=groups, restart=commands)
        return 0
    columns = ("Group", "Items", "Reason", "Last_Line", "Example")
    rows = [
        (group.group_id, str(group.count), group.reason, group.last_line, group.example_id)
        for group in groups
    ]
    if is_terminal():  # too narrow for a command in every row
        print_table(columns, rows)
        if groups:
            print_line(f"Run a group again: {restart} {groups[0].group_id}")
    else:
        print_table((*columns, "Restart"), ((*row, f"{restart} {row[0]}") for row in rows))
    return 0


def run_jobs(arguments: argparse.Namespace) -> int:
    """List AWS Batch jobs that hold items."""
    with workflow_of(arguments) as workflow:
        held = workflow.jobs()
    if arguments.json:
        print_json("jobs", jobs=held)
        return 0
    rows = (
        (entry.instance, entry.job.status.value, str(len(entry.items)), entry.job.reason)
        for entry in held
    )
    print_table(("Job", "Status", "Items", "Reason"), rows)
    return 0
