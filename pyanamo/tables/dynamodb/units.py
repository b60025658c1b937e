"""What a DynamoDB table may take a second, and who decides it.

A table is billed by the request (on-demand), or for read and write units that are provisioned: a
number that somebody set, or one that Application Auto Scaling moves between two bounds. The index
has units of its own, and every write to an item is one to the index too: it gets what the table
gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pyanamo.errors import UsageError

# Amazon DynamoDB Developer Guide, "Managing throughput capacity automatically".
LEAST_TARGET, MOST_TARGET = 20, 90


class Billing(str, Enum):
    """What a table is paid by."""

    ON_DEMAND = "on-demand"  # the request
    PROVISIONED = "provisioned"  # the hour and unit


@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """What may be read and written a second: 4 KB and 1 KB a unit. None of it when on-demand."""

    read: int = 0
    write: int = 0

    def attribute(self) -> dict[str, int]:
        """As DynamoDB's `ProvisionedThroughput`."""
        return {"ReadCapacityUnits": self.read, "WriteCapacityUnits": self.write}

    def within(self, least: int, most: int) -> Units:
        """The nearest to these that has both its numbers between two bounds."""
        return Units(read=min(max(self.read, least), most), write=min(max(self.write, least), most))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """The bounds between which Application Auto Scaling moves a number of units."""

    minimum: int
    maximum: int
    target_percent: float | None  # of the units that is to be in use; None where no policy says


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """What a table or an index may take."""

    units: Units
    read_scaling: Scaling | None = None  # None: the units stay as they are
    write_scaling: Scaling | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What a table and its index may take."""

    billing: Billing
    table: Throughput
    index: Throughput


def check_scaling(scaling: Scaling) -> None:
    """Raise `UsageError` for bounds or a target that AWS would refuse."""
    if not 1 <= scaling.minimum <= scaling.maximum:
        raise UsageError(
            f"units can't be scaled between {scaling.minimum} and {scaling.maximum}: "
            "the first must be at least 1, and the second no less"
        )
    if scaling.target_percent is None or not LEAST_TARGET <= scaling.target_percent <= MOST_TARGET:
        raise UsageError(
            f"a target of {scaling.target_percent}% can't be: "
            f"it must be from {LEAST_TARGET} to {MOST_TARGET}"
        )
