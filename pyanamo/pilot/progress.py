"""The results of a nested item's tasks while others of its tasks still run.

DynamoDB bills the whole item for every write (Amazon DynamoDB Developer Guide, "DynamoDB on-demand
capacity mode", write request units). To write each result as it comes would cost the square of the
number of tasks. So each task that ends earns a few write units, and the results are written when
as many are earned as the write takes: the larger the item has become, the more results wait for
one write. Those that wait are written with the next renewal of the lease, whatever is earned.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pyanamo.model import Result

# What a task may cost on its way. Import, claim and end of an item take up to 2.8 units a task,
# but only where the results are too large for writes on the way.
UNITS_A_TASK = 1.5


class Progress:
    """The results of one attempt, and how many write units they have earned. It is thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, Result] = {}
        self._earned = 0.0
        self._written = 0  # how many of the results are in the table

    def add(self, name: str, result: Result) -> None:
        """Note how a task ended."""
        with self._lock:
            self._results[name] = result
            self._earned += UNITS_A_TASK

    @property
    def has_unwritten(self) -> bool:
        """Whether there are results that aren't in the table."""
        return len(self._results) > self._written

    def so_far(self) -> Mapping[str, Result]:
        """Return all results that there are now."""
        with self._lock:
            return dict(self._results)

    def has_earned(self, units: int) -> bool:
        """Whether a write that takes this many units is earned."""
        return self._earned >= units

    def wrote(self, results: Mapping[str, Result], units: int) -> None:
        """Note that these results are in the table now, by a write that took this many units."""
        with self._lock:
            self._written = len(results)
            self._earned = max(0.0, self._earned - units)
