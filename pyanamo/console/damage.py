"""Tell of damaged items: rows that aren't items, as somebody else has written them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyanamo.cli import say
from pyanamo.errors import DamagedItem

MOST = 20  # that are named: somebody may have damaged all of them


@dataclass
class DamageReport:
    """Names damaged items on stderr, each once. Threads may share it."""

    told: set[tuple[str, object]] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether an item was damaged."""
        return bool(self.told)

    def __call__(self, damaged: DamagedItem) -> None:
        """Name an item."""
        key = (damaged.table, damaged.item_id)
        if key in self.told or len(self.told) > MOST:
            return
        self.told.add(key)
        more = "more items are damaged: these are not named"
        say(more if len(self.told) > MOST else str(damaged))
