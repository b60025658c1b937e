"""Divide the size of an item among the outputs of its tasks."""

from __future__ import annotations

from dataclasses import dataclass

from pyanamo.model import Item, Result
from pyanamo.tables.attributes import result_attribute
from pyanamo.tables.size import grown_size, size_of, size_without_results

TAIL_BYTES = 1000  # for each of stdout and stderr
RESULTS_BYTES = 4096  # for the result lines of a task
ITEM_BYTES = 100 * 1000  # size limit of an item with its tails
MOST_BYTES = 390 * 1000  # size limit of an item with its result lines and log addresses too
NOTES_BYTES = 60  # per task: attribute names, and the note that result lines were cut


@dataclass(frozen=True, kw_only=True)
class Room:
    """How many bytes of an item each of its tasks may use.

    The limits don't change while the item is worked on, so a result that was written never has to
    be cut later.
    """

    task: int  # for the whole result
    results: int  # for the result lines
    address: int  # for the Log_URI

    @classmethod
    def of(cls, item: Item) -> Room:
        """Compute the limits from the size of the item without results."""
        count = len(item.tasks)
        spare = max(0, (MOST_BYTES - max(grown_size(item), ITEM_BYTES)) // count - NOTES_BYTES)
        return cls(
            task=(ITEM_BYTES - size_without_results(item)) // count,
            results=min(RESULTS_BYTES, spare // 2),
            address=spare // 2,
        )

    def fitting(self, address: str) -> str:
        """Return a log's address; empty if it is too long for the item."""
        return address if len(address.encode()) <= self.address else ""

    def tail_beside(self, result: Result) -> int:
        """Return how many bytes of each tail fit, given the rest of the result."""
        left = self.task - size_of(result_attribute(result)) - NOTES_BYTES
        return max(0, min(TAIL_BYTES, left // 2))
