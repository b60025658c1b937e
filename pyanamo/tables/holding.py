"""The verbs of who holds a claim, the same for every kind of table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from pyanamo.model import Claim, Outcome, Result
from pyanamo.tables import transitions
from pyanamo.tables.transitions import Changes


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
