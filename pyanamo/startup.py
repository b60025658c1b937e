"""How the three programs start, as a script or as an installed command.

This module imports only what it needs to get ready. Each program imports the rest when it is ready:
stop signals work during slow imports, and the wall time includes them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from pyanamo.signals import exit_at_once_on_signals

PYTHON = (3, 10)


def pilot() -> int:
    """Run `pyanamo.py` or `pyanamo-pilot`; the exit code."""
    started = time.monotonic()

    def main() -> int:
        from pyanamo.pilot.command_line import main

        return main(started)

    return _run(main)


def importer() -> int:
    """Run `import-items.py` or `pyanamo-import`; the exit code."""

    def main() -> int:
        from pyanamo.importer import main

        return main()

    return _run(main)


def operator() -> int:
    """Run `python -m pyanamo` or `pyanamo`; the exit code."""
    name = os.path.basename(sys.argv[0])

    def main() -> int:
        from pyanamo.console.command_line import main

        return main(program="python -m pyanamo" if name == "__main__.py" else name)

    return _run(main)


def _run(main: Callable[[], int]) -> int:
    _get_ready()
    from pyanamo.cli import run_command_line, watch_stdout

    watch_stdout()
    return run_command_line(main)


def _get_ready() -> None:
    """Let stop signals end the program, and open what is closed of stdin, stdout and stderr.

    Otherwise the next file that the program opens would become its stdin, stdout or stderr. Ends
    the program if Python is too old.
    """
    exit_at_once_on_signals()
    if sys.version_info < PYTHON:
        needed, found = (".".join(map(str, version[:2])) for version in (PYTHON, sys.version_info))
        sys.exit(f"PyAnamo needs Python {needed} or newer; this is {found}")
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    # Python sets the stream of a closed file to None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
