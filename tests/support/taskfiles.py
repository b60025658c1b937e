"""Parse the text of a task file, or get its mistakes."""

import pytest

from pyanamo.errors import TaskFileError
from pyanamo.model import Item
from pyanamo.taskfile import TaskFile, parse_task_file

HEADER = "itemID|TaskID|TaskScript"
NESTED_HEADER = f"{HEADER}|TaskArgs"


def parse(content: str | bytes, delimiter: str = "|", nested_delimiter: str = ",") -> TaskFile:
    """What a file called `tasks.txt` with this content says."""
    encoded = content.encode() if isinstance(content, str) else content
    return parse_task_file(
        encoded, "tasks.txt", delimiter=delimiter, nested_delimiter=nested_delimiter
    )


def items_of(
    content: str | bytes, delimiter: str = "|", nested_delimiter: str = ","
) -> tuple[Item, ...]:
    """The items of such a file."""
    return tuple(parse(content, delimiter, nested_delimiter))


def mistakes(content: str | bytes, delimiter: str = "|", nested_delimiter: str = ",") -> list[str]:
    """The lines of the error that the file is refused with."""
    with pytest.raises(TaskFileError) as raised:
        parse(content, delimiter, nested_delimiter)
    return str(raised.value).split("\n")
