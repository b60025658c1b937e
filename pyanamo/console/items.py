"""The command that lists items."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from pyanamo.console.arguments import Commands, add_command, workflow_of
from pyanamo.console.layout import Column
from pyanamo.console.screen import (
    counted,
    is_terminal,
    on_lines,
    print_json_list,
    print_lines,
    print_table,
)
from pyanamo.console.selecting import (
    add_selection_flags,
    no_item_matches,
    selection_of,
    told_of_unmatched,
)
from pyanamo.errors import UsageError
from pyanamo.model import Item, ItemSummary
from pyanamo.timetext import duration_text, short_date
from pyanamo.workflow.failures import failed_item

# What a pipe gets.
INDEX_COLUMNS: Mapping[str, Callable[[ItemSummary], str]] = {
    "Table": lambda row: row.table,
    "itemID": lambda row: row.item_id,
    "TaskID": lambda row: row.task_id,
    "ItemState": lambda row: row.state.value,
    "Nested": lambda row: _nested(row),
    "Exit_Code": lambda row: "" if row.exit_code is None else str(row.exit_code),
    "Run_Seconds": lambda row: "" if row.run_seconds is None else f"{row.run_seconds:.1f}",
    "Lock_Date": lambda row: row.lock_date,
    "Done_Date": lambda row: row.done_date,
    "InstanceID": lambda row: row.instance,
}
# What may be asked for besides: the whole item is read for it.
WHOLE_COLUMNS: Mapping[str, Callable[[Item], str]] = {
    "Attempts": lambda item: str(item.attempts),
    "CPU_Seconds": lambda item: "" if item.cpu_seconds is None else f"{item.cpu_seconds:.1f}",
    "Max_RSS_MB": lambda item: "" if item.max_rss_mb is None else f"{item.max_rss_mb:.0f}",
    "Peak_MB": lambda item: "" if item.peak_mb is None else f"{item.peak_mb:.0f}",
    "Reason": lambda item: item.reason,
    "Last_Line": lambda item: failed_item(item).last_line,
}
ITEM_COLUMNS = (*INDEX_COLUMNS, *WHOLE_COLUMNS)
ALL_COLUMNS = "all"
TEXTS = ("Reason", "Last_Line")

# What a terminal gets; those on the right are left out first.
SCREEN_COLUMNS = {
    "Table": Column(heading="Step", name="Table"),
    "itemID": Column(heading="itemID"),
    "TaskID": Column(heading="TaskID"),
    "ItemState": Column(heading="State", name="ItemState"),
    "Nested": Column(heading="Tasks", name="Nested", right=True, gives_way=True),
    "Exit_Code": Column(heading="Exit", name="Exit_Code", right=True, gives_way=True),
    "Run_Seconds": Column(heading="Ran", name="Run_Seconds", right=True, gives_way=True),
    "Done_Date": Column(heading="Ended", name="Done_Date", gives_way=True),
    "Lock_Date": Column(heading="Claimed", name="Lock_Date", gives_way=True),
    "InstanceID": Column(heading="InstanceID", gives_way=True),
}
# What --columns takes, in any case: the names, and the headings on a terminal.
_NAMES = {name.lower(): name for name in ITEM_COLUMNS} | {
    column.heading.lower(): name for name, column in SCREEN_COLUMNS.items()
}


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    items = add_command(
        commands,
        "items",
        run_items,
        "list items",
        "items -t Align --state failed --older-than 2h",
        takes_items=True,
    )
    add_selection_flags(items)
    items.add_argument(
        "--columns",
        metavar="NAMES",
        help=f"the columns to show, separated by commas, or {ALL_COLUMNS}: "
        f"{', '.join(ITEM_COLUMNS)}; the headings on a terminal do as well, in any case",
    )


def run_items(arguments: argparse.Namespace) -> int:
    """List items."""
    columns = _columns(arguments)
    selection = selection_of(arguments)
    with workflow_of(arguments) as workflow:
        rows = told_of_unmatched(selection, workflow.items(selection))
        first = next(rows, None)
        if first is None and not selection.is_all:
            raise no_item_matches(arguments)
        found = _chained(first, rows)
        if arguments.json:
            print_json_list("items", "items", found)
        elif arguments.columns is None and is_terminal():
            _print_on_screen(columns, found)
        else:
            in_index = set(columns) <= set(INDEX_COLUMNS)
            seen = ((row, None) for row in found) if in_index else workflow.whole(found)
            kinds = [Column(heading=name, text=name in TEXTS) for name in columns]
            print_table(kinds, ([_value(name, *one) for name in columns] for one in seen))
    return 0


def _print_on_screen(columns: Sequence[str], found: Iterator[ItemSummary]) -> None:
    """Print as much as fits of rows in a short form; below them, how many they are."""
    now = time.time()
    chosen = [name for name in SCREEN_COLUMNS if name in columns]
    count = 0

    def rows() -> Iterator[list[str]]:
        nonlocal count
        for row in found:
            count += 1
            yield [_brief(name, row, now) for name in chosen]

    left_out = print_table([SCREEN_COLUMNS[name] for name in chosen], rows())
    rest = f" Not shown: {', '.join(left_out)} (--columns {ALL_COLUMNS})" if left_out else ""
    print_lines(on_lines(f"{counted(count)}.{rest}", "dim"))


def _brief(name: str, row: ItemSummary, now: float) -> str:
    """What a column shows on a terminal."""
    if name == "Run_Seconds" and row.run_seconds is not None:
        return duration_text(row.run_seconds)
    value = INDEX_COLUMNS[name](row)
    return short_date(value, now) if name.endswith("_Date") else value


def _value(name: str, row: ItemSummary, item: Item | None) -> str:
    if name in INDEX_COLUMNS:
        return INDEX_COLUMNS[name](row)
    return "" if item is None else WHOLE_COLUMNS[name](item)


def _columns(arguments: argparse.Namespace) -> Sequence[str]:
    several = len(arguments.table) > 1
    if arguments.columns in (None, ALL_COLUMNS):
        known = INDEX_COLUMNS if arguments.columns is None else ITEM_COLUMNS
        return [name for name in known if several or name != "Table"]
    names: list[str] = arguments.columns.split(",")
    if unknown := [name for name in names if name.lower() not in _NAMES]:
        expected = f"{ALL_COLUMNS}, or some of {','.join(ITEM_COLUMNS)}"
        raise UsageError(f"{unknown[0]!r} is not a column: expected {expected}")
    return [_NAMES[name.lower()] for name in names]


def _chained(first: ItemSummary | None, rest: Iterator[ItemSummary]) -> Iterator[ItemSummary]:
    if first is not None:
        yield first
        yield from rest


def _nested(row: ItemSummary) -> str:
    return "" if row.nested_tasks is None else f"{row.nested_done or 0}/{row.nested_tasks}"
