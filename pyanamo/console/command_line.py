"""The operator's command line: one program with many commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pyanamo.cli import add_version_flag
from pyanamo.console import (
    change,
    completion,
    export,
    failures,
    item,
    items,
    overview,
    submit,
    tables,
)
from pyanamo.console.arguments import tables_of
from pyanamo.console.damage import DamageReport
from pyanamo.console.hints import hint_at
from pyanamo.console.screen import print_json_error
from pyanamo.errors import ItemNotFound, PyAnamoError
from pyanamo.parser import Parser


def main(argv: Sequence[str] | None = None, *, program: str = "python -m pyanamo") -> int:
    """Run a command; its exit code, which is 1 if items were left out that are damaged.

    `argv` are the words after the program's name; by default those of this process. `program` is
    what a person types to start the program: help and hints show it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    damage = DamageReport()
    try:
        return _run(words, program, damage) or int(bool(damage))
    except PyAnamoError as error:
        own_words = words[: words.index("--")] if "--" in words else words
        if "--json" in own_words and not error.is_answered:
            print_json_error(error)
        if isinstance(error, ItemNotFound) and damage:
            return 1  # whether a damaged one matches is not known
        raise


def _run(words: Sequence[str], program: str, damage: DamageReport) -> int:
    arguments = operator_parser(program).parse_args(words, argparse.Namespace(damage=damage))
    if "table" in arguments:
        arguments.table = tables_of(arguments)
    try:
        code: int = arguments.run(arguments)
    except ItemNotFound as error:
        if error.names and not error.is_answered:
            raise ItemNotFound(f"{error}{hint_at(error.names, arguments)}") from error
        raise
    return code


def operator_parser(program: str = "python -m pyanamo") -> Parser:
    """The parser of the command line."""
    parser = Parser(
        prog=program,
        description="Look at a workflow, and run items of it again.",
        epilog=f"{program} COMMAND --help explains a command, with an example. Exit codes: 0 "
        "success; 1 error; 2 wrong usage; 4 nothing matches; 129, 130 and 143 stopped by SIGHUP, "
        "SIGINT and SIGTERM.",
    )
    add_version_flag(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = (overview, items, item, failures, change, tables, submit, export, completion)
    for module in modules:
        module.add_commands(commands)
    return parser
