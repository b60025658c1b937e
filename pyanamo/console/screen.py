"""Show answers: tables and bars on a terminal, tab-separated lines in a pipe, JSON where asked."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

from pyanamo.errors import PyAnamoError, UsageError
from pyanamo.model import ItemState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

JSON_VERSION = 1

STATE_STYLES = {
    ItemState.TODO.value: "default",
    ItemState.LOCKED.value: "cyan",
    ItemState.DONE.value: "green",
    ItemState.FAILED.value: "red",
    ItemState.HELD.value: "yellow",
}
_STATE_CELL = re.compile(r"(?:\d+/\d+ )?(\w+)")

_recorder: Console | None = None  # in place of stdout, for pictures


@contextmanager
def recorded(width: int) -> Iterator[Console]:
    """Have what the block shows remembered, as a terminal of that width would show it."""
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
    """Whether a person sees what is printed."""
    return _recorder is not None or sys.stdout.isatty()


def console() -> Console:
    """rich on stdout; it minds NO_COLOR and TERM=dumb itself."""
    from rich.console import Console

    return _recorder or Console(highlight=False)


def can_redraw() -> bool:
    """Whether what was printed can be drawn over: on a terminal that isn't a dumb one."""
    return is_terminal() and not console().is_dumb_terminal


def show(renderable: RenderableType) -> None:
    """Print something of rich's."""
    console().print(renderable)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows of text with a header. States are coloured wherever they stand."""
    if is_terminal():
        from rich.table import Table
        from rich.text import Text

        table = Table(*columns)
        for row in rows:
            table.add_row(*(Text(harmless(cell), style=state_style(cell)) for cell in row))
        show(table)
        return
    print("\t".join(columns))
    for row in rows:
        print("\t".join(map(one_line, row)))


def harmless(cell: str) -> str:
    """A cell without what makes a terminal do things; lines stay lines."""
    return cell if cell.isprintable() else "\n".join(map(one_line, cell.split("\n")))


def print_line(text: str) -> None:
    """A line on a terminal, to be copied as it is: it isn't broken."""
    console().print(text, markup=False, soft_wrap=True)


def state_style(cell: str) -> str:
    """The colour of a cell that shows a state: `failed`, `18/22 failed`."""
    shown = _STATE_CELL.fullmatch(cell)
    return STATE_STYLES.get(shown[1], "") if shown else ""


def one_line(cell: str) -> str:
    """A cell that breaks neither its line nor its column, and does nothing to a terminal."""
    if cell.isprintable() and "\\" not in cell:
        return cell
    return "".join(
        char if char.isprintable() and char != "\\" else char.encode("unicode_escape").decode()
        for char in cell
    )


def print_json(command: str, **content: Any) -> None:
    """One JSON object: `version`, `command`, and what the command answers."""
    answer = {"version": JSON_VERSION, "command": command, **content}
    print(json.dumps(plain(answer), ensure_ascii=False, indent=2))


def print_json_list(command: str, name: str, things: Iterable[Any]) -> None:
    """The same where there may be many things: they are printed as they come, a line each."""
    head = json.dumps({"version": JSON_VERSION, "command": command})[:-1]
    print(f"{head}, {json.dumps(name)}: [", end="")
    separator = "\n"
    for thing in things:
        print(f"{separator}{json.dumps(plain(thing), ensure_ascii=False)}", end="")
        separator = ",\n"
    print("\n]}")


def plain(value: Any) -> Any:
    """Dataclasses, enums and tuples as JSON has them."""
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
    """Ask a person whether to go on, on the terminal. Raises a `PyAnamoError` for a no."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: say --yes to go on")
    print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise PyAnamoError("nothing was changed")


def counted(items: int) -> str:
    """`1 item`, `12 items`."""
    return "1 item" if items == 1 else f"{items} items"


def duration_text(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`, `2.1 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size or (unit == "min" and seconds >= 60):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def write_bytes(chunks: Iterator[bytes]) -> None:
    """Write bytes to stdout as they are."""
    sys.stdout.flush()
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def csv_writer() -> Any:  # its type has no public name
    """Of comma-separated lines that end as all lines of a pipe do."""
    return csv.writer(sys.stdout, lineterminator="\n")
