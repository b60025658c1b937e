"""The commands that show how far a workflow is: status and samples."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyanamo.cli import duration, say
from pyanamo.console.arguments import (
    Commands,
    add_command,
    workflow_of,
)
from pyanamo.console.screen import (
    CSV_HELP,
    STATE_STYLES,
    duration_text,
    print_csv,
    print_json,
    print_table,
    rich_console,
)
from pyanamo.errors import ItemNotFound, StoreUnavailable, UsageError
from pyanamo.model import ItemState
from pyanamo.signals import StoppedBySignal, raising_signals
from pyanamo.text import harmless
from pyanamo.workflow import Workflow
from pyanamo.workflow.samples import Filter, Samples, summary_of_samples
from pyanamo.workflow.status import Status

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WATCH_SECONDS = 5.0
STATES = tuple(state.value for state in ItemState)
STATUS_COLUMNS = ("Table", *STATES, "Tasks", "Done", "Per_Hour", "Remaining_Low", "Remaining_High")


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    status = add_command(
        commands, "status", run_status, "show how far each table is", "status -t Align Call --watch"
    )
    status.add_argument(
        "--watch",
        nargs="?",
        type=duration,
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"redraw every SECONDS (default: {WATCH_SECONDS:g})",
    )
    samples = add_command(
        commands,
        "samples",
        run_samples,
        "show how far each sample is",
        "samples -t Align Call Merge --where Call=failed",
    )
    samples.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="STEP=STATE",
        help="only samples whose state in STEP is STATE; STEP= for samples without items there",
    )
    form = samples.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help=f"print CSV; {CSV_HELP}")
    form.add_argument("--summary", action="store_true", help="count the samples in each step")


def run_status(arguments: argparse.Namespace) -> int:
    """Show how far each table is."""
    if arguments.watch == 0:
        raise UsageError("--watch 0: give a longer time")
    with workflow_of(arguments) as workflow:
        console = None if arguments.json or arguments.watch is None else rich_console()
        if console and not console.is_dumb_terminal:
            return _watch(workflow, arguments.watch, console)
        _print_status(workflow.status(), as_json=arguments.json)
        while arguments.watch is not None:
            sys.stdout.flush()
            time.sleep(arguments.watch)
            try:
                _print_status(workflow.status(), as_json=arguments.json)
            except StoreUnavailable as error:  # it may pass
                say(str(error))
        return 0


def _watch(workflow: Workflow, seconds: float, console: Console) -> int:
    """Redraw the status until Ctrl-C."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    shown = status_table(workflow.status())
    live = Live(shown, console=console, auto_refresh=False)
    try:
        with raising_signals(), ExitStack() as stack:
            stack.callback(live.stop)  # shows the cursor again, even if `start` is interrupted
            live.start(refresh=True)
            while True:
                time.sleep(seconds)
                try:
                    shown = status_table(workflow.status())
                    live.update(shown, refresh=True)
                except StoreUnavailable as error:  # it may pass
                    live.update(Group(shown, Text(harmless(str(error)), "red")), refresh=True)
    except StoppedBySignal as stopped:
        return stopped.exit_code


def _print_status(statuses: Sequence[Status], *, as_json: bool) -> None:
    if as_json:
        print_json("status", tables=statuses)
    elif console := rich_console():
        console.print(status_table(statuses))
    else:
        print_table(STATUS_COLUMNS, map(_status_row, statuses))


def status_table(statuses: Sequence[Status]) -> Table:
    """The status on a terminal, with a bar for each table."""
    from rich.box import SIMPLE_HEAD
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    # It must fit in 80 columns.
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


def run_samples(arguments: argparse.Namespace) -> int:
    """Show how far each sample is."""
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
            print_csv([columns, *rows])
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
