"""The operator's command line: `python -m pyanamo COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator

from pyanamo.cli import add_store_flags, run_command_line, store_of
from pyanamo.model import ItemState, ItemSummary
from pyanamo.signals import exit_at_once_on_signals

COLUMNS = (
    "itemID",
    "TaskID",
    "ItemState",
    "Nested",
    "Exit_Code",
    "Run_Seconds",
    "Lock_Date",
    "Done_Date",
    "InstanceID",
)
_COLOURS = {
    ItemState.TODO.value: "default",
    ItemState.LOCKED.value: "cyan",
    ItemState.DONE.value: "green",
    ItemState.FAILED.value: "red",
    ItemState.HELD.value: "yellow",
}


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m pyanamo", description="Look at the tables of a workflow."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    items = commands.add_parser(
        "items",
        help="list the items of a table",
        description="List the items of a table: a table on a terminal, tab-separated in a pipe.",
        epilog="Example: python -m pyanamo items -t Example_Table --state failed",
    )
    add_store_flags(items)
    items.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in ItemState],
        help="only these; may be given several times",
    )
    return parser.parse_args()


def row(item: ItemSummary) -> tuple[str, ...]:
    """An item as the texts of `COLUMNS`."""
    nested = "" if item.nested_tasks is None else f"{item.nested_done or 0}/{item.nested_tasks}"
    return (
        item.item_id,
        item.task_id,
        item.state.value,
        nested,
        "" if item.exit_code is None else str(item.exit_code),
        "" if item.run_seconds is None else f"{item.run_seconds:.1f}",
        item.lock_date,
        item.done_date,
        item.instance,
    )


def print_items(items: Iterable[ItemSummary]) -> None:
    """Tab-separated lines, or a table where stdout is a terminal."""
    rows: Iterator[tuple[str, ...]] = map(row, items)
    if not sys.stdout.isatty():
        print("\t".join(COLUMNS))
        for cells in rows:
            print("\t".join(" ".join(cell.split("\t")) for cell in cells))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*COLUMNS)
    for cells in rows:
        state = cells[COLUMNS.index("ItemState")]
        table.add_row(*map(Text, cells), style=_COLOURS[state])
    Console().print(table)


def main() -> int:
    """Run a command; its exit code."""
    arguments = parse_arguments()
    table = store_of(arguments).open(arguments.table)
    try:
        states = [ItemState(state) for state in arguments.state or ()]
        table.check()
        print_items(table.summaries(*states))
    finally:
        table.close()
    return 0


if __name__ == "__main__":
    exit_at_once_on_signals()
    sys.exit(run_command_line(main))
