"""Remember when the leases of locked items end, so that these aren't read again before.

A lease isn't in the index, and to read it costs as much as to read the item, which may be large.
But renewals only move its end to a later time. So an item can't be lost before the end that was
read, unless somebody else has claimed it since; the index tells that by its pilot and its date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

LOCKED_COLUMNS = ("itemID", "InstanceID", "Lock_Date")
MOST = 5000  # leases, of a few hundred bytes each


class LockedRow(NamedTuple):
    """What the index tells of a claim."""

    item_id: str
    instance: str
    lock_date: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LockedRow:
        """Return what a row tells, as DynamoDB gives it: of the index, or of the table."""
        return cls(*(str(row.get(name, {}).get("S", "")) for name in LOCKED_COLUMNS))


class KnownLeases:
    """The ends of leases that were read, in epoch seconds. Threads may share it."""

    def __init__(self) -> None:
        self._ends: dict[LockedRow, int] = {}

    def that_hold(self, now: float) -> Mapping[LockedRow, int]:
        """Return those that end after `now`, and forget the others."""
        self._ends = {row: end for row, end in tuple(self._ends.items()) if end > now}
        return self._ends

    def note(self, row: LockedRow, end: int) -> None:
        """Remember the end of a lease, if there is room for it."""
        if len(self._ends) < MOST:
            self._ends[row] = end
