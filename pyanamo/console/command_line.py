"""The operator's command line: one program with many commands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pyanamo.cli import add_version_flag
from pyanamo.console import change, export, failures, item, items, overview, submit, tables
from pyanamo.console.damage import DamageReport
from pyanamo.errors import ItemNotFound


def main(argv: Sequence[str] | None = None, *, program: str = "python -m pyanamo") -> int:
    """Run a command; its exit code, which is 1 if items were left out that are damaged.

    `argv` are the words after the program's name; by default those of this process. `program` is
    what a person types to start the program: help and hints show it.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description="Look at a workflow, and run items of it again.",
        epilog=f"{program} COMMAND --help explains a command, with an example.",
    )
    add_version_flag(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (overview, items, item, failures, change, tables, submit, export):
        module.add_commands(commands)
    damage = DamageReport()
    arguments = parser.parse_args(argv, argparse.Namespace(damage=damage))
    try:
        code: int = arguments.run(arguments)
    except ItemNotFound:
        if not damage:
            raise
        return 1  # whether a damaged one matches is not known
    return code or int(bool(damage))
