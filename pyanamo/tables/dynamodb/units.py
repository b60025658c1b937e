"""How much a DynamoDB table can read and write per second, and who decides it.

A table is billed per request (on-demand), or for provisioned read and write units: a fixed number,
or one that Application Auto Scaling moves between two bounds. The index has units of its own. It
gets as many as the table, since most writes to an item are also writes to the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pyanamo.errors import UsageError

# Amazon DynamoDB Developer Guide, "Managing throughput capacity automatically".
LEAST_TARGET, MOST_TARGET = 20, 90


class Billing(str, Enum):
    """How a table is billed."""

    ON_DEMAND = "on-demand"  # per request
    PROVISIONED = "provisioned"  # per unit and hour


@dataclass(frozen=True, kw_only=True, slots=True)
class Units:
    """Reads of 4 KB and writes of 1 KB per second. 0 for an on-demand table."""

    read: int = 0
    write: int = 0

    def attribute(self) -> dict[str, int]:
        """Return the value of DynamoDB's `ProvisionedThroughput`."""
        return {"ReadCapacityUnits": self.read, "WriteCapacityUnits": self.write}

    def within(self, least: int, most: int) -> Units:
        """Return the nearest units that are between two bounds."""
        return Units(read=min(max(self.read, least), most), write=min(max(self.write, least), most))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """The bounds between which Application Auto Scaling moves a number of units."""

    minimum: int
    maximum: int
    target_percent: float | None  # how many of the units should be in use; None: no policy sets it


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """The capacity of a table or of an index."""

    units: Units
    read_scaling: Scaling | None = None  # None: the units are fixed
    write_scaling: Scaling | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """The capacity of a table and its index."""

    billing: Billing
    table: Throughput
    index: Throughput


def check_scaling(scaling: Scaling) -> None:
    """Raise `UsageError` for bounds or a target that AWS would refuse."""
    if not 1 <= scaling.minimum <= scaling.maximum:
        raise UsageError(
            f"units can't be scaled between {scaling.minimum} and {scaling.maximum}: the minimum "
            "must be at least 1, and the maximum at least the minimum"
        )
    if scaling.target_percent is None or not LEAST_TARGET <= scaling.target_percent <= MOST_TARGET:
        raise UsageError(
            f"a target of {scaling.target_percent}% is not possible: "
            f"it must be from {LEAST_TARGET} to {MOST_TARGET}"
        )
