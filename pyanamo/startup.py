"""What each program does before anything else."""

from __future__ import annotations

import os
import sys

from pyanamo.signals import exit_at_once_on_signals

PYTHON = (3, 10)


def start_up() -> None:
    """Let stop signals end the program, and let no file of ours take the place of a standard one.

    Ends the program where Python is too old for it.

    Who starts a program with stdin, stdout or stderr closed has the next file that it opens take
    that number, and what is printed go there.
    """
    exit_at_once_on_signals()
    if sys.version_info < PYTHON:
        needed, found = (".".join(map(str, version[:2])) for version in (PYTHON, sys.version_info))
        sys.exit(f"PyAnamo needs Python {needed} or newer; this is {found}")
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free is this one
    # Python has None where a file was closed.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
