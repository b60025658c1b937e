"""Hasty pilots: their time limits and pauses are shorter, so that tests of them are quick."""

from __future__ import annotations

import sys

# In seconds:
LEASE = 3.0  # the shortest lease that --lease takes
GRACE = 2.0  # from SIGTERM to SIGKILL
STOP = 5.0  # limit for a whole stop
BUSY = 1.0  # how long SQLite waits for a file that is locked
BACKOFF = 1.0  # the longest pause before a worker repeats a request that failed

# The pauses are mostly the SDK's between two attempts at a request, which can add up to minutes.
_PRELUDE = f"""
import importlib, os, runpy, sys, time

def set_constant(module, name, value):
    importlib.import_module(module)
    holders = [held for held in sys.modules.values() if held.__name__.startswith("pyanamo.")]
    holders = [held for held in holders if hasattr(held, name)]
    assert sys.modules[module] in holders, name
    for holder in holders:
        setattr(holder, name, value)

sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 100)
sys.argv = sys.argv[2:]  # without the interpreter, which comes first
sys.path.insert(0, os.path.dirname(sys.argv[0]))
set_constant("pyanamo.tables.sqlitefile", "BUSY_SECONDS", {BUSY})
set_constant("pyanamo.pilot.lease", "SHORTEST_SECONDS", {LEASE})
set_constant("pyanamo.pilot.command", "GRACE_SECONDS", {GRACE})
set_constant("pyanamo.pilot.worker", "LONGEST_BACKOFF", {BACKOFF})
set_constant("pyanamo.pilot.pilot", "STOP_SECONDS", {STOP})
runpy.run_path(sys.argv[0], run_name="__main__")
"""

PREFIX = (sys.executable, "-c", _PRELUDE)
