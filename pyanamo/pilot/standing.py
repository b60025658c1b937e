"""How far a pilot is, and which parts of that fit on a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyanamo.pilot.shared import NestedProgress
from pyanamo.tables import Count
from pyanamo.timetext import duration_text

GAP = "  "
SHORTEST_BAR, LONGEST_BAR = 8, 40
ENOUGH = 5  # tasks that must have ended before there is an estimate


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the live line."""

    text: str
    rank: int  # the higher, the sooner it is left out on a narrow terminal
    style: str = ""
    after_bar: bool = True

    @property
    def markup(self) -> str:
        """The part in rich's markup, of which a table's name has no special characters."""
        return f"[{self.style}]{self.text}[/]" if self.style else self.text


def fitting(parts: Sequence[Part], columns: int) -> tuple[list[Part], int]:
    """Return the parts that fit in so many columns, and the width of the bar; 0 for none."""
    room = columns + len(GAP)
    chosen: list[Part] = []
    for part in sorted(parts, key=lambda part: part.rank):
        if (width := len(part.text) + len(GAP)) <= room:
            chosen.append(part)
            room -= width
    bar = min(room - len(GAP), LONGEST_BAR)
    return [part for part in parts if part in chosen], bar if bar >= SHORTEST_BAR else 0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a pilot is."""

    total: Count | None  # the items that the table had for it when it began, if known
    done: int
    failed: int
    running: int
    nested: Sequence[NestedProgress]  # of the running items; for single ones, without tasks
    tasks_ended: int  # of all items
    seconds: float  # since the start
    time_left: float | None  # of the wall time

    @property
    def known_total(self) -> int | None:
        """How many items there are in all. Others may have been added since it was counted."""
        if self.total is None or not self.total.is_all:
            return None
        return self.total.items if self.total.items >= self.done + self.failed else None

    @property
    def estimate(self) -> float | None:
        """In how many seconds the items of `total` have ended, if this pilot runs all of them.

        That is at its mean rate so far; None while too little has ended to tell.
        """
        total = self.known_total
        if total is None or self.tasks_ended < ENOUGH:
            return None
        begun = [item for item in self.nested if item.tasks]
        worked = self.done + self.failed + sum(item.ended / item.tasks for item in begun)
        left = total - worked - sum(item.done_before / item.tasks for item in begun)
        return max(0.0, left) * self.seconds / worked if worked else None

    def parts(self, table: str) -> list[Part]:
        """What the live line says, from left to right."""
        minutes, seconds = divmod(int(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        elapsed = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        parts = [
            Part(text=table, rank=4, style="bold", after_bar=False),
            Part(text=elapsed, rank=1, after_bar=False),
            Part(text="this pilot:", rank=7, style="dim"),  # others may work on the table too
            Part(text=self._done(), rank=0),
        ]
        if self.failed:
            parts.append(Part(text=f"{self.failed:,} failed", rank=2, style="red"))
        parts.append(Part(text=f"{self.running:,} running", rank=5, style="cyan"))
        if tasks := sum(item.tasks for item in self.nested):
            ended = sum(item.done_before + item.ended for item in self.nested)
            parts.append(Part(text=f"tasks {ended:,}/{tasks:,}", rank=6))
        if left := self._left():
            parts.append(Part(text=left, rank=3))
        return parts

    def _done(self) -> str:
        is_of_these = self.total is not None and (self.known_total or not self.total.is_all)
        return f"{self.done:,} of {self.total} done" if is_of_these else f"{self.done:,} done"

    def _left(self) -> str:
        estimate, wall_time = self.estimate, self.time_left
        if wall_time == 0:
            return "wall time used up"
        if wall_time is not None and (estimate is None or estimate > wall_time):
            return f"{duration_text(wall_time)} of wall time"
        return "" if estimate is None else f"{duration_text(estimate)} left"
