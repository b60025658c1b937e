"""Lay tables of text out for a terminal of any width. No I/O.

What names something is never cut. If a table is too wide, texts are folded first, and columns that
give way are left out, from the right. Then all columns are folded. A table that is too wide even so
becomes a list, with one line per cell.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GAP = 2  # blanks between columns
NARROWEST_TEXT = 24  # to which columns of texts are folded
NARROWEST_NAME = 12  # to which all columns are folded

Line = list[tuple[str, str]]  # pieces of text, each with its style


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of a table."""

    heading: str
    name: str = ""  # what the user calls it, if that isn't its heading
    right: bool = False  # numbers, aligned at their last digit
    text: bool = False  # it is read rather than copied, and may be folded at any time
    gives_way: bool = False  # it is left out if the terminal is too narrow


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A text and its style."""

    text: str
    style: str = ""


Row = Sequence[Cell]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a table is laid out: its columns by their places, and their widths."""

    columns: Sequence[Column]
    shown: Sequence[int]
    widths: Sequence[int] | None  # of the shown columns; None for a list

    @property
    def left_out(self) -> list[str]:
        """The headings of the columns that aren't shown."""
        hidden = (self.columns[n] for n in range(len(self.columns)) if n not in self.shown)
        return [column.heading for column in hidden]

    def head(self) -> list[Line]:
        """The lines above the rows."""
        headings = [Cell(text=column.heading, style="bold") for column in self.columns]
        return [] if self.widths is None else self.lines(headings)

    def lines(self, row: Row) -> list[Line]:
        """The lines of a row."""
        cells = [row[n] for n in self.shown]
        columns = [self.columns[n] for n in self.shown]
        if self.widths is None:
            return [*_listed(columns, cells), []]
        folded = [folded_at(cell.text, w) for cell, w in zip(cells, self.widths, strict=True)]
        lines = []
        for height in range(max(map(len, folded))):
            parts = [lines_of[height] if height < len(lines_of) else "" for lines_of in folded]
            pieces = zip(parts, cells, columns, self.widths, strict=True)
            lines.append(_joined([_padded(*piece) for piece in pieces]))
        return lines


def layout_of(columns: Sequence[Column], rows: Iterable[Row], width: int) -> Layout:
    """Lay a table with these rows, and others like them, out for a terminal of that width."""
    natural = [min(n, width) for n in _natural(columns, rows)]
    shown = list(range(len(columns)))
    while True:
        texts = [NARROWEST_TEXT if columns[n].text else width for n in shown]
        widths = _narrowed([natural[n] for n in shown], texts, width)
        giving_way = [n for n in shown if columns[n].gives_way]
        if widths is not None or not giving_way:
            break
        shown.remove(giving_way[-1])
    if widths is None:
        floors = [max(NARROWEST_NAME, width_of(columns[n].heading)) for n in shown]
        widths = _narrowed([natural[n] for n in shown], floors, width)
    if widths is None:  # a list has room for all of them
        shown = list(range(len(columns)))
    return Layout(columns=columns, shown=shown, widths=widths)


def _narrowed(natural: Sequence[int], floors: Sequence[int], room: int) -> list[int] | None:
    """Take from the widest columns until all fit, but not below their floors; None if they can't.

    A column that is narrower than its floor stays as it is.
    """
    widths = list(natural)
    over = sum(widths) + GAP * (len(widths) - 1) - room
    for _ in range(over):
        wide = [n for n in range(len(widths)) if widths[n] > floors[n]]
        if not wide:
            return None
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def natural_width(columns: Sequence[Column], rows: Iterable[Row]) -> int:
    """The width of a table in which nothing is folded or left out."""
    widths = _natural(columns, rows)
    return sum(widths) + GAP * (len(widths) - 1)


def _natural(columns: Sequence[Column], rows: Iterable[Row]) -> list[int]:
    widths = [width_of(column.heading) for column in columns]
    for row in rows:
        widths = [max(w, _cell_width(cell)) for w, cell in zip(widths, row, strict=True)]
    return widths


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes (Unicode, UAX #11)."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):  # drawn over the character before it
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cell_width(cell: Cell) -> int:
    return max(map(width_of, cell.text.split("\n")))


def folded_at(text: str, width: int) -> list[str]:
    """Break a text into lines of that width: between words, or within those that are longer."""
    lines = []
    for line in text.split("\n"):
        rest = line
        while (end := _fitting(rest, width)) < len(rest):
            blank = rest.rfind(" ", 1, end + 1)
            end = blank if blank > 0 else end
            lines.append(rest[:end].rstrip())
            rest = rest[end:].lstrip()
        lines.append(rest)
    return lines


def paragraph(text: str, style: str, width: int, *, indent: int = 0) -> list[Line]:
    """The lines of a text on a terminal of that width."""
    return [[(" " * indent + line, style)] for line in folded_at(text, width - indent)]


def _fitting(text: str, width: int) -> int:
    """How many characters of a text fit; at least one."""
    taken = 0
    for n, char in enumerate(text):
        taken += _char_width(char)
        if taken > width:
            return max(1, n)
    return len(text)


def _padded(part: str, cell: Cell, column: Column, width: int) -> tuple[str, str]:
    blanks = " " * (width - width_of(part))
    return (blanks + part if column.right else part + blanks), cell.style


def _joined(pieces: Sequence[tuple[str, str]]) -> Line:
    """A line of pieces with gaps between them, and no blanks at its end."""
    line: Line = []
    for text, style in pieces:
        line += [(text, style), (" " * GAP, "")]
    while line and not line[-1][0].strip():
        line.pop()
    if line:
        text, style = line[-1]
        line[-1] = (text.rstrip(), style)
    return line


def _listed(columns: Sequence[Column], cells: Row) -> list[Line]:
    """A row as a list of its cells that have something in them."""
    label = max(width_of(column.heading) for column in columns)
    return [
        [(column.heading.ljust(label + GAP), "bold"), (cell.text, cell.style)]
        for column, cell in zip(columns, cells, strict=True)
        if cell.text
    ]
