"""The commands that look: status, samples, items, show, logs, failures, jobs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyanamo.cli import duration
from pyanamo.console.arguments import (
    Commands,
    add_command,
    add_selection_flags,
    place_flags,
    selection_of,
    workflow_of,
)
from pyanamo.console.screen import (
    STATE_STYLES,
    can_redraw,
    console,
    csv_writer,
    duration_text,
    is_terminal,
    print_json,
    print_json_list,
    print_line,
    print_table,
    write_bytes,
)
from pyanamo.errors import ItemNotFound, UsageError
from pyanamo.logreader import Stream, tail_of
from pyanamo.model import Item, ItemState, ItemSummary
from pyanamo.progress import Filter, Samples, Status, summary_of_samples
from pyanamo.signals import StoppedBySignal, raising_signals
from pyanamo.tables.attributes import item_attributes
from pyanamo.workflow import Workflow

if TYPE_CHECKING:
    from rich.table import Table

WATCH_SECONDS = 5.0
STATES = tuple(state.value for state in ItemState)
STATUS_COLUMNS = ("Table", *STATES, "Tasks", "Done", "Per_Hour", "Remaining_Low", "Remaining_High")
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
    status = add_command(
        commands, "status", run_status, "how far each table is", "status -t Align Call --watch"
    )
    status.add_argument(
        "--watch",
        nargs="?",
        type=duration,
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"keep it on the screen, anew every so often ({WATCH_SECONDS:g} s)",
    )
    samples = add_command(
        commands,
        "samples",
        run_samples,
        "which sample is in which step",
        "samples -t Align Call Merge --where Call=failed",
    )
    samples.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="STEP=STATE",
        help="only samples that are so; STEP= for none there",
    )
    samples.add_argument("--csv", action="store_true", help="comma-separated")
    samples.add_argument("--summary", action="store_true", help="how many samples are where")
    _add_item_commands(commands)
    add_command(
        commands, "failures", run_failures, "what failed items have in common", "failures -t Align"
    )
    add_command(commands, "jobs", run_jobs, "which AWS Batch jobs hold items", "jobs -t Align Call")


def _add_item_commands(commands: Commands) -> None:
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
        help=f"which columns, with commas: {','.join(ITEM_COLUMNS)}",
    )
    show = add_command(
        commands, "show", run_show, "all of one item", "show -t Align Sample1", takes_items=True
    )
    show.add_argument("item", metavar="ITEM")
    logs = add_command(
        commands,
        "logs",
        run_logs,
        "what an item's task printed",
        "logs -t Align Sample1 Task_3 --stderr --whole",
        takes_items=True,
        has_json=False,
    )
    logs.add_argument("item", metavar="ITEM")
    logs.add_argument("task", nargs="?", metavar="TASK", help="of a nested item: Task_3, say")
    logs.add_argument("--stderr", action="store_true", help="stderr instead of stdout")
    logs.add_argument("--whole", action="store_true", help="all of it, from S3 or the log folder")


# --- status -------------------------------------------------------------------------------------


def run_status(arguments: argparse.Namespace) -> int:
    """How far each table is."""
    with workflow_of(arguments) as workflow:
        if arguments.watch is not None and can_redraw() and not arguments.json:
            return _watch(workflow, arguments.watch)
        while True:
            _print_status(workflow.status(), as_json=arguments.json)
            if arguments.watch is None:
                return 0
            sys.stdout.flush()
            time.sleep(arguments.watch)


def _watch(workflow: Workflow, seconds: float) -> int:
    """Keep the status on the screen until somebody presses Ctrl-C."""
    from rich.live import Live

    live = Live(status_table(workflow.status()), console=console(), auto_refresh=False)
    try:
        with raising_signals(), ExitStack() as stack:
            stack.callback(live.stop)  # shows the cursor again, also when stopped while starting
            live.start(refresh=True)
            while True:
                time.sleep(seconds)
                live.update(status_table(workflow.status()), refresh=True)
    except StoppedBySignal as stopped:
        return stopped.exit_code


def _print_status(statuses: Sequence[Status], *, as_json: bool) -> None:
    if as_json:
        print_json("status", tables=statuses)
    elif is_terminal():
        console().print(status_table(statuses))
    else:
        print_table(STATUS_COLUMNS, map(_status_row, statuses))


def status_table(statuses: Sequence[Status]) -> Table:
    """The status as a person sees it, with a bar a table."""
    from rich.box import SIMPLE_HEAD
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    # Narrow enough for 80 columns.
    table = Table("Table", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for state in STATES:
        style = STATE_STYLES[state]
        table.add_column(state, header_style=style, justify="right", no_wrap=True)
    table.add_column("tasks", justify="right", no_wrap=True)
    table.add_column("", min_width=4, max_width=24)
    table.add_column("an hour", justify="right", no_wrap=True)
    table.add_column("done in")
    for status in statuses:
        table.add_row(
            status.table,
            *(
                Text(str(count), style=STATE_STYLES[state.value] if count else "dim")
                for state, count in status.items.items()
            ),
            f"{status.tasks_done}/{status.tasks}",
            ProgressBar(total=max(1, status.tasks), completed=status.tasks_done),
            "unknown" if status.per_hour is None else f"{status.per_hour:.0f}",
            remaining_text(status),
        )
    return table


def remaining_text(status: Status) -> str:
    """The estimate in words."""
    if status.remaining is None:
        return "unknown"
    if status.remaining.high == 0:
        return "-"
    return f"{duration_text(status.remaining.low)} to {duration_text(status.remaining.high)}"


def _status_row(status: Status) -> tuple[str, ...]:
    remaining = status.remaining
    return (
        status.table,
        *(str(status.items[state]) for state in ItemState),
        str(status.tasks),
        str(status.tasks_done),
        "unknown" if status.per_hour is None else f"{status.per_hour:.1f}",
        "unknown" if remaining is None else f"{remaining.low:.0f}",
        "unknown" if remaining is None else f"{remaining.high:.0f}",
    )


# --- samples ------------------------------------------------------------------------------------


def run_samples(arguments: argparse.Namespace) -> int:
    """Which sample is in which step."""
    filters = [Filter.parse(text, arguments.table) for text in arguments.where]
    with workflow_of(arguments) as workflow:
        samples = workflow.samples().where(filters)
    if filters and not samples.rows:
        raise ItemNotFound(f"no sample has {' and '.join(arguments.where)}")
    if arguments.summary:
        _print_samples_summary(samples, as_json=arguments.json)
    elif arguments.json:
        print_json("samples", steps=samples.steps, samples=samples.rows)
    else:
        columns = ("TaskID", *samples.steps)
        rows = (
            (sample.task_id, *(sample.cell(step).text for step in samples.steps))
            for sample in samples.rows
        )
        if arguments.csv:
            csv_writer().writerows([columns, *rows])
        else:
            print_table(columns, rows)
    return 0


def _print_samples_summary(samples: Samples, *, as_json: bool) -> None:
    summary = summary_of_samples(samples)
    if as_json:
        print_json("samples", summary=summary)
        return
    rows = [("samples", summary.samples), ("finished", summary.finished)]
    for step in samples.steps:
        rows += [(f"in {step}", summary.in_step[step]), (f"stuck in {step}", summary.stuck[step])]
    rows.append(("not begun", summary.not_begun))
    print_table(("Where", "Samples"), ((where, str(count)) for where, count in rows))


# --- items, show, logs --------------------------------------------------------------------------


def run_items(arguments: argparse.Namespace) -> int:
    """List items."""
    columns = _columns(arguments)
    selection = selection_of(arguments)
    with workflow_of(arguments) as workflow:
        rows = workflow.items(selection)
        first = next(rows, None)
        if first is None and not selection.is_all:
            raise ItemNotFound(f"no item is meant by: {selection}")
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
        raise UsageError(f"{unknown[0]!r} is no column: expected {','.join(ITEM_COLUMNS)}")
    return names


def _chained(first: ItemSummary | None, rest: Iterator[ItemSummary]) -> Iterator[ItemSummary]:
    if first is not None:
        yield first
        yield from rest


def _nested(row: ItemSummary) -> str:
    return "" if row.nested_tasks is None else f"{row.nested_done or 0}/{row.nested_tasks}"


def run_show(arguments: argparse.Namespace) -> int:
    """All of one item."""
    with workflow_of(arguments) as workflow:
        item = workflow.show(arguments.item)
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
    """What an item's task printed: the tail, or the whole."""
    stream: Stream = "stderr" if arguments.stderr else "stdout"
    with workflow_of(arguments) as workflow:
        if arguments.whole:
            write_bytes(workflow.logs(arguments.item, arguments.task, stream=stream))
            return 0
        tail, size = tail_of(workflow.result(arguments.item, arguments.task), stream)
    sys.stdout.write(tail)
    shown = len(tail.encode())
    if shown < size:
        print(f"the last {shown} of {size} bytes; all of them with --whole", file=sys.stderr)
    return 0


# --- failures, jobs -----------------------------------------------------------------------------


def run_failures(arguments: argparse.Namespace) -> int:
    """What failed items have in common."""
    with workflow_of(arguments) as workflow:
        groups = workflow.failures()
    tables = " ".join(f"-t {name}" for name in dict.fromkeys(arguments.table))
    restart = f"python -m pyanamo restart {tables}{place_flags(arguments)} --group"
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
    """Which AWS Batch jobs hold items."""
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
