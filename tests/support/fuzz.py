"""How many random examples the tests try."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """So many, or 20 times as many in `make chaos`."""
    return count * (20 if os.environ.get("CHAOS_MINUTES") else 1)
