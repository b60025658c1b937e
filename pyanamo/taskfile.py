"""Turn a delimited task file into items, or find all its mistakes.

The first line that isn't empty is the header: `itemID`, `TaskID`, `TaskScript` and, for nested
items, `TaskArgs`, in any order. Lines are split at every delimiter. There is no quoting, so that
commands run exactly as they are written.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyanamo.errors import TaskFileError
from pyanamo.model import SINGLE_TASK, Item, Task
from pyanamo.shellwords import check_command
from pyanamo.tables.size import MAX_ITEM_BYTES, MAX_KEY_BYTES, grown_size

REQUIRED = ("itemID", "TaskID", "TaskScript")
ARGUMENTS = "TaskArgs"
ALL_COLUMNS = (*REQUIRED, ARGUMENTS)
_COLUMNS = {name.lower(): name for name in ALL_COLUMNS}
_SHOWN = 80  # characters of an offending text
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class TaskFile:
    """The content of a task file."""

    items: tuple[Item, ...]
    has_arguments: bool  # whether there is a TaskArgs column


def parse_task_file(
    content: bytes, name: str, *, delimiter: str = "|", nested_delimiter: str = ","
) -> TaskFile:
    """The items of a task file. `name` is what messages call the file.

    Raises `TaskFileError` with one line per mistake.
    """
    parser = _Parser(name, delimiter, nested_delimiter)
    items = tuple(parser.items(content))
    if parser.mistakes:
        raise TaskFileError("\n".join(parser.mistakes))
    return TaskFile(items=items, has_arguments=ARGUMENTS in parser.columns)


def task_line(item: Item, delimiter: str, nested_delimiter: str) -> str:
    """The line from which an import makes this item, in a task file with `ALL_COLUMNS`.

    Raises `TaskFileError` if there is no such line: because a field contains a delimiter or a line
    break, or because the commands of the nested tasks don't begin alike.
    """
    script, arguments = item.tasks[0].script, ""
    if item.nested:
        script = common_script([task.script for task in item.tasks])
        given = [task.script[len(script) + 1 :] for task in item.tasks]
        arguments = nested_delimiter.join(given)
        if not script or arguments.count(nested_delimiter) != len(given) - 1:
            raise TaskFileError(
                f"item {_shown(item.item_id)} can't be a line of a task file: its commands don't "
                f"begin with the same words, or an argument contains {nested_delimiter!r} (-n)"
            )
    fields = (item.item_id, item.task_id, script, arguments)
    line = delimiter.join(fields)
    if line.count(delimiter) != len(fields) - 1 or set(line) & {"\n", "\r"}:
        raise TaskFileError(
            f"item {_shown(item.item_id)} can't be a line of a task file: it contains "
            f"{delimiter!r} (-d) or a line break"
        )
    return line


def common_script(scripts: Sequence[str]) -> str:
    """The words that all commands begin with, before an argument each; empty if there are none."""
    script = os.path.commonprefix(list(scripts))  # noqa: RUF071 - compares characters, not paths
    while script := script.rpartition(" ")[0]:
        if all(command[len(script) + 1 :].strip() for command in scripts):
            return script
    return ""


class _Parser:
    """Reads a file once, and collects its mistakes on the way."""

    def __init__(self, name: str, delimiter: str, nested_delimiter: str) -> None:
        self.mistakes: list[str] = []
        self.columns: Sequence[str] = ()
        self._name = name
        self._delimiter = delimiter
        self._nested_delimiter = nested_delimiter
        self._first_lines: dict[str, int] = {}  # by itemID
        self._expected = delimiter.join(REQUIRED)

    def items(self, content: bytes) -> Iterator[Item]:
        if content.startswith(_UTF_16):
            self._note(1, "the file is UTF-16: expected UTF-8")
            return
        found = 0
        for number, line in self._lines(content):
            if self.columns:
                found += 1
                if line is not None:
                    yield from self._row(number, line)
            elif line is None or not self._header(number, line):
                return
        if not self.columns:
            self._note(None, f"the file is empty: expected a header, {self._expected}")
        elif not found:
            self._note(None, "there is no item below the header: expected one per line")

    def _lines(self, content: bytes) -> Iterator[tuple[int, str | None]]:
        """The lines that aren't empty, with their numbers; None for one that isn't UTF-8."""
        start = len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0
        for number, raw in enumerate(content[start:].split(b"\n"), start=1):
            try:
                line = raw.removesuffix(b"\r").decode()
            except UnicodeDecodeError as error:
                byte, text = raw[error.start], _shown(raw.decode(errors="replace"))
                where = f"byte {error.start + 1} is 0x{byte:02x}"
                self._note(number, f"{text}: {where}, which is not UTF-8: expected UTF-8 text")
                yield number, None
                continue
            if line.strip():
                yield number, line

    def _header(self, number: int, line: str) -> bool:
        """Read the header. Returns False if the rows can't be understood without a better one."""
        names = [name.strip() for name in line.split(self._delimiter)]
        columns = [_COLUMNS.get(name.lower(), name) for name in names]
        expected = f"expected {self._expected}, and {ARGUMENTS} for nested items"
        if not set(columns) & set(_COLUMNS.values()):
            self._note(number, f"{_shown(line)} is not a header: {expected}")
            return False
        for missing in (name for name in REQUIRED if name not in columns):
            self._note(number, f"the header {_shown(line)} lacks {missing}: {expected}")
        for unknown in (name for name in columns if name not in _COLUMNS.values()):
            self._note(number, f"{_shown(unknown)} in the header is not a column: {expected}")
        for twice in sorted({name for name in columns if columns.count(name) > 1}):
            self._note(number, f"the header {_shown(line)} has {twice} twice: {expected}")
        self.columns = columns
        return True

    def _row(self, number: int, line: str) -> Iterator[Item]:
        fields = line.split(self._delimiter)
        if len(fields) != len(self.columns):
            self._note(
                number,
                f"{_shown(line)} has {len(fields)} fields: expected {len(self.columns)}, "
                f"{self._delimiter.join(self.columns)}",
            )
            return
        row = dict(zip(self.columns, fields, strict=True))
        mistakes_before = len(self.mistakes)
        item_id = self._item_id(number, line, row)
        tasks = self._tasks(number, line, row)
        if tasks and len(self.mistakes) == mistakes_before:
            item = Item(
                item_id=item_id,
                task_id=row.get("TaskID", "").strip(),
                tasks=tasks,
                nested=bool(row.get(ARGUMENTS, "").strip()),
            )
            self._check_size(number, item)
            yield item

    def _item_id(self, number: int, line: str, row: Mapping[str, str]) -> str:
        # Blanks around a name would be invisible wherever the name is shown.
        item_id = row.get("itemID", "").strip()
        if "itemID" not in row:
            return ""
        if not item_id:
            self._note(number, f"{_shown(line)} has an empty itemID: expected a unique name")
        elif len(item_id.encode()) > MAX_KEY_BYTES:
            size = len(item_id.encode())
            self._note(
                number,
                f"itemID {_shown(item_id)} has {size} bytes: expected at most {MAX_KEY_BYTES}",
            )
        elif item_id in self._first_lines:
            first = self._first_lines[item_id]
            self._note(
                number,
                f"itemID {_shown(item_id)} is on line {first} already: expected unique names",
            )
        self._first_lines.setdefault(item_id, number)
        return item_id

    def _tasks(self, number: int, line: str, row: Mapping[str, str]) -> tuple[Task, ...]:
        script = row.get("TaskScript", "")
        if "TaskScript" not in row:
            return ()
        if not script.strip():
            self._note(number, f"{_shown(line)} has an empty TaskScript: expected a command")
            return ()
        arguments = row.get(ARGUMENTS, "")
        if not arguments.strip():
            self._check_command(number, script)
            return (Task(name=SINGLE_TASK, script=script),)
        tasks = []
        for place, argument in enumerate(arguments.split(self._nested_delimiter)):
            if not argument.strip():
                self._note(
                    number,
                    f"{ARGUMENTS} {_shown(arguments)} has nothing as argument {place + 1}: "
                    f"expected arguments with {self._nested_delimiter!r} between them",
                )
                continue
            tasks.append(Task(name=f"Task_{place}", script=f"{script} {argument}"))
            self._check_command(number, tasks[-1].script)
        return tuple(tasks)

    def _check_command(self, number: int, command: str) -> None:
        try:
            check_command(command)
        except ValueError as error:
            self._note(number, f"{_shown(command)} can't be run: {error}: expected a command")

    def _check_size(self, number: int, item: Item) -> None:
        size = grown_size(item)
        if size > MAX_ITEM_BYTES:
            self._note(
                number,
                f"item {_shown(item.item_id)} can grow to {size:,} bytes with the results of its "
                f"{len(item.tasks)} task(s): expected at most {MAX_ITEM_BYTES:,}, DynamoDB's "
                "limit: split it into several items",
            )

    def _note(self, number: int | None, mistake: str) -> None:
        place = self._name if number is None else f"{self._name}:{number}"
        self.mistakes.append(f"{place}: {mistake}")


def _shown(text: str) -> str:
    """A text for a message: quoted, on one line, and shortened if it is long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
