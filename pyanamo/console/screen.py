"""Print answers: tables on a terminal, tab-separated lines in a pipe, JSON if asked for.

Where rich is installed, a terminal gets colours. Nothing from a table or a log reaches a terminal
with its control characters.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from pyanamo.console.layout import Cell, Column, Line, layout_of, paragraph
from pyanamo.errors import PyAnamoError, UsageError
from pyanamo.model import ItemState
from pyanamo.signals import StoppedBySignal, raising_signals
from pyanamo.text import escaped, harmless, json_text, readable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

JSON_VERSION = 1
LAID_OUT_BY = 1000  # rows: those that follow take the widths of these
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


def print_table(columns: Sequence[str | Column], rows: Iterable[Sequence[str]]) -> list[str]:
    """Print rows of text below a header: as wide as the terminal, or tab-separated in a pipe.

    Returns the headings of the columns that the terminal was too narrow for.
    """
    kinds = [Column(heading=kind) if isinstance(kind, str) else kind for kind in columns]
    if is_terminal():
        return _print_on_screen(kinds, rows)
    for row in chain([[kind.name or kind.heading for kind in kinds]], rows):
        print("\t".join(map(one_line, row)))
    return []


def _print_on_screen(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> list[str]:
    """Print a table whose first rows decide how it is laid out: the others aren't waited for."""
    cells = (cells_of(row) for row in rows)
    first = list(islice(cells, LAID_OUT_BY))
    layout = layout_of(columns, first, screen_width())
    body = chain.from_iterable(map(layout.lines, chain(first, cells)))
    print_lines(chain(layout.head(), body))
    return layout.left_out


def cells_of(row: Sequence[str]) -> list[Cell]:
    """The cells of a row on a terminal: states have their colours."""
    return [Cell(text=on_screen(cell), style=state_style(cell)) for cell in row]


def on_screen(text: str) -> str:
    """Return a text as the terminal shows it: without what controls it, in its characters."""
    text = harmless(text).expandtabs()
    return text.encode(_encoding(), "backslashreplace").decode(_encoding())


def shows(text: str) -> bool:
    """Tell whether the terminal has these characters."""
    return on_screen(text) == text


def _encoding() -> str:
    return "utf-8" if _recorder else sys.stdout.encoding or "utf-8"


def screen_width() -> int:
    """How many columns the terminal has. (Of a dumb one, rich takes 80 for granted.)"""
    return _recorder.width if _recorder else shutil.get_terminal_size().columns


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines on a terminal, with their styles if it has any."""
    console = rich_console()
    for line in lines:
        if console:
            console.print(styled([line]), soft_wrap=True)
        else:
            print("".join(text for text, _ in line))


def on_lines(text: str, style: str = "", *, indent: int = 0) -> list[Line]:
    """Return a text as lines that fit on the terminal."""
    return paragraph(on_screen(text), style, screen_width(), indent=indent)


def styled(lines: Iterable[Line]) -> Text:
    """Return lines as rich draws them."""
    from rich.text import Text

    return Text("\n").join(Text.assemble(*line) for line in lines)


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


def print_json_error(error: PyAnamoError) -> None:
    """Print the answer of a command that could not do its job."""
    print(json_for_stdout({"version": JSON_VERSION, "error": json_error(error)}))


def json_error(error: PyAnamoError) -> str:
    """The field `error` of a command's answer, which then needs no other."""
    error.is_answered = True
    return str(error)


def print_json_list(command: str, name: str, things: Iterable[Any]) -> None:
    """Print the same for many things: each when it comes, on a line of its own.

    If an error ends them, the answer ends with it.
    """
    head = json_for_stdout({"version": JSON_VERSION, "command": command})[:-1]
    print(f'{head}, "{name}": [', end="")
    separator = "\n"
    try:
        for thing in things:
            print(f"{separator}{json_for_stdout(thing)}", end="")
            separator = ",\n"
    except PyAnamoError as error:
        print(f'\n], "error": {json_for_stdout(json_error(error))}}}')
        raise
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
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{what}: give --yes to continue")
    refused = PyAnamoError("nothing was changed")
    try:
        with raising_signals():
            print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
    except StoppedBySignal as stopped:
        answer, refused.exit_code = "", stopped.exit_code
    if not answer.endswith("\n"):
        print(file=sys.stderr)
    if answer.strip().lower() not in ("y", "yes"):
        raise refused


def number_text(number: int) -> str:
    """Return `1,234` for a terminal, `1234` for a pipe."""
    return f"{number:,}" if is_terminal() else str(number)


def number_columns(headings: Iterable[str]) -> list[Column]:
    """Return columns of numbers."""
    return [Column(heading=heading, right=True) for heading in headings]


def counted(items: int) -> str:
    """Return `1 item`, `12 items`."""
    return "1 item" if items == 1 else f"{items} items"


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
