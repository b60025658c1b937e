"""A pilot in a hurry: what it waits for takes less time, so that a test of it does too."""

from __future__ import annotations

import sys

LEASE = 3.0  # seconds, of the shortest lease
GRACE = 2.0  # from SIGTERM to SIGKILL
STOP = 5.0  # for a whole stop
BUSY = 1.0  # for a SQLite file that somebody else has
BACKOFF = 1.0  # between two attempts of a worker at a request that failed

# Pauses are those of the SDK between the tries of a request, above all, which can come to minutes.
_PRELUDE = f"""
import importlib, os, runpy, sys, time

def set_constant(module, name, value):
    module = importlib.import_module(module)
    assert hasattr(module, name), name
    setattr(module, name, value)

sleep = time.sleep
time.sleep = lambda seconds: sleep(seconds / 100)
sys.argv = sys.argv[2:]  # without the interpreter, which comes first
sys.path.insert(0, os.path.dirname(sys.argv[0]))
set_constant("pyanamo.tables.sqlite", "BUSY_SECONDS", {BUSY})
set_constant("pyanamo.pilot.lease", "SHORTEST_SECONDS", {LEASE})
set_constant("pyanamo.pilot.command", "GRACE_SECONDS", {GRACE})
set_constant("pyanamo.pilot.worker", "LONGEST_BACKOFF", {BACKOFF})
set_constant("pyanamo.pilot.pilot", "STOP_SECONDS", {STOP})
runpy.run_path(sys.argv[0], run_name="__main__")
"""

PREFIX = (sys.executable, "-c", _PRELUDE)
