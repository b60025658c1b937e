"""The contract of a workflow step's table, and the verbs of a claim's holder.

The verbs follow an item's life. Every verb after `claim` carries the claim's token and returns
whether the claim still held. If it returns False, nothing was changed, and another pilot may have
the item. A verb may be called again after an error, even if its write was made.

All verbs raise `TableNotFound`, `AccessDenied`, `StoreUnusable` or `StoreUnavailable` (see
`pyanamo.errors`). A row that isn't an item doesn't stop the work on others: `claim` sets it aside,
`items` and `summaries` leave it out, and all of them pass it to `on_damaged`, which may raise it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pyanamo.errors import DamagedItem
from pyanamo.model import Claim, Item, ItemState, ItemSummary, Locked, Outcome, Result
from pyanamo.tables import transitions
from pyanamo.tables.reading import Row, Tell, read_item
from pyanamo.tables.transitions import Amended, Change, ChangeOfDamaged, Changes


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of the items of an import, or of one batch of them."""

    imported: int = 0
    already_there: int = 0
    replaced: int = 0
    locked: tuple[str, ...] = ()  # ids of items that weren't replaced, as a pilot holds them

    def __add__(self, other: Added) -> Added:
        return Added(
            imported=self.imported + other.imported,
            already_there=self.already_there + other.already_there,
            replaced=self.replaced + other.replaced,
            locked=self.locked + other.locked,
        )

    @property
    def items(self) -> int:
        """How many items there were."""
        return self.imported + self.already_there + self.replaced + len(self.locked)


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many items there are in some states."""

    items: int
    is_all: bool = True  # whether there are no more

    def __str__(self) -> str:
        return f"{self.items:,}{'' if self.is_all else '+'}"

    def __add__(self, other: Count) -> Count:
        return Count(items=self.items + other.items, is_all=self.is_all and other.is_all)


class WorkflowTable(Protocol):
    """One workflow step. An object belongs to the process that made it; threads may share it."""

    name: str
    settle_seconds: float  # there is nothing to claim if two claims, this far apart, find nothing
    on_damaged: Tell
    locked: Locked | None  # what others held when the last claim found nothing

    def now(self) -> float:
        """Return the time of the table's clock, in epoch seconds. Leases follow this clock."""

    def check(self) -> None:
        """Raise an error if the table can't be used."""

    def create(self) -> bool:
        """Create the table and wait until it can be used. Returns False if it was there."""

    def add(
        self,
        items: Iterable[Item],
        *,
        replace: bool = False,
        stop: object = None,
        on_batch: Callable[[Added], object] = lambda _: None,
    ) -> Added:
        """Add new items. Returns what became of all of them.

        An item that is in the table already is left alone; with `replace` it is overwritten,
        unless it is locked. No two of the items may have the same `item_id`.

        `on_batch` is called for each batch once it is written, so that after an error the caller
        knows what was added before it. Once `stop` is true, no other batch is begun; those that
        have begun are finished.
        """

    def claim(self, pilot: str, *, lease: float, max_attempts: int) -> Claim | None:
        """Claim an item for `lease` seconds. Returns None if there is nothing to claim.

        Items that are `todo` come first. If none is found, an item that is `locked` and whose
        lease has expired is taken over; one that was lost `max_attempts` times becomes `failed`
        instead.
        """

    def renew(
        self, claim: Claim, *, lease: float, results: Mapping[str, Result] | None = None
    ) -> bool:
        """Hold the claim for `lease` seconds from now.

        With `results`, those of a nested item's tasks that have ended so far in this attempt, store
        these too.
        """

    def renewal_units(self, claim: Claim, results: Mapping[str, Result]) -> int:
        """Return how many write units it takes to renew with these results; 0 if it costs none."""

    def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item becomes done or failed, as the outcome says."""

    def release(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item becomes todo. An interrupted attempt doesn't count."""

    def lose(self, claim: Claim, reason: str, *, max_attempts: int) -> bool:
        """End the claim of a worker that has died: the attempt is lost, the item becomes todo.

        An item that was lost `max_attempts` times becomes `failed` instead. Recorded results stay.
        Call this only once none of the item's processes runs any more. The tasks of the claim's
        item aren't used.
        """

    def get(self, item_id: str) -> Item | None:
        """Return the item as it is now, or None if it isn't there. Raises `DamagedItem`."""

    def items(self, *states: ItemState) -> Iterator[Item]:
        """Yield the items in these states, or all. Reads whole items, so ask for few states."""

    def amend(
        self, item_id: str, change: Change, *, if_damaged: ChangeOfDamaged | None = None
    ) -> Amended:
        """Read an item and change it, unless somebody else changes it in between.

        `change` is called once, if the item is there. It returns what to write (`DELETED` to delete
        the item), or what became of the item if there is nothing to write. `if_damaged` is called
        instead if the item is damaged; without it, such an item is left as it is.
        """

    def drop(self) -> None:
        """Delete the table with all its items, and wait until it is gone."""

    def summaries(
        self, *states: ItemState, only: Sequence[str] | None = None
    ) -> Iterator[ItemSummary]:
        """Yield the index's rows in these states, or all. A row may lag behind its item.

        With `only`, a row may lack what other attributes say, apart from its state.
        """

    def count(self, state: ItemState) -> Count:
        """How many rows the index has in a state, as far as a few requests tell."""

    def close(self) -> None:
        """Close the table's file or connections."""


class HoldersVerbs(ABC):
    """Renew, finish, release and lose, each of them one conditional write."""

    name: str
    on_damaged: Tell
    now: Callable[[], float]  # epoch seconds

    @abstractmethod
    def _change(self, claim: Claim, changes: Changes) -> bool:
        """Write the changes if the item has the claim's token.

        Returns True as well if an earlier call has already ended the claim in the same way.
        """

    def renew(
        self, claim: Claim, *, lease: float, results: Mapping[str, Result] | None = None
    ) -> bool:
        """Hold the claim for `lease` seconds from now, and store results that there are so far."""
        expiry = transitions.lease_end(self.now(), lease)
        recorded = transitions.recorded(claim, results or {})
        return self._change(claim, {**recorded, "Lease_Expires": expiry})

    def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item becomes done or failed."""
        return self._change(claim, transitions.finished(claim, outcome, self.now()))

    def release(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item becomes todo."""
        return self._change(claim, transitions.released(claim, outcome, self.now()))

    def lose(self, claim: Claim, reason: str, *, max_attempts: int) -> bool:
        """End the claim of a worker that has died: the item becomes todo, or failed."""
        changes = transitions.lost(claim.item, reason, max_attempts, self.now())
        return self._change(claim, changes)

    def _decided(
        self, row: Row, change: Change, if_damaged: ChangeOfDamaged | None
    ) -> Changes | Amended:
        """Return what to write to a row's item, or what became of it (`WorkflowTable.amend`)."""
        try:
            item = read_item(row, table=self.name)
        except DamagedItem as damaged:
            if if_damaged is not None:
                return if_damaged(damaged)
            self.on_damaged(damaged)
            return Amended.DAMAGED
        return change(item)
