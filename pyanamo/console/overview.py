"""The commands that show how far a workflow is: status and samples."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pyanamo.cli import duration, say
from pyanamo.console.arguments import Commands, add_command, tables_text, workflow_of
from pyanamo.console.layout import GAP, Cell, Column, Line, layout_of, natural_width, width_of
from pyanamo.console.screen import (
    CSV_HELP,
    STATE_STYLES,
    is_terminal,
    number_columns,
    number_text,
    on_lines,
    on_screen,
    print_csv,
    print_json,
    print_lines,
    print_table,
    rich_console,
    screen_width,
    shows,
    styled,
)
from pyanamo.errors import ItemNotFound, StoreUnavailable, UsageError
from pyanamo.model import ItemState
from pyanamo.signals import StoppedBySignal, raising_signals
from pyanamo.timetext import range_text
from pyanamo.workflow import Workflow
from pyanamo.workflow.samples import Filter, Samples, summary_of_samples
from pyanamo.workflow.status import PROGRESS, Status

if TYPE_CHECKING:
    from rich.console import Console

WATCH_SECONDS = 5.0
NARROWEST_BAR, WIDEST_BAR = 4, 24
STATES = tuple(state.value for state in ItemState)
STATUS_COLUMNS = ("Table", *STATES, "Tasks", "Done", "Per_Hour", "Remaining_Low", "Remaining_High")


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    status = add_command(
        commands, "status", run_status, "show how far each table is", "status -t Align Call --watch"
    )
    form = status.add_mutually_exclusive_group()
    form.add_argument(
        "--progress",
        action="store_true",
        help="count the items by the percentage of their tasks that are done",
    )
    form.add_argument(
        "--watch",
        nargs="?",
        type=duration,
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help=f"redraw every SECONDS until nothing is left to do (default: {WATCH_SECONDS:g})",
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
        help="only samples whose state in STEP is STATE; STEP=stuck: failed or held there, and "
        "nothing running or waiting; STEP= (empty): no items there",
    )
    form = samples.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help=f"print CSV; {CSV_HELP}")
    form.add_argument("--summary", action="store_true", help="count the samples in each step")


def run_status(arguments: argparse.Namespace) -> int:
    """Show how far each table is."""
    if arguments.watch == 0:
        raise UsageError("--watch 0: give a longer time")
    with workflow_of(arguments) as workflow:
        statuses = workflow.status()
        if arguments.watch is None:
            _print_status(statuses, arguments)
            return 0
        console = None if arguments.json else rich_console()
        if console and not console.is_dumb_terminal:
            return _watch(workflow, statuses, arguments, console)
        return _print_again(workflow, statuses, arguments)


def _watch(
    workflow: Workflow,
    statuses: Sequence[Status],
    arguments: argparse.Namespace,
    console: Console,
) -> int:
    """Redraw the status until nothing is left to do, or until Ctrl-C."""
    from rich.live import Live

    live = Live(styled(_watched(statuses, arguments)), console=console, auto_refresh=False)
    try:
        with raising_signals(), ExitStack() as stack:
            stack.callback(live.stop)  # shows the cursor again, even if `start` is interrupted
            live.start(refresh=True)
            while _goes_on(statuses):
                time.sleep(arguments.watch)
                trouble: list[Line] = []
                try:
                    statuses = workflow.status()
                except StoreUnavailable as error:  # it may pass
                    trouble = on_lines(str(error), "red")
                live.update(styled([*_watched(statuses, arguments), *trouble]), refresh=True)
    except StoppedBySignal as stopped:
        return stopped.exit_code
    return 0


def _print_again(
    workflow: Workflow, statuses: Sequence[Status], arguments: argparse.Namespace
) -> int:
    """Print the status again and again, until nothing is left to do."""
    _print_status(statuses, arguments)
    while _goes_on(statuses):
        sys.stdout.flush()
        time.sleep(arguments.watch)
        try:
            statuses = workflow.status()
            _print_status(statuses, arguments)
        except StoreUnavailable as error:  # it may pass
            say(str(error))
    return 0


def _goes_on(statuses: Sequence[Status]) -> bool:
    """Whether anything is left that pilots work on, or may take."""
    return any(status.tasks_left for status in statuses)


def _print_status(statuses: Sequence[Status], arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json("status", tables=statuses)
    elif arguments.progress:
        rows = ((one.table, *map(number_text, one.progress.values())) for one in statuses)
        table = Column(heading="Step", name="Table")
        print_table((table, *number_columns(f"{percent} %" for percent in PROGRESS)), rows)
    elif not is_terminal():
        print_table(STATUS_COLUMNS, map(_status_row, statuses))
    elif arguments.watch is None:
        print_lines([*status_lines(statuses, screen_width()), *_what_next(statuses, arguments)])
    else:
        print_lines(_watched(statuses, arguments))


def _watched(statuses: Sequence[Status], arguments: argparse.Namespace) -> list[Line]:
    """The status with the time, and how to end it; once nothing is left, with what to do next."""
    lines = status_lines(statuses, screen_width())
    clock = time.strftime("%H:%M:%S")
    if _goes_on(statuses):
        return [*lines, *on_lines(f"{clock}, every {arguments.watch:g} s. Ctrl-C ends it.", "dim")]
    over = on_lines(f"{clock}: nothing is left to do.")
    return [*lines, *over, *_what_next(statuses, arguments)]


def _what_next(statuses: Sequence[Status], arguments: argparse.Namespace) -> list[Line]:
    if not any(status.items[ItemState.FAILED] for status in statuses):
        return []
    command = f"{arguments.program} failures {tables_text(arguments)}"
    return [[("Failed items:  ", "dim"), (on_screen(command), "")]]


def status_lines(statuses: Sequence[Status], width: int) -> list[Line]:
    """The status on a terminal of that width, with a bar for each table.

    The bar gives way first. If the rest doesn't fit, each table has a few lines of its own.
    """
    columns = [Column(heading="Step")]
    columns += [Column(heading=state, right=True) for state in STATES]
    columns += [Column(heading="Tasks", right=True), Column(heading="Per hour", right=True)]
    columns += [Column(heading="Left")]
    rows = [_status_cells(status) for status in statuses]
    room = width - natural_width(columns, rows) - GAP
    if room < -GAP:
        return [line for status in statuses for line in _status_block(status, width)]
    if room >= NARROWEST_BAR:
        place = len(columns) - 2
        columns.insert(place, Column(heading=""))
        for row, status in zip(rows, statuses, strict=True):
            row.insert(place, _bar(status, min(room, WIDEST_BAR)))
    layout = layout_of(columns, rows, width)
    return [*layout.head(), *(line for row in rows for line in layout.lines(row))]


def _status_cells(status: Status) -> list[Cell]:
    counts = [
        Cell(text=f"{count:,}", style=STATE_STYLES[state.value] if count else "dim")
        for state, count in status.items.items()
    ]
    rest = (_tasks_text(status), _pace_text(status), remaining_text(status))
    return [Cell(text=status.table), *counts, *(Cell(text=text) for text in rest)]


def _status_block(status: Status, width: int) -> list[Line]:
    """The status of a table on a narrow terminal."""
    tasks = _tasks_text(status)
    bar = _bar(status, min(width - width_of(tasks) - 2 * GAP, WIDEST_BAR))
    pieces = [
        (f"{count:,} {state.value}", STATE_STYLES[state.value])
        for state, count in status.items.items()
        if count
    ]
    if pace := _pace_text(status):
        pieces.append((f"per hour: {pace}", ""))
    if left := remaining_text(status):
        pieces.append((f"left: {left}", ""))
    head: list[Line] = [[(status.table, "bold")], [(f"  {tasks}  ", ""), (bar.text, bar.style)]]
    return [*head, *_packed(pieces, width)]


def _packed(pieces: Iterable[tuple[str, str]], width: int) -> list[Line]:
    """The pieces in as few lines as hold them."""
    lines: list[Line] = []
    room = 0
    for text, style in pieces:
        room -= GAP + len(text)
        if room < 0:
            lines.append([])
            room = width - GAP - len(text)
        lines[-1] += [(" " * GAP, ""), (text, style)]
    return lines


def _bar(status: Status, width: int) -> Cell:
    done = width * status.tasks_done // max(1, status.tasks)
    heavy, light = ("━", "─") if shows("━─") else ("#", "-")
    return Cell(text=heavy * done + light * (width - done), style="green" if done else "dim")


def _tasks_text(status: Status) -> str:
    return f"{status.tasks_done:,}/{status.tasks:,}"


def _pace_text(status: Status) -> str:
    """The tasks per hour in words; nothing once no pilot works."""
    if not status.items[ItemState.LOCKED]:
        return ""
    return "unknown" if status.per_hour is None else f"{status.per_hour:,.0f}"


def remaining_text(status: Status) -> str:
    """The estimate in words; nothing once nobody works."""
    if not status.tasks_left or not status.items[ItemState.LOCKED]:
        return ""
    if status.remaining is None:
        return "unknown"
    return range_text(status.remaining.low, status.remaining.high)


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
    print_table(
        ("Where", *number_columns(["Samples"])),
        ((where, number_text(count)) for where, count in rows),
    )
