"""The command that exports all items: whole, as CSV, or as a task file that can be imported."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from itertools import chain

from pyanamo.cli import delimiters_of, say
from pyanamo.console.arguments import Commands, add_command, workflow_of
from pyanamo.console.screen import (
    CSV_HELP,
    json_for_stdout,
    print_csv,
    print_data,
    print_json_list,
)
from pyanamo.errors import TaskFileError
from pyanamo.model import Item
from pyanamo.tables.attributes import Attributes, item_attributes
from pyanamo.taskfile import header_line, task_line

CSV_COLUMNS = ("itemID", "TaskID", "TaskScript", "ItemState")


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    export = add_command(
        commands,
        "export",
        run_export,
        "print all items, one JSON object per line",
        "export -t Align --task-file > align.txt",
    )
    export.add_argument("--no-logs", action="store_true", help="leave out Log and History")
    form = export.add_mutually_exclusive_group()
    form.add_argument(
        "--csv", action="store_true", help=f"print names, commands and states as CSV; {CSV_HELP}"
    )
    form.add_argument(
        "--task-file",
        action="store_true",
        help="print a task file, which can be imported into another table",
    )
    export.add_argument(
        "-d", "--delimiter", default="|", help="between the task file's fields (default: |)"
    )
    export.add_argument(
        "-n",
        "--nested-delimiter",
        default=",",
        help="between the task file's arguments (default: ,)",
    )


def run_export(arguments: argparse.Namespace) -> int:
    """Print all items."""
    with workflow_of(arguments) as workflow:
        items = workflow.export()
        if arguments.json:
            exported = (_attributes(item, arguments.no_logs) for item in items)
            print_json_list("export", "items", exported)
            return 0
        if arguments.task_file:
            delimiters = delimiters_of(arguments.delimiter, arguments.nested_delimiter)
            return _print_task_file(items, *delimiters)
        if arguments.csv:
            print_csv(chain([CSV_COLUMNS], map(_csv_row, items)))
            return 0
        for item in items:
            print(json_for_stdout(_attributes(item, arguments.no_logs)))
    return 0


def _attributes(item: Item, no_logs: bool) -> Attributes:
    left_out = ("Log", "History") if no_logs else ()
    attributes = item_attributes(item)
    return {name: value for name, value in attributes.items() if name not in left_out}


def _csv_row(item: Item) -> tuple[str, ...]:
    script = item_attributes(item)["TaskScript"]
    text = script if isinstance(script, str) else json.dumps(script)
    return item.item_id, item.task_id, text, item.state.value


def _print_task_file(items: Iterable[Item], delimiter: str, nested_delimiter: str) -> int:
    """Print a task file. Items that it can't hold are named on stderr; then the exit code is 1."""
    code = 0
    print_data(header_line(delimiter))
    for item in items:
        try:
            print_data(task_line(item, delimiter, nested_delimiter))
        except TaskFileError as error:
            say(str(error))
            code = 1
    return code
