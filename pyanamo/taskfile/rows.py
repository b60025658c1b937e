"""The lines of a task file, the rows that they are, and the items that rows become.

The first line that isn't empty is the header: `itemID`, `TaskID`, `TaskScript` and, for nested
items, `TaskArgs`, in any order. Lines are split at every delimiter. There is no quoting, so that
commands run exactly as they are written.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pyanamo.model import Item

REQUIRED = ("itemID", "TaskID", "TaskScript")
ARGUMENTS = "TaskArgs"
ALL_COLUMNS = (*REQUIRED, ARGUMENTS)
_MOST_COLUMNS = 20  # that are looked at: a line of a million names can't be a header
_COLUMNS = {name.lower(): name for name in ALL_COLUMNS}


class Row(NamedTuple):
    """The fields of a line. Those that the file has no column for are empty."""

    item_id: str
    task_id: str
    script: str
    arguments: str

    @property
    def nested(self) -> bool:
        """Whether the row is a nested item."""
        return bool(self.arguments.strip())

    def count(self, delimiter: str) -> int:
        """How many tasks there are. `delimiter` is between the arguments."""
        return self.arguments.count(delimiter) + 1 if self.nested else 1

    def characters(self, delimiter: str) -> int:
        """How many characters the names and the commands of all tasks have, at least."""
        repeats = self.count(delimiter) - 1
        return sum(map(len, self)) + repeats * (len(self.script) - len(delimiter))

    def commands(self, delimiter: str) -> list[str]:
        """The commands of the tasks."""
        if not self.nested:
            return [self.script]
        return [f"{self.script} {argument}" for argument in self.arguments.split(delimiter)]

    def item(self, delimiter: str) -> Item:
        """Make the item."""
        commands = self.commands(delimiter) if self.nested else self.script
        return Item.new(self.item_id, self.task_id, commands)


class RowReader:
    """Turns the lines below a header into rows."""

    def __init__(self, columns: Sequence[str], delimiter: str) -> None:
        self._delimiter = delimiter
        self._width = len(columns)
        # A field that is not there is taken from behind the last one, where `read` puts "".
        self._places = [
            columns.index(name) if name in columns else self._width for name in ALL_COLUMNS
        ]

    def read(self, line: str) -> Row | None:
        """The row of a line, or None if the line has more or fewer fields than the header."""
        if line.count(self._delimiter) + 1 != self._width:
            return None
        fields = [*line.split(self._delimiter), ""]
        item_id, task_id, script, arguments = (fields[place] for place in self._places)
        # Blanks around a name would be invisible wherever the name is shown.
        return Row(item_id.strip(), task_id.strip(), script, arguments)

    def rows(self, content: bytes) -> Iterator[tuple[int, Row]]:
        """The rows of a file, with their line numbers; without lines that are no rows."""
        texts = ((number, raw.decode(errors="replace")) for number, raw in lines(content))
        filled = ((number, line) for number, line in texts if line.strip())
        next(filled, None)  # the header
        for number, line in filled:
            if row := self.read(line):
                yield number, row


def lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, with their numbers, without line ends and byte-order mark."""
    file = io.BytesIO(content)  # which doesn't copy it
    if content.startswith(codecs.BOM_UTF8):
        file.seek(len(codecs.BOM_UTF8))
    for number, raw in enumerate(file, start=1):
        yield number, raw.removesuffix(b"\n").removesuffix(b"\r")


def column_names(line: str, delimiter: str) -> list[str]:
    """The names in a header, spelled as those of columns if they are."""
    names = (name.strip() for name in line.split(delimiter, _MOST_COLUMNS))
    return [_COLUMNS.get(name.lower(), name) for name in names]
