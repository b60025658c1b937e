#!/usr/bin/env python3
"""The pilot: claim items of a table, run their commands, record what happened."""

import sys

from pyanamo.startup import pilot

if __name__ == "__main__":
    sys.exit(pilot())
