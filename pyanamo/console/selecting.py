"""The flags that select items, and what they select."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pyanamo.cli import TIME_HELP, duration, say, stdin_bytes, utf8_name
from pyanamo.console.arguments import ITEM_HELP, flag_words
from pyanamo.errors import ItemNotFound, PyAnamoError, UsageError
from pyanamo.model import ItemState
from pyanamo.parser import Parser
from pyanamo.workflow.finding import MOST_NAMED
from pyanamo.workflow.selection import Selection

T = TypeVar("T")

RULE = (
    "Items must match all flags that are given. A flag that is given several times matches items "
    f"that match any of its values. {TIME_HELP}"
)


@dataclass(frozen=True, kw_only=True)
class _Condition:
    """A flag that sets a field of a `Selection`."""

    flag: str
    field: str
    help: str
    metavar: str | None = None
    type: Callable[[str], object] = utf8_name
    choices: Sequence[str] | None = None
    action: str = "append"

    @property
    def dest(self) -> str:
        return self.flag[2:].replace("-", "_")


_CONDITIONS = (
    _Condition(
        flag="--state",
        field="states",
        choices=[state.value for state in ItemState],
        help="items in this state",
    ),
    _Condition(
        flag="--name",
        field="pattern",
        metavar="PATTERN",
        help="items whose name matches: *, ? and [...] as in a shell",
    ),
    _Condition(
        flag="--task-id", field="task_id", metavar="NAME", help="items of this sample or group"
    ),
    _Condition(
        flag="--instance",
        field="instance",
        metavar="PATTERN",
        help="items that a matching pilot holds, or held last",
    ),
    _Condition(
        flag="--exit-code",
        field="exit_code",
        type=int,
        metavar="N",
        help="items that ended with this exit code",
    ),
    _Condition(
        flag="--older-than",
        field="older_than",
        type=duration,
        action="store",
        metavar="TIME",
        help="items that ended (or, if they have not, were claimed) at least TIME ago",
    ),
    _Condition(
        flag="--newer-than",
        field="newer_than",
        type=duration,
        action="store",
        metavar="TIME",
        help="the same, at most TIME ago",
    ),
    _Condition(
        flag="--reason",
        field="reason",
        metavar="TEXT",
        help="items with TEXT anywhere in their reason; in TEXT, *, ? and [...] work as in a "
        "shell (failed items, unless --state is given)",
    ),
    _Condition(
        flag="--group",
        field="group",
        metavar="ID",
        help="items of this group that `failures` shows",
    ),
)
# Flags that take a file with a name per line, by the column of their names in a file with a header,
# as `items` and `samples` print it in a pipe.
_LISTS = {"--items": "itemID", "--task-ids": "TaskID"}


def add_selection_flags(parser: Parser) -> None:
    """Add the flags that select items."""
    parser.add_argument("item_names", nargs="*", type=utf8_name, metavar="ITEM", help=ITEM_HELP)
    which = parser.add_argument_group("select items", RULE)
    which.add_argument(
        "--item",
        action="append",
        type=utf8_name,
        default=[],
        metavar="ITEM",
        help="the same as ITEM, also for names that begin with - (--item=-NAME)",
    )
    for condition in _CONDITIONS:
        which.add_argument(
            condition.flag,
            action=condition.action,
            type=condition.type,
            choices=condition.choices,
            metavar=condition.metavar,
            help=condition.help,
        )
    for state in (ItemState.FAILED.value, ItemState.DONE.value):
        which.add_argument(
            f"--{state}",
            action="append_const",
            const=state,
            dest="state",
            help=f"the same as --state {state}",
        )
    for flag, what in (("--items", "items"), ("--task-ids", "samples or groups")):
        which.add_argument(
            flag,
            action="append",
            default=[],
            metavar="FILE",
            help=f"the {what} that FILE names, one per line, or in the column {_LISTS[flag]} of "
            "what `items` or `samples` prints in a pipe; - for stdin",
        )


def selection_of(arguments: argparse.Namespace) -> Selection:
    """The items that the flags select. Reads the files that they name, so call it once."""
    files = [*arguments.items, *arguments.task_ids]
    if files.count("-") > 1:
        raise UsageError("only one of --items and --task-ids can be - for stdin")
    given = {
        condition.field: value
        for condition in _CONDITIONS
        if (value := getattr(arguments, condition.dest)) is not None
    }
    if arguments.task_ids:
        listed = _listed("--task-ids", arguments.task_ids)
        given["task_id"] = [*given.get("task_id", ()), *listed]
    names = [*arguments.item_names, *arguments.item, *_listed("--items", arguments.items)]
    return Selection(names=names, **given)


def selection_text(arguments: argparse.Namespace) -> str:
    """What selects the items, for messages: `Sample1 --state failed`."""
    words = [*arguments.item_names, *arguments.item]
    for condition in _CONDITIONS:
        words += flag_words(condition.flag, getattr(arguments, condition.dest))
    for flag in _LISTS:
        words += flag_words(flag, getattr(arguments, flag[2:].replace("-", "_")))
    return shlex.join(words)


def no_item_matches(arguments: argparse.Namespace) -> ItemNotFound:
    """The error that says that the flags select no item."""
    hint = ""
    if arguments.reason:
        hint = " (the last line of stderr is not part of the reason: see `failures`, and --group)"
    return ItemNotFound(f"no item matches {selection_text(arguments)}{hint}")


def told_of_unmatched(selection: Selection, found: Iterable[T]) -> Iterator[T]:
    """Yield what is found; at the end, say which of the given TaskIDs matched nothing.

    If none matched, that is an error, which the caller tells. Items that are given by name as well
    are meant to be some of a sample's only.
    """
    yield from found
    unmatched = selection.unmatched_task_ids
    given = len(set(selection.task_id))
    if unmatched and len(unmatched) < given and not selection.names:
        more = f" and {len(unmatched) - MOST_NAMED} more" if len(unmatched) > MOST_NAMED else ""
        listed = ", ".join(map(repr, unmatched[:MOST_NAMED]))
        say(f"no item matches {len(unmatched)} of the {given} TaskIDs: {listed}{more}")


def _listed(flag: str, files: Sequence[str]) -> list[str]:
    """The names in files. Raises `ItemNotFound` for a file without any: it doesn't select all."""
    names = []
    for file in files:
        found = _column(_text(file), _LISTS[flag])
        if not found:
            raise ItemNotFound(f"no item matches {flag} {file}: it names none")
        names += found
    return names


def _column(text: str, heading: str) -> list[str]:
    """The names in the column below a heading; in the first one if no line is the header."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    place = 0
    if rows and heading in (header := [field.strip() for field in rows[0]]):
        place = header.index(heading)
        del rows[0]
    return [name for row in rows if (name := row[min(place, len(row) - 1)].strip())]


def _text(file: str) -> str:
    """The text of a file, or of stdin."""
    try:
        content = stdin_bytes() if file == "-" else Path(file).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise PyAnamoError(f"{file} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PyAnamoError(f"{file} is not UTF-8 text: {error.reason}") from error
