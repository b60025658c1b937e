"""How many bytes of an item each task's output may have."""

from __future__ import annotations

from dataclasses import dataclass

from pyanamo.model import Item, Result
from pyanamo.tables.attributes import result_attribute
from pyanamo.tables.size import grown_size, size_of, size_without_results

TAIL_BYTES = 1000  # of each of stdout and stderr
RESULTS_BYTES = 4096  # of a task's result lines
ITEM_BYTES = 100 * 1000  # what an item with the tails of all its tasks may come to
MOST_BYTES = 390 * 1000  # what it may come to with its result lines and log addresses
NOTES_BYTES = 60  # of a task: names of attributes, and the note where result lines were cut


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much each task of an item may keep in it, in bytes.

    It depends on nothing that changes while the item is worked on, so that what was kept never has
    to be cut again.
    """

    task: int  # for its result, tails and all
    results: int  # for its result lines
    address: int  # for its Log_URI

    @classmethod
    def of(cls, item: Item) -> Room:
        """What fits into an item beside what it must have."""
        count = len(item.tasks)
        spare = max(0, (MOST_BYTES - max(grown_size(item), ITEM_BYTES)) // count - NOTES_BYTES)
        return cls(
            task=(ITEM_BYTES - size_without_results(item)) // count,
            results=min(RESULTS_BYTES, spare // 2),
            address=spare // 2,
        )

    def tail_beside(self, result: Result) -> int:
        """How much of stdout, and of stderr, fits beside the rest of a result."""
        left = self.task - size_of(result_attribute(result)) - NOTES_BYTES
        return max(0, min(TAIL_BYTES, left // 2))
