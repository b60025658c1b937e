"""The pilot's own log: one line per event on stderr."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING

from pyanamo.model import Item, utc_date
from pyanamo.text import json_text

if TYPE_CHECKING:
    from pyanamo.pilot.live import Screen


GAP = "  "
NAME_WIDTH = 10  # on a screen: most names of a table have the same length anyway
_RED, _DEFAULT = "\x1b[31m", "\x1b[0m"


def about(item: Item, task: str = "") -> dict[str, str]:
    """Return logging's `extra` for a line about an item, or about a nested task of it."""
    return {"item": item.item_id, "group": item.task_id, "task": task}


def start_logging(
    *, level: int = logging.INFO, json_lines: bool = False, screen: Screen | None = None
) -> None:
    """Send the package's log to stderr; to a screen, as shorter lines above its last one."""
    handler: logging.Handler
    if screen is not None:
        handler = logging.StreamHandler(screen)
        handler.setFormatter(_ScreenLines(has_colours=screen.has_colours))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_JSONLines() if json_lines else _TextLines())
    logger = logging.getLogger("pyanamo")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    # Don't collect data that our format doesn't use (Python's "Logging HOWTO", "Optimization").
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
    """Format lines like `2026-01-31T23:59:59Z INFO itemID=Sample1 TaskID=Sample1 claimed`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        words = [fields.pop("time"), fields.pop("level")]
        words += [f"{name}={_one_word(value)}" for name, value in fields.items()]
        return " ".join((*words, _one_line(_message(self, record))))


class _ScreenLines(logging.Formatter):
    """Format lines like `23:59:59  Sample1     claimed, attempt 1`, in local time."""

    def __init__(self, *, has_colours: bool) -> None:
        super().__init__()
        self._has_colours = has_colours

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        names = (getattr(record, attribute, "") for attribute in ("item", "task"))
        name = " ".join(filter(None, names))
        message = _one_line(_message(self, record))
        if record.levelno >= logging.WARNING:
            name = name or record.levelname
            message = f"{_RED}{message}{_DEFAULT}" if self._has_colours else message
        column = _one_line(name).ljust(NAME_WIDTH) if name else ""
        return GAP.join(filter(None, (when, column, message)))


class _JSONLines(logging.Formatter):
    """Format each line as a JSON object with the same fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {**_fields(record), "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json_text(fields)


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.exc_info:
        message += "\n" + formatter.formatException(record.exc_info)
    return message


def _one_line(text: str) -> str:
    """Escape unprintable characters, such as newlines."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _one_word(value: str) -> str:
    """Return a name as one word, quoted if necessary."""
    plain = value.isprintable() and not set(value) & set(" \"'=")
    return value if plain else json.dumps(value)
