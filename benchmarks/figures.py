"""A figure: what was measured, how often, and whether it is what it should be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What a figure's median should be at most, or at least."""

    value: float
    at_least: bool = False

    def is_met_by(self, value: float) -> bool:
        """Whether a value is on the right side."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {number(self.value)}"


def at_most(value: float) -> Target:
    """A target from above."""
    return Target(value)


def at_least(value: float) -> Target:
    """A target from below."""
    return Target(value, at_least=True)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of the table of results."""

    name: str  # in results.json
    what: str  # in the table
    unit: str
    values: Sequence[float]  # a round each
    target: Target | None = None
    is_count: bool = False  # the same on any machine, but for chance: quick runs check it
    beside: str = ""  # what it is to be seen with

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        return None if self.target is None else self.target.is_met_by(self.median)

    @property
    def spread(self) -> str:
        """The lowest and the highest value, and how many there are."""
        count = len(self.values)
        if count == 1:
            return "1 run"
        return f"{number(min(self.values))} to {number(max(self.values))}, {count} runs"


def number(value: float) -> str:
    """A number with three digits, or with all of its whole ones."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
