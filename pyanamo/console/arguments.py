"""The flags of the operator's commands: tables, and where they are. See also `selecting`."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeAlias

from pyanamo.cli import add_place_flags, check_table_name, default_table, store_of
from pyanamo.errors import UsageError
from pyanamo.parser import Parser
from pyanamo.timetext import flag_text
from pyanamo.workflow import Workflow

ITEM_HELP = "an item's name; put -- before names that begin with -"
PLACE_FLAGS = ("--region", "--profile", "--endpoint-url", "--local")

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def add_command(
    commands: Commands,
    name: str,
    run: Run,
    summary: str,
    example: str,
    *,
    takes_tables: bool = True,
    takes_items: bool = False,
    several: str | None = None,
) -> Parser:
    """Add a command, with the flags that all commands have: tables, where they are, `--json`.

    `several` is what the help says of several tables.
    """
    if several is None:
        several = f"; for several: {'-t A -t B' if takes_items else '-t A B'}"
    parser = add_plain_command(commands, name, run, summary, example)
    where = parser.add_argument_group("tables")
    if takes_tables:
        where.add_argument(
            "-t",
            "--table",
            action="extend",
            nargs=1 if takes_items else "+",
            metavar="TABLE",
            help=f"a table (one workflow step){several} (default: PYANAMO_TABLE)",
        )
    add_place_flags(where)
    parser.add_argument("--json", action="store_true", help="print JSON (version 1)")
    return parser


def add_plain_command(
    commands: Commands, name: str, run: Run, summary: str, example: str
) -> Parser:
    """Add a command without flags."""
    parser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    program = parser.prog.removesuffix(f" {name}")
    parser.epilog = f"Example:\n  {program} {example}"
    parser.set_defaults(run=run, program=program)
    return parser


def tables_of(arguments: argparse.Namespace) -> list[str]:
    """The given tables, each once. Raises `UsageError` if none is given, or one can't be."""
    given = [default_table()] if arguments.table is None else arguments.table
    names = list(dict.fromkeys(given))
    for name in names:
        if "," in name:
            each = " ".join(f"-t {part}" for part in name.split(",") if part)
            raise UsageError(f"{name!r} can't be a table's name; for several: {each}")
        check_table_name(name)
    return names


def tables_text(arguments: argparse.Namespace) -> str:
    """The same tables for another command line: `-t Align -t Call --region us-east-1`."""
    words = [word for name in arguments.table for word in ("-t", name)]
    for flag in PLACE_FLAGS:
        words += flag_words(flag, getattr(arguments, flag[2:].replace("-", "_")))
    return shlex.join(words)


def flag_words(flag: str, value: object) -> list[str]:
    """The words that give a flag this value, or these values; none if it isn't given."""
    parts = value if isinstance(value, list) else [value]
    given = (part for part in parts if part not in (None, ""))
    texts = (flag_text(part) if isinstance(part, float) else str(part) for part in given)
    return [word for text in texts for word in (flag, text)]


def workflow_of(arguments: argparse.Namespace) -> Workflow:
    """The workflow of the given tables, in their order."""
    store = store_of(arguments)
    return Workflow(
        *arguments.table,
        local=store.local,
        **asdict(store.account),
        on_damaged=arguments.damage,
    )
