"""The contract of a workflow step's table, and the verbs of who holds a claim.

The verbs are those of an item's life. Every verb after `claim` carries the claim's token and
answers whether it still held; where it answers False, nothing was changed and somebody else may
have the item. A verb whose write was made but whose answer was lost may be called again.

All verbs raise `TableNotFound`, `AccessDenied` or `StoreUnavailable` (see `pyanamo.errors`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pyanamo.model import Claim, Item, ItemState, ItemSummary, Outcome, Result
from pyanamo.tables import transitions
from pyanamo.tables.transitions import Changes


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of some items that were to be added."""

    imported: int = 0
    already_there: int = 0
    replaced: int = 0
    locked: tuple[str, ...] = ()  # item ids that weren't replaced, since a pilot holds them

    def __add__(self, other: Added) -> Added:
        return Added(
            imported=self.imported + other.imported,
            already_there=self.already_there + other.already_there,
            replaced=self.replaced + other.replaced,
            locked=self.locked + other.locked,
        )

    @property
    def items(self) -> int:
        """How many items this tells of."""
        return self.imported + self.already_there + self.replaced + len(self.locked)


class Amended(Enum):
    """What became of an operator's change to an item."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"  # there was nothing to change
    TAKEN = "taken"  # a pilot, or another operator, changed it at the same time
    MISSING = "missing"  # there is no such item


class WorkflowTable(Protocol):
    """One workflow step. An object belongs to the process that made it; threads may share it."""

    name: str
    settle_seconds: float  # an empty claim is to be believed when, so much later, another is empty

    def check(self) -> None:
        """Raise an error if the table can't be worked with."""

    def create(self) -> bool:
        """Make the table and wait until it is there; False if it was there."""

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
        """Take an item for `lease` seconds, or None when there is none to take.

        Eligible is an item that is `todo`; where none is found, one that is `locked` and whose
        lease has expired. One that was lost `max_attempts` times becomes `failed` instead.
        """

    def renew(self, claim: Claim, *, lease: float) -> bool:
        """Hold the claim for `lease` seconds from now."""

    def record(self, claim: Claim, results: Mapping[str, Result]) -> bool:
        """Keep the results of a nested item's tasks that have ended in this attempt so far."""

    def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item is done or failed, as the outcome says."""

    def release(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item is todo again. An interrupted attempt doesn't count."""

    def lose(self, claim: Claim, reason: str, *, max_attempts: int) -> bool:
        """End the claim of a worker that has died: the attempt is lost, and the item todo again.

        One that was lost `max_attempts` times becomes `failed` instead. What was recorded stays.
        Only what runs no more may be lost so. Of the claim's item its tasks aren't needed.
        """

    def get(self, item_id: str) -> Item | None:
        """The item, as it is now."""

    def items(self, *states: ItemState) -> Iterator[Item]:
        """The items of these states, or all, as they are: everything is read, so ask for few."""

    def amend(self, item_id: str, change: Callable[[Item], Changes | None]) -> Amended:
        """Make a change that depends on what the item is, if it still is when it is written.

        `change` comes from `pyanamo.tables.transitions`; None means that there is nothing to do.
        """

    def delete(self, item_id: str, may: Callable[[Item], bool]) -> Amended:
        """Delete the item if one may, and if it is still so when it is deleted."""

    def drop(self) -> None:
        """Delete the table with all its items, and wait until it is gone."""

    def summaries(self, *states: ItemState) -> Iterator[ItemSummary]:
        """The index's rows of these states, or of all; a row may lag behind its item."""

    def close(self) -> None:
        """Give back what the table holds: files, connections."""


class HoldersVerbs(ABC):
    """Renew, record, finish, release and lose, by way of one conditional write."""

    _clock: Callable[[], float]  # epoch seconds

    @abstractmethod
    def _change(self, claim: Claim, changes: Changes) -> bool:
        """Write the changes if the token is the item's.

        It is right, too, if our own write has ended the claim so before.
        """

    def renew(self, claim: Claim, *, lease: float) -> bool:
        """Hold the claim for `lease` seconds from now."""
        expiry = transitions.lease_end(self._clock(), lease)
        return self._change(claim, {"Lease_Expires": expiry})

    def record(self, claim: Claim, results: Mapping[str, Result]) -> bool:
        """Keep the results of a nested item's tasks that have ended in this attempt so far."""
        return self._change(claim, transitions.recorded(claim, results))

    def finish(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item is done or failed."""
        return self._change(claim, transitions.finished(claim, outcome, self._clock()))

    def release(self, claim: Claim, outcome: Outcome) -> bool:
        """End the claim: the item is todo again."""
        return self._change(claim, transitions.released(claim, outcome, self._clock()))

    def lose(self, claim: Claim, reason: str, *, max_attempts: int) -> bool:
        """End the claim of a worker that has died: the item is todo again, or failed."""
        changes = transitions.lost(claim.item, reason, max_attempts, self._clock())
        return self._change(claim, changes)
