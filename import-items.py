#!/usr/bin/env python3
"""The importer: fill a table with the items of a delimited task file."""

import sys

from pyanamo.startup import importer

if __name__ == "__main__":
    sys.exit(importer())
