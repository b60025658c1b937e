"""The operator's command line: `python -m pyanamo COMMAND`."""

from __future__ import annotations

import sys

from pyanamo.startup import start_up

if __name__ == "__main__":
    start_up()  # also while rich and the SDK are being imported

import argparse
from collections.abc import Sequence

from pyanamo.cli import run_command_line
from pyanamo.console import change, export, items, overview, submit, tables


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    `argv` are the words behind the program's name; those of this process where None is given.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pyanamo",
        description="See how far a workflow is, and run again what must run again.",
        epilog="python -m pyanamo COMMAND --help tells more, with an example.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (overview, items, change, tables, submit, export):
        module.add_commands(commands)
    arguments = parser.parse_args(argv)
    code: int = arguments.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(run_command_line(main))
