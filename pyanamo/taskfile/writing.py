"""Write items as the lines of a task file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pyanamo.errors import TaskFileError, UsageError
from pyanamo.model import Item
from pyanamo.taskfile.check import parse_task_file
from pyanamo.taskfile.messages import shown
from pyanamo.taskfile.rows import ALL_COLUMNS, column_names


def header_line(delimiter: str) -> str:
    """The header above the lines of `task_line`.

    Raises `UsageError` if the delimiter is part of the header's words.
    """
    header = delimiter.join(ALL_COLUMNS)
    if column_names(header, delimiter) != list(ALL_COLUMNS):
        raise UsageError(f"-d {delimiter!r}: with it the header {shown(header)} can't be read back")
    return header


def task_line(item: Item, delimiter: str, nested_delimiter: str) -> str:
    """The line from which an import makes this item, below `header_line`.

    Raises `TaskFileError` if an import would refuse the line or make another item of it.
    """
    script, arguments = item.tasks[0].script, ""
    if item.nested:
        script = common_script([task.script for task in item.tasks])
        arguments = nested_delimiter.join(task.script[len(script) + 1 :] for task in item.tasks)
    line = delimiter.join((item.item_id, item.task_id, script, arguments))
    if not _reads_back(item, line, delimiter, nested_delimiter):
        raise TaskFileError(
            f"item {shown(item.item_id)} is left out: with -d {delimiter!r} and "
            f"-n {nested_delimiter!r} an import would read it differently"
        )
    return line


def common_script(scripts: Sequence[str]) -> str:
    """The words that all commands begin with, before an argument each; empty if there are none."""
    script = os.path.commonprefix(list(scripts))  # noqa: RUF071 - compares characters, not paths
    while script := script.rpartition(" ")[0]:
        if all(command[len(script) + 1 :].strip() for command in scripts):
            return script
    return ""


def _reads_back(item: Item, line: str, delimiter: str, nested_delimiter: str) -> bool:
    content = f"{header_line(delimiter)}\n{line}\n".encode()
    try:
        read = [
            *parse_task_file(content, "", delimiter=delimiter, nested_delimiter=nested_delimiter)
        ]
    except TaskFileError:
        return False
    return [_what_runs(item)] == [_what_runs(other) for other in read]


def _what_runs(item: Item) -> tuple[str, str, bool, list[str]]:
    return item.item_id, item.task_id, item.nested, [task.script for task in item.tasks]
