"""`python -m pyanamo`: the operator's command line."""

import sys

from pyanamo.startup import operator

if __name__ == "__main__":
    sys.exit(operator())
