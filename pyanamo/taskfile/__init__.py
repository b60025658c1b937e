"""Task files: text to items, with all mistakes found first, and items to text."""

from pyanamo.taskfile.check import TaskFile, parse_task_file
from pyanamo.taskfile.items import checked_items
from pyanamo.taskfile.rows import ALL_COLUMNS
from pyanamo.taskfile.writing import header_line, task_line

__all__ = [
    "ALL_COLUMNS",
    "TaskFile",
    "checked_items",
    "header_line",
    "parse_task_file",
    "task_line",
]
