"""Print answers: tables on a terminal, tab-separated lines in a pipe, JSON if asked for.

rich draws what is on a terminal. Where rich is not installed, columns are aligned with blanks.
Nothing from a table or a log reaches a terminal with its control characters.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any

from pyanamo.errors import PyAnamoError, UsageError
from pyanamo.model import ItemState
from pyanamo.text import escaped, harmless, json_text, readable

if TYPE_CHECKING:
    from rich.console import Console

JSON_VERSION = 1
LONGEST_LINE = 1024 * 1024  # bytes of a log that are held back for the end of their line
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
CSV_HELP = (
    "a cell that begins with = + - @ ' or a tab or line break has another ' before it, so that "
    "spreadsheets don't take it for a formula"
)

STATE_STYLES = {
    ItemState.TODO.value: "default",
    ItemState.LOCKED.value: "cyan",
    ItemState.DONE.value: "green",
    ItemState.FAILED.value: "red",
    ItemState.HELD.value: "yellow",
}
_STATE_CELL = re.compile(r"(?:\d+/\d+ )?(\w+)")

_recorder: Console | None = None  # used instead of stdout, for pictures


@contextmanager
def recorded(width: int) -> Iterator[Console]:
    """Record what the block prints, as a terminal of that width would show it."""
    from rich.console import Console

    global _recorder
    _recorder = Console(
        record=True, file=io.StringIO(), width=width, force_terminal=True, highlight=False
    )
    try:
        yield _recorder
    finally:
        _recorder = None


def is_terminal() -> bool:
    """Tell whether a person sees what is printed."""
    return _recorder is not None or sys.stdout.isatty()


def rich_console() -> Console | None:
    """Return rich's console on stdout; None if stdout is no terminal, or rich is not installed.

    rich itself follows NO_COLOR and TERM=dumb.
    """
    if not is_terminal() or find_spec("rich") is None:
        return None
    from rich.console import Console

    return _recorder or Console(highlight=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text below a header."""
    if console := rich_console():
        _draw_table(console, columns, rows)
    elif is_terminal():
        _print_aligned([tuple(map(one_line, row)) for row in (columns, *rows)])
    else:
        for row in chain([columns], rows):
            print("\t".join(map(one_line, row)))


def _draw_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Draw a table in which states have their colours."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(harmless(cell), style=state_style(cell)) for cell in row))
    console.print(table)


def _print_aligned(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def print_line(text: str) -> None:
    """Print a line for a person to copy: it isn't broken at the terminal's width."""
    if console := rich_console():
        console.print(harmless(text), markup=False, soft_wrap=True)
    else:
        print(harmless(text))


def state_style(cell: str) -> str:
    """Return the colour of a cell that shows a state: `failed`, `18/22 failed`."""
    shown = _STATE_CELL.fullmatch(cell)
    return STATE_STYLES.get(shown[1], "") if shown else ""


def one_line(cell: str) -> str:
    """Return a cell that fits in one line and one column, and doesn't control a terminal."""
    return escaped(cell.replace("\\", r"\\"))


def print_json(command: str, **content: Any) -> None:
    """Print one JSON object: `version`, `command`, and the command's answer."""
    answer = {"version": JSON_VERSION, "command": command, **content}
    print(json_for_stdout(answer, indent=2))


def print_json_list(command: str, name: str, things: Iterable[Any]) -> None:
    """Print the same for many things: each when it comes, on a line of its own."""
    head = json_for_stdout({"version": JSON_VERSION, "command": command})[:-1]
    print(f'{head}, "{name}": [', end="")
    separator = "\n"
    for thing in things:
        print(f"{separator}{json_for_stdout(thing)}", end="")
        separator = ",\n"
    print("\n]}")


def json_for_stdout(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON in UTF-8; for a terminal that has another encoding, in ASCII."""
    is_utf8 = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"
    return json_text(plain(value), indent=indent, ascii_only=not is_utf8)


def plain(value: Any) -> Any:
    """Return dataclasses, enums and tuples as what `json` can write."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(plain(key)): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def require_consent(what: str) -> None:
    """Ask on the terminal whether to go on. Raises `PyAnamoError` if the answer is no."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: give --yes to go on")
    print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise PyAnamoError("nothing was changed")


def counted(items: int) -> str:
    """Return `1 item`, `12 items`."""
    return "1 item" if items == 1 else f"{items} items"


def duration_text(seconds: float) -> str:
    """Return `45 s`, `12.0 min`, `3.5 h`, `2.1 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size or (unit == "min" and seconds >= 60):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def print_data(text: str, end: str = "\n") -> None:
    """Print text for a program as it is; to a terminal, without what controls it."""
    print(harmless(text) if is_terminal() else text, end=end)


def write_bytes(chunks: Iterator[bytes]) -> None:
    """Write bytes to stdout as they are; to a terminal, what it would finally show of them."""
    if is_terminal():
        for lines in _whole_lines(chunks):
            print_data(readable(lines), end="")
        return
    sys.stdout.flush()
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _whole_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks that end where lines end, unless a line is very long."""
    rest = b""
    for chunk in chunks:
        ended, newline, rest = (rest + chunk).rpartition(b"\n")
        yield ended + newline
        if len(rest) > LONGEST_LINE:
            yield rest
            rest = b""
    yield rest


def print_csv(rows: Iterable[Sequence[str]]) -> None:
    """Print rows as comma-separated values, whose lines end in a newline only.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, "CSV
    Injection"), and so does one that begins with an apostrophe: a program that reads the cells can
    take away the first one.
    """
    # Given this end of line, the module quotes cells with any part of it.
    writer = csv.writer(_Lines(), lineterminator="\r\n")
    writer.writerows(map(_without_formula, row) for row in rows)


class _Lines:
    """Prints the lines that a CSV writer writes."""

    def write(self, line: str) -> None:
        print_data(line.removesuffix("\r\n"))


def _without_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell
