"""The flags of the operator's commands, and what they select."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TypeAlias

from pyanamo.cli import add_place_flags, check_table_name, duration, store_of, utf8_name
from pyanamo.model import ItemState
from pyanamo.workflow import Workflow
from pyanamo.workflow.selection import Selection

TABLE_HELP = (
    "a table (one workflow step); for several: -t A -t B, or -t A B in commands that take no item "
    "names (in the others, B is an item)"
)
ITEM_HELP = "an item's name; put -- before names that begin with -"
PLACE_FLAGS = ("region", "profile", "endpoint_url", "local")
SELECTION_FLAGS = (
    *("state", "name", "task_id", "instance", "exit_code"),
    *("older_than", "newer_than", "reason", "group"),
)

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    example: str,
    *,
    takes_items: bool = False,
) -> argparse.ArgumentParser:
    """Add a command, with the flags that all commands have: tables, where they are, `--json`."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
    )
    program = parser.prog.removesuffix(f" {name}")
    parser.epilog = f"Example: {program} {example}"
    parser.set_defaults(run=run, program=program)
    where = parser.add_argument_group("tables")
    where.add_argument(
        "-t",
        "--table",
        required=True,
        action="extend",
        nargs=1 if takes_items else "+",
        metavar="TABLE",
        help=TABLE_HELP,
    )
    add_place_flags(where)
    parser.add_argument("--json", action="store_true", help="print JSON (version 1)")
    return parser


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that select items."""
    parser.add_argument("items", nargs="*", type=utf8_name, metavar="ITEM", help=ITEM_HELP)
    which = parser.add_argument_group("select items (all conditions must match)")
    which.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in ItemState],
        help="items in this state; repeat it for several states",
    )
    which.add_argument(
        "--name",
        type=utf8_name,
        metavar="PATTERN",
        help="items whose name matches: *, ? and [...] as in a shell",
    )
    which.add_argument(
        "--task-id", type=utf8_name, metavar="NAME", help="items of this sample or group"
    )
    which.add_argument(
        "--instance",
        type=utf8_name,
        metavar="PATTERN",
        help="items that a matching pilot holds, or held last",
    )
    _add_ending_flags(which)


def _add_ending_flags(which: argparse._ArgumentGroup) -> None:
    """Add the flags that select items by how and when they ended."""
    which.add_argument(
        "--exit-code", type=int, metavar="N", help="items that ended with this exit code"
    )
    which.add_argument(
        "--older-than",
        type=duration,
        metavar="TIME",
        help="items that ended (or, if they have not, were claimed) at least TIME ago",
    )
    which.add_argument(
        "--newer-than", type=duration, metavar="TIME", help="the same, at most TIME ago"
    )
    which.add_argument(
        "--reason",
        type=utf8_name,
        metavar="TEXT",
        help="items with TEXT in their reason (failed items, unless --state is given)",
    )
    which.add_argument("--group", metavar="ID", help="items of this group that `failures` shows")


def selection_of(arguments: argparse.Namespace) -> Selection:
    """The items that the flags select."""
    return Selection(
        names=tuple(arguments.items),
        pattern=arguments.name,
        states=tuple(ItemState(state) for state in arguments.state or ()),
        task_id=arguments.task_id,
        instance=arguments.instance,
        exit_code=arguments.exit_code,
        older_than=arguments.older_than,
        newer_than=arguments.newer_than,
        reason=arguments.reason,
        group=arguments.group,
    )


def selection_text(arguments: argparse.Namespace) -> str:
    """What selects the items, for messages: `Sample1 --state failed`."""
    return shlex.join([*arguments.items, *_flags(arguments, SELECTION_FLAGS)])


def tables_text(arguments: argparse.Namespace) -> str:
    """The same tables for another command line: `-t Align -t Call --region us-east-1`."""
    tables = [word for name in dict.fromkeys(arguments.table) for word in ("-t", name)]
    return shlex.join([*tables, *_flags(arguments, PLACE_FLAGS)])


def _flags(arguments: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """The words of those of the flags that are given."""
    words = []
    for name in names:
        value = getattr(arguments, name)
        for part in value if isinstance(value, list) else [value]:
            if part not in (None, ""):
                text = f"{part:g}" if isinstance(part, float) else str(part)
                words += [f"--{name.replace('_', '-')}", text]
    return words


def workflow_of(arguments: argparse.Namespace) -> Workflow:
    """The workflow of the given tables, in their order."""
    names = list(dict.fromkeys(arguments.table))
    for name in names:
        check_table_name(name)
    store = store_of(arguments)
    return Workflow(*names, local=store.local, **asdict(store.account), on_damaged=arguments.damage)
