"""Check a whole task file before the first item is made of it.

The check keeps 8 bytes per row, so that a file may have millions of rows. Items are made later, one
at a time.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyanamo.errors import TaskFileError
from pyanamo.model import Item
from pyanamo.shellwords import MAX_WORD_BYTES, MOST_SYNTAX, check_command, shell_syntax
from pyanamo.tables.size import MAX_ITEM_BYTES, MAX_KEY_BYTES, grown_size, size_bounds
from pyanamo.taskfile.messages import Messages, escaped, shown
from pyanamo.taskfile.names import Names
from pyanamo.taskfile.rows import (
    ALL_COLUMNS,
    ARGUMENTS,
    REQUIRED,
    Row,
    RowReader,
    column_names,
    lines,
)

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc
_OTHER_DELIMITERS = {"|": "|", ",": ",", "\t": r"\t"}  # as -d takes them
# Tasks get the TaskID in their environment, whose strings are as limited as a command's words.
MOST_BYTES = {"itemID": MAX_KEY_BYTES, "TaskID": MAX_WORD_BYTES - len("PYANAMO_TASK_ID=")}
_CR = r"has a CR in it: expected LF at line ends: convert old Mac files with tr '\r' '\n'"


@dataclass(frozen=True, kw_only=True)
class TaskFile:
    """A task file without mistakes. Iterating over it makes its items, one at a time."""

    has_arguments: bool  # whether there is a TaskArgs column
    items: int
    nested: int  # of these items
    nested_tasks: int  # of the nested items
    warnings: str  # one per line
    content: bytes
    reader: RowReader
    nested_delimiter: str

    def __iter__(self) -> Iterator[Item]:
        for _, row in self.reader.rows(self.content):
            yield row.item(self.nested_delimiter)


def parse_task_file(
    content: bytes, name: str, *, delimiter: str = "|", nested_delimiter: str = ","
) -> TaskFile:
    """Check a task file. `name` is what messages call it.

    Raises `TaskFileError` with one line per mistake, of which the first 20 are told.
    """
    check = _Check(name, delimiter, nested_delimiter)
    check.file(content)
    if check.mistakes.count:
        raise TaskFileError(str(check.mistakes))
    return TaskFile(
        has_arguments=ARGUMENTS in check.columns,
        items=check.items,
        nested=check.nested,
        nested_tasks=check.nested_tasks,
        warnings=str(check.warnings),
        content=content,
        reader=check.reader,
        nested_delimiter=nested_delimiter,
    )


def _delimiter_hint(line: str, nested_delimiter: str) -> str:
    """Return a hint at the flags with which the line is a header; empty if there are none."""
    for delimiter, word in _OTHER_DELIMITERS.items():
        if set(REQUIRED) <= set(column_names(line, delimiter)):
            nested = " -n ';'" if delimiter == nested_delimiter else ""  # they must differ
            return f" (this is one with -d '{word}'{nested})"
    return ""


def _not_acted_on(syntax: Sequence[str]) -> str:
    """What a warning says of texts that only a shell would act on."""
    *most, last = [shown(text) for text in syntax[:MOST_SYNTAX]]
    if len(syntax) > MOST_SYNTAX:
        most, last = [*most, last], "more"
    have, them, are = ("have", "them", "they are") if most else ("has", "it", "it is")
    texts = f"{', '.join(most)} and {last}" if most else last
    return (
        f"{texts} {have} no effect. Write bash -c '...' to use {them}, or quote {them} if {are} "
        "plain text"
    )


class _Check:
    """Reads a file once, and collects its mistakes on the way."""

    def __init__(self, name: str, delimiter: str, nested_delimiter: str) -> None:
        self.mistakes = Messages(name, "mistakes")
        self.warnings = Messages(name, "warnings")
        self.items = self.nested = self.nested_tasks = 0
        self.columns: Sequence[str] = ()
        self.reader = RowReader((), delimiter)
        self._delimiter = delimiter
        self._nested_delimiter = nested_delimiter
        self._names = Names()
        self._expected = escaped(delimiter.join(REQUIRED))
        column = rf"\s*(?:{'|'.join(ALL_COLUMNS)})\s*"
        between = re.escape(delimiter)
        self._header_again = re.compile(rf"\ufeff?{column}(?:{between}{column})+", re.IGNORECASE)

    def file(self, content: bytes) -> None:
        """Check a file."""
        if content.startswith(_UTF_16):
            self._note(1, "the file is UTF-16: expected UTF-8")
            return
        is_empty = True  # below the header
        for number, raw in lines(content):
            line = self._decoded(number, raw)
            if line is not None and not line.strip():
                continue
            if self.columns:
                is_empty = False
                if line is not None:
                    self._line(number, line)
            elif line is None or not self._header(number, line):
                return
        if not self.columns:
            self._note(0, f"the file is empty: expected a header, {self._expected}")
        elif is_empty:
            self._note(0, "there is no item below the header: expected one per line")
        self._repeated_names(content)

    def _decoded(self, number: int, raw: bytes) -> str | None:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            byte, text = raw[error.start], shown(raw[:1000].decode(errors="replace"))
            where = f"byte {error.start + 1} is 0x{byte:02x}"
            self._note(number, f"{text}: {where}, which is not UTF-8: expected UTF-8 text")
            return None

    def _header(self, number: int, line: str) -> bool:
        """Read the header. Returns False if the rows can't be understood without a better one."""
        columns = column_names(line, self._delimiter)
        expected = f"expected {self._expected}, and {ARGUMENTS} for nested items"
        if "\r" in line.strip():
            self._note(number, f"{shown(line)} {_CR}")
            return False
        if not set(columns) & set(ALL_COLUMNS):
            hint = _delimiter_hint(line, self._nested_delimiter)
            self._note(number, f"{shown(line)} is not a header: {expected}{hint}")
            return False
        for missing in (name for name in REQUIRED if name not in columns):
            self._note(number, f"the header {shown(line)} lacks {missing}: {expected}")
        for unknown in (name for name in columns if name not in ALL_COLUMNS):
            self._note(number, f"{shown(unknown)} in the header is not a column: {expected}")
        for twice in sorted({name for name in columns if columns.count(name) > 1}):
            self._note(number, f"the header {shown(line)} has {escaped(twice)} twice: {expected}")
        self.columns = columns
        self.reader = RowReader(columns, self._delimiter)
        return True

    def _line(self, number: int, line: str) -> None:
        """Check a line below the header."""
        row = self.reader.read(line)
        if self._header_again.fullmatch(line):
            self._note(
                number,
                f"{shown(line)} is a second header: expected one per file: if files were joined, "
                "delete this line, or import them one by one",
            )
        elif row is not None:
            self._row(number, line, row)
        elif "\r" in line:
            self._note(number, f"{shown(line)} {_CR}")
        else:
            self._fields(number, line)

    def _fields(self, number: int, line: str) -> None:
        """Tell of a line with too few or too many fields."""
        fields = line.count(self._delimiter) + 1
        columns = escaped(self._delimiter.join(self.columns))
        hint = ""
        if fields > len(self.columns):
            other = ";" if self._delimiter == "\t" else r"\t"
            hint = (
                f". If the command contains {shown(self._delimiter)}, use another delimiter, for "
                f"example -d '{other}'"
            )
            if self._delimiter == "|":
                hint += ". (Pipes need bash -c '... | ...'.)"
        self._note(
            number,
            f"{shown(line)} has {fields} {'field' if fields == 1 else 'fields'}: expected "
            f"{len(self.columns)} ({columns}){hint}",
        )

    def _row(self, number: int, line: str, row: Row) -> None:
        self._item_id(number, line, row.item_id)
        self._name(number, "TaskID", row.task_id)
        if "TaskScript" not in self.columns:
            return
        if not row.script.strip():
            self._note(number, f"{shown(line)} has an empty TaskScript: expected a command")
        elif self._fits(number, row):
            self._commands(number, row)
            self._count(row)

    def _count(self, row: Row) -> None:
        self.items += 1
        if row.nested:
            self.nested += 1
            self.nested_tasks += row.count(self._nested_delimiter)

    def _item_id(self, number: int, line: str, item_id: str) -> None:
        if "itemID" not in self.columns:
            return
        if not item_id:
            self._note(number, f"{shown(line)} has an empty itemID: expected a unique name")
        elif self._name(number, "itemID", item_id):
            self._names.add(item_id)

    def _name(self, number: int, column: str, name: str) -> bool:
        """Check that something can have this name."""
        size = len(name.encode())
        if size > MOST_BYTES[column]:
            expected = f"expected at most {MOST_BYTES[column]}"
            self._note(number, f"{column} {shown(name)} has {size} bytes: {expected}")
            return False
        if control := CONTROL.search(name):
            self._note(
                number,
                f"{column} {shown(name)} has the control character U+{ord(control[0]):04X}: "
                "expected a name without U+0000 to U+001F and U+007F to U+009F",
            )
            return False
        return True

    def _fits(self, number: int, row: Row) -> bool:
        """Check that the item can't become too large for DynamoDB."""
        count = row.count(self._nested_delimiter)
        size, most = size_bounds(count, row.characters(self._nested_delimiter))
        if most <= MAX_ITEM_BYTES:
            return True
        if size <= MAX_ITEM_BYTES:  # so there are few enough tasks to make them
            size = grown_size(row.item(self._nested_delimiter))
        if size <= MAX_ITEM_BYTES:
            return True
        self._note(
            number,
            f"item {shown(row.item_id)} takes at least {size:,} bytes with the results of its "
            f"{count} task(s): expected at most {MAX_ITEM_BYTES:,}, DynamoDB's limit: split it "
            "into several items",
        )
        return False

    def _commands(self, number: int, row: Row) -> None:
        if row.nested:
            self._arguments(number, row)
        syntax: list[str] = []
        for command in row.commands(self._nested_delimiter):
            try:
                check_command(command)
            except ValueError as error:
                self._note(number, f"{shown(command)} can't be run: {error}: expected a command")
            else:
                syntax = syntax or shell_syntax(command)
        if syntax:
            self.warnings.note(
                number,
                f"warning: {shown(row.script)} is run without a shell, so {_not_acted_on(syntax)}",
            )

    def _arguments(self, number: int, row: Row) -> None:
        for place, argument in enumerate(row.arguments.split(self._nested_delimiter), start=1):
            if not argument.strip():
                self._note(
                    number,
                    f"{ARGUMENTS} {shown(row.arguments)} has nothing as argument {place}: "
                    f"expected arguments with {shown(self._nested_delimiter)} between them",
                )

    def _repeated_names(self, content: bytes) -> None:
        repeated = self._names.repeated()
        if not repeated:
            return
        first_lines: dict[str, int] = {}
        for number, row in self.reader.rows(content):
            if hash(row.item_id) not in repeated:
                continue
            first = first_lines.setdefault(row.item_id, number)
            if first != number:
                self._note(
                    number,
                    f"itemID {shown(row.item_id)} is already on line {first}: "
                    "expected unique names",
                )

    def _note(self, number: int, mistake: str) -> None:
        self.mistakes.note(number, mistake)
