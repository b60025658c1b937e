"""The flags of the operator's commands, and what they mean."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeAlias

from pyanamo.cli import add_place_flags, check_table_name, duration, store_of
from pyanamo.model import ItemState
from pyanamo.workflow import Workflow
from pyanamo.workflow.selection import Selection

PLACE_FLAGS = ("region", "profile", "endpoint_url", "local")
TABLE_HELP = (
    "a table (one workflow step); for several: -t A -t B, or -t A B in commands that take no item "
    "names (in the others, B is an item)"
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
    where = parser.add_argument_group("the tables")
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
    parser.add_argument("--json", action="store_true", help="JSON, version 1")
    return parser


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Which items."""
    parser.add_argument("items", nargs="*", metavar="ITEM", help="items by name")
    which = parser.add_argument_group("which items (all that is given must hold)")
    which.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in ItemState],
        help="may be given several times",
    )
    which.add_argument("--name", metavar="PATTERN", help="as in a shell: *, ? and [...]")
    which.add_argument("--task-id", metavar="NAME", help="of this sample or group")
    which.add_argument("--instance", metavar="PATTERN", help="held by this pilot, now or last")
    which.add_argument("--exit-code", type=int, metavar="N")
    which.add_argument(
        "--older-than", type=duration, metavar="TIME", help="done, or else claimed, so long ago"
    )
    which.add_argument("--newer-than", type=duration, metavar="TIME", help="within that time")
    which.add_argument("--reason", metavar="TEXT", help="failed with a reason that has this in it")
    which.add_argument("--group", metavar="ID", help="of this group of `failures`")


def selection_of(arguments: argparse.Namespace) -> Selection:
    """The items that the flags mean."""
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


def place_flags(arguments: argparse.Namespace) -> str:
    """The flags that say where the tables are, as they were given, for another command line."""
    given = {name: getattr(arguments, name) for name in PLACE_FLAGS}
    return "".join(
        f" --{name.replace('_', '-')} {shlex.quote(value)}"
        for name, value in given.items()
        if value
    )


def workflow_of(arguments: argparse.Namespace) -> Workflow:
    """The tables that the flags mean, in their order."""
    names = list(dict.fromkeys(arguments.table))
    for name in names:
        check_table_name(name)
    store = store_of(arguments)
    return Workflow(*names, local=store.local, **asdict(store.account))
