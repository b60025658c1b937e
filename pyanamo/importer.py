"""Fill a table with the items of a delimited task file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from pyanamo.cli import (
    add_store_flags,
    add_version_flag,
    delimiters_of,
    say,
    stdin_bytes,
    store_of,
    table_of,
)
from pyanamo.errors import PyAnamoError, UsageError
from pyanamo.parser import Parser
from pyanamo.signals import exit_code, stop_signals
from pyanamo.tables import Added, Store
from pyanamo.tables.attributes import new_item
from pyanamo.taskfile import TaskFile, parse_task_file
from pyanamo.text import json_text

BAR_FROM = 300  # items; fewer are imported before anybody has read a bar
DRY_RUN_SHOWS = 3  # items


def main(argv: Sequence[str] | None = None) -> int:
    """Import a task file. Returns the exit code.

    `argv` are the arguments without the program's name; None means those of this process.
    """
    arguments = import_parser().parse_args(argv)
    table = table_of(arguments)
    store = store_of(arguments)
    tasks = read_tasks(arguments)
    if arguments.dry_run:
        show(tasks)
        return 0
    return import_items(store, table, tasks, arguments.replace)


def import_parser() -> Parser:
    """The parser of the command line."""
    parser = Parser(
        description="Import the items of a task file into a table. The table is created if it "
        "isn't there. Items that are already in the table don't change. If the file has a "
        "mistake, nothing is imported.",
        epilog="Exit codes: 0 all items are in the table; 1 some are not; 2 wrong usage; 129, "
        "130 and 143 stopped by SIGHUP, SIGINT and SIGTERM.",
    )
    add_version_flag(parser)
    add_store_flags(parser)
    file = parser.add_argument_group("the task file")
    file.add_argument(
        "-i", "--input", required=True, metavar="FILE", help="the file, or - for stdin"
    )
    file.add_argument(
        "-d",
        "--delimiter",
        default="|",
        metavar="TEXT",
        help=r"the delimiter of the columns; \t is a tab (default: |)",
    )
    file.add_argument(
        "-n",
        "--nested-delimiter",
        metavar="TEXT",
        help=r"the delimiter of a nested item's arguments; \t is a tab (default: ,)",
    )
    how = parser.add_argument_group("how to import it")
    how.add_argument(
        "--replace",
        action="store_true",
        help="replace existing items and their results, except items that a pilot is working on",
    )
    how.add_argument(
        "--dry-run",
        action="store_true",
        help="check the file and show what would be imported, without using the table",
    )
    return parser


def read_tasks(arguments: argparse.Namespace) -> TaskFile:
    """Read the task file that the command line names."""
    delimiter, nested = delimiters_of(
        arguments.delimiter,
        "," if arguments.nested_delimiter is None else arguments.nested_delimiter,
    )
    if not arguments.input:
        raise UsageError("-i is empty: give a file, or - for stdin")
    name = "stdin" if arguments.input == "-" else arguments.input
    try:
        content = stdin_bytes() if arguments.input == "-" else Path(name).read_bytes()
    except OSError as error:
        raise PyAnamoError(f"{name} can't be read: {error.strerror}") from error
    tasks = parse_task_file(content, name, delimiter=delimiter, nested_delimiter=nested)
    if arguments.nested_delimiter is not None and not tasks.has_arguments:
        say(f"{name} has no TaskArgs column: -n is ignored, all items are single")
    if tasks.warnings:
        say(tasks.warnings)
    return tasks


def import_items(store: Store, table_name: str, tasks: TaskFile, replace: bool) -> int:
    """Write the items, and print what became of them. Returns the exit code."""
    total = Added()

    def count(added: Added) -> None:
        nonlocal total
        total += added
        advance(added.items)

    with closing(store.open(table_name)) as table:
        if table.create():
            say(f"created table {table_name}")
        with stop_signals() as stop, progress_bar(tasks.items) as advance:
            try:
                table.add(tasks, replace=replace, stop=stop, on_batch=count)
            except PyAnamoError as error:
                if stop:  # the error is of a batch that was being written when the signal came
                    say(str(error))
                elif total.items:
                    told = f"{_told(total, replace)} before the error"
                    raise PyAnamoError(f"{error}\n{told}") from error
                else:
                    raise
    for item_id in total.locked:
        say(f"not replaced, a pilot is working on it: {item_id}")
    if stop.signal is not None:
        say(f"{stop.reason}: run the import again to import the rest")
    print(_told(total, replace))
    if stop.signal is not None:
        return exit_code(stop.signal)
    return 1 if total.locked else 0


def show(tasks: TaskFile) -> None:
    """Print what would be imported."""
    for item in islice(tasks, DRY_RUN_SHOWS):
        print(json_text(new_item(item, "(this import)"), indent=2))
    if tasks.items > DRY_RUN_SHOWS:
        print("...")
    print(
        f"would import {tasks.items}: {tasks.items - tasks.nested} single, {tasks.nested} nested "
        f"with {tasks.nested_tasks} tasks"
    )


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many more items are done.

    It moves a bar on stderr if that is a terminal and rich is installed.
    """
    if total < BAR_FROM or not sys.stderr.isatty() or find_spec("rich") is None:
        yield lambda items: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("importing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total)
        yield lambda items: progress.advance(task, items)


def _told(total: Added, replace: bool) -> str:
    if replace:
        return f"imported {total.imported}, replaced {total.replaced}"
    return f"imported {total.imported}, already there {total.already_there}"
