#!/usr/bin/env python3
"""The pilot: claim items of a table, run their commands, record what happened."""

from __future__ import annotations

import time

STARTED = time.monotonic()  # the wall time counts from here, slow imports included

from pyanamo.startup import start_up  # noqa: E402

start_up()

import sys  # noqa: E402

from pyanamo.cli import run_command_line  # noqa: E402
from pyanamo.pilot.command_line import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(run_command_line(lambda: main(STARTED)))
