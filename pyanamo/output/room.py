"""Divide the size of an item among the outputs of its tasks."""

from __future__ import annotations

from functools import cached_property

from pyanamo.model import Item, Result
from pyanamo.tables.attributes import result_attribute
from pyanamo.tables.size import grown_size, size_of, size_without_results

TAIL_BYTES = 1000  # for each of stdout and stderr
RESULTS_BYTES = 4096  # for the result lines of a task
ITEM_BYTES = 100 * 1000  # size limit of an item with its tails
MOST_BYTES = 390 * 1000  # size limit of an item with its result lines and log addresses too
NOTES_BYTES = 60  # per task: attribute names, and the note that result lines were cut


class Room:
    """How many bytes of an item each of its tasks may use.

    The limits come from the size of the item without results. They don't change while the item is
    worked on, so a result that was written never has to be cut later.
    """

    def __init__(self, item: Item) -> None:
        self._item = item

    @cached_property
    def task(self) -> int:
        """For the whole result."""
        return (ITEM_BYTES - size_without_results(self._item)) // len(self._item.tasks)

    @cached_property
    def address(self) -> int:
        """For the Log_URI."""
        left = MOST_BYTES - max(grown_size(self._item), ITEM_BYTES)
        return max(0, left // len(self._item.tasks) - NOTES_BYTES) // 2

    @property
    def results(self) -> int:
        """For the result lines."""
        return min(RESULTS_BYTES, self.address)

    def fitting(self, address: str) -> str:
        """Return a log's address; empty if it is too long for the item."""
        return address if len(address.encode()) <= self.address else ""

    def tail_beside(self, result: Result) -> int:
        """Return how many bytes of each tail fit, given the rest of the result."""
        left = self.task - size_of(result_attribute(result)) - NOTES_BYTES
        return max(0, min(TAIL_BYTES, left // 2))
