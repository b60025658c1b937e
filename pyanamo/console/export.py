"""The command that exports items: whole, as CSV, or as a task file that can be imported."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from pyanamo.cli import delimiters_of, say
from pyanamo.console.arguments import Commands, add_command, workflow_of
from pyanamo.console.screen import (
    CSV_HELP,
    counted,
    json_for_stdout,
    print_csv,
    print_data,
    print_json_list,
)
from pyanamo.console.selecting import (
    add_selection_flags,
    no_item_matches,
    selection_of,
    told_of_unmatched,
)
from pyanamo.errors import TaskFileError
from pyanamo.model import Item
from pyanamo.tables.attributes import Attributes, attribute_names, item_attributes
from pyanamo.taskfile import header_line, task_line
from pyanamo.text import json_text

LOGS = ("Log", "History")
MOST_NAMED = 20  # items that a task file can't hold
OTHER_DELIMITERS = (("|", ","), ("\t", ","), ("\t", ";"), ("\t", "@@"))


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    export = add_command(
        commands,
        "export",
        run_export,
        "print items, by default all of them, one JSON object per line",
        "export -t Align --reason 'out of memory' --task-file > again.txt",
        takes_items=True,
    )
    add_selection_flags(export)
    export.add_argument("--no-logs", action="store_true", help="leave out Log and History")
    form = export.add_mutually_exclusive_group()
    form.add_argument(
        "--csv",
        action="store_true",
        help=f"print CSV with all attributes, maps and lists as JSON; {CSV_HELP}",
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
    """Print items."""
    selection = selection_of(arguments)
    delimiters = delimiters_of(arguments.delimiter, arguments.nested_delimiter)
    left_out = LOGS if arguments.no_logs else ()
    with workflow_of(arguments) as workflow:
        items = told_of_unmatched(selection, workflow.export(selection))
        first = next(items, None)
        if first is None and not selection.is_all:
            raise no_item_matches(arguments)
        items = chain(() if first is None else [first], items)
        if arguments.task_file and not arguments.json:
            return _print_task_file(items, *delimiters)
        rows = (_attributes(item, left_out) for item in items)
        if arguments.json:
            print_json_list("export", "items", rows)
        elif arguments.csv:
            columns = [name for name in attribute_names() if name not in left_out]
            cells = ([_cell(row.get(name)) for name in columns] for row in rows)
            print_csv(chain([columns], cells))
        else:
            for row in rows:
                print(json_for_stdout(row))
    return 0


def _attributes(item: Item, left_out: Collection[str]) -> Attributes:
    attributes = item_attributes(item)
    return {name: value for name, value in attributes.items() if name not in left_out}


def _cell(value: object) -> str:
    """A value in CSV; empty if the item doesn't have it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def _print_task_file(items: Iterable[Item], delimiter: str, nested_delimiter: str) -> int:
    """Print a task file. Items that it can't hold are told of on stderr; then the code is 1."""
    left_out, others = 0, list(OTHER_DELIMITERS)
    print_data(header_line(delimiter))
    for item in items:
        try:
            print_data(task_line(item, delimiter, nested_delimiter))
        except TaskFileError as error:
            left_out += 1
            others = [pair for pair in others if _has_line(item, *pair)]
            if left_out <= MOST_NAMED:
                say(str(error))
    if left_out:
        say(f"{counted(left_out)} left out: {_delimiter_hint(others)}")
    return int(left_out > 0)


def _has_line(item: Item, delimiter: str, nested_delimiter: str) -> bool:
    try:
        task_line(item, delimiter, nested_delimiter)
    except TaskFileError:
        return False
    return True


def _delimiter_hint(delimiters: Sequence[tuple[str, str]]) -> str:
    """What to do for items that a task file can't hold, but perhaps one with other delimiters."""
    if not delimiters:
        return "export them without --task-file"
    delimiter, nested = (shlex.quote(text.replace("\t", r"\t")) for text in delimiters[0])
    return f"try -d {delimiter} -n {nested}"
