#!/usr/bin/env python3
"""The importer: fill a table with the items of a delimited task file."""

from __future__ import annotations

from pyanamo.startup import start_up

start_up()

import sys  # noqa: E402

from pyanamo.cli import run_command_line  # noqa: E402
from pyanamo.importer import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(run_command_line(main))
