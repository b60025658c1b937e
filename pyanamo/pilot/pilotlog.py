"""The pilot's own log: one line an event on stderr."""

from __future__ import annotations

import json
import logging
import sys

from pyanamo.model import Item, utc_date


def about(item: Item, task: str = "") -> dict[str, str]:
    """What a line tells of the item (and nested task) it is about; for logging's `extra`."""
    return {"item": item.item_id, "group": item.task_id, "task": task}


def start_logging(*, level: int = logging.INFO, json_lines: bool = False) -> None:
    """Send the package's log to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines() if json_lines else _TextLines())
    logger = logging.getLogger("pyanamo")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    # What no line of ours tells isn't found out either (Python's "Logging HOWTO", "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


def _fields(record: logging.LogRecord) -> dict[str, str]:
    fields = {"time": utc_date(record.created), "level": record.levelname}
    names = {"item": "itemID", "group": "TaskID", "task": "task"}
    for attribute, name in names.items():
        if value := getattr(record, attribute, ""):
            fields[name] = value
    return fields


class _TextLines(logging.Formatter):
    """`2026-01-31T23:59:59Z INFO itemID=Sample1 TaskID=Sample1 claimed`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        words = [fields.pop("time"), fields.pop("level")]
        words += [f"{name}={_one_word(value)}" for name, value in fields.items()]
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return " ".join((*words, _one_line(message)))


class _JSONLines(logging.Formatter):
    """The same fields, as an object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {**_fields(record), "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def _one_line(text: str) -> str:
    """A text with all escaped that isn't printable: line ends, above all."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _one_word(value: str) -> str:
    """A name as one word of a line, quoted where it would not be one."""
    plain = value.isprintable() and not set(value) & set(" \"'=")
    return value if plain else json.dumps(value)
