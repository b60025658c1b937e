"""What a command would do to the items that it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pyanamo.console.screen import counted
from pyanamo.model import ItemState, ItemSummary

SHOWN = 10  # items that a dry run names


@dataclass
class Preview:
    """What would become of items, by their rows. Counts them as they pass."""

    done: str
    can_change: Callable[[ItemSummary], bool]
    part: str = ""  # of each item: `Task_1 of `
    provided: str = ""  # on what it depends: ` if ...`
    count: int = 0  # of the items that would be changed
    first: list[str] = field(default_factory=list)  # of these
    others: Counter[ItemState] = field(default_factory=Counter)  # by state

    def of(self, found: Iterable[tuple[str, str, ItemSummary | None]]) -> Iterator[tuple[str, str]]:
        """Pass items on, each by its table's name and its own. One without a row is damaged."""
        for table, item_id, row in found:
            if row is not None and not self.can_change(row):
                self.others[row.state] += 1
            else:
                self.count += 1
                self.first += [item_id] if self.count <= SHOWN else []
            yield table, item_id

    def __str__(self) -> str:
        """Return what would be done: `5 of 100 items would be held; 95 are done`."""
        total = self.count + sum(self.others.values())
        is_all = self.count == total or bool(self.part)
        items = counted(self.count) if is_all else f"{self.count} of {counted(total)}"
        told = f"{self.part}{items} would be {self.done}{self.provided}"
        counts = ((self.others[state], state.value) for state in ItemState)
        left = ", ".join(f"{n} {'is' if n == 1 else 'are'} {state}" for n, state in counts if n)
        return f"{told}; {left}" if left else told
