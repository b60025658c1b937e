"""A figure: a measurement with its values and its target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """The upper or lower limit for a figure's median."""

    value: float
    at_least: bool = False

    def is_met_by(self, value: float) -> bool:
        """Return whether a value meets the target."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {number(self.value)}"


def at_most(value: float) -> Target:
    """Return a target that is an upper limit."""
    return Target(value)


def at_least(value: float) -> Target:
    """Return a target that is a lower limit."""
    return Target(value, at_least=True)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table of results."""

    name: str  # in results.json
    what: str  # in the table
    unit: str
    values: Sequence[float]  # one per round
    target: Target | None = None
    is_count: bool = False  # doesn't depend on the machine, so quick runs check it
    beside: str = ""  # more numbers to compare it with

    @property
    def median(self) -> float:
        """The value that is compared with the target."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None if there is no target."""
        return None if self.target is None else self.target.is_met_by(self.median)

    @property
    def spread(self) -> str:
        """The lowest and the highest value, and the number of values."""
        count = len(self.values)
        if count == 1:
            return "1 run"
        return f"{number(min(self.values))} to {number(max(self.values))}, {count} runs"


def number(value: float) -> str:
    """Format a number with three significant digits; from 100 on, as a whole number."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
