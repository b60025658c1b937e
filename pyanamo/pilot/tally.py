"""Count the outcomes of a pilot's items, and detect that every item fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pyanamo.model import Ending, Locked
from pyanamo.pilot.worker import ItemEnded

QUICK_SECONDS = 5.0  # if items fail sooner, the machine may be the cause


@dataclass
class Summary:
    """The counts and the end of a pilot's run."""

    done: int = 0
    failed: int = 0
    released: int = 0
    lost: int = 0
    seconds: float = 0.0
    why: str = ""  # why nothing more was claimed, unless nothing was left
    error: str = ""  # why the pilot failed; empty if it didn't
    all_failed: bool = False  # that error is of items that failed one after the other
    retried: int = 0  # of those released: they failed, and will be tried again
    stopped_by: int | None = None  # the number of the stop signal
    nothing_left: bool = False  # no item was found, and none was put back after that
    locked: Locked | None = None  # what others held when nothing else was left

    @property
    def is_empty(self) -> bool:
        """Whether no attempt has ended."""
        return not (self.done or self.failed or self.released or self.lost)

    def __str__(self) -> str:
        lost = f", lost {self.lost}" if self.lost else ""
        counts = f"done {self.done}, failed {self.failed}, released {self.released}{lost}"
        return f"{counts} in {self.seconds:.1f} s"


class Tally:
    """Counts the ends of attempts, and the failures in a row."""

    def __init__(self, max_failures_in_a_row: int) -> None:
        """Create a tally; `max_failures_in_a_row` is 0 for no limit."""
        self.summary = Summary()
        self._limit = max_failures_in_a_row
        self._quick_failures: list[str] = []  # reasons of the current row

    def count(self, ended: ItemEnded) -> None:
        """Count the end of an attempt; too many quick failures in a row fail the pilot."""
        if ended.put_back:
            self.summary.released += 1
            self.summary.retried += ended.ending is Ending.FAILED
            self.summary.nothing_left = False
        elif ended.ending is Ending.DONE:
            self.summary.done += 1
        elif ended.ending is Ending.LOST:
            self.summary.lost += 1
        else:
            self.summary.failed += 1
        if ended.ending is Ending.FAILED and ended.seconds < QUICK_SECONDS:
            self._quick_failures.append(ended.reason)
        else:
            self._quick_failures.clear()
        if self._limit and len(self._quick_failures) >= self._limit:
            self.summary.all_failed = True
            self.fail(self._all_failed())

    def fail(self, error: str) -> None:
        """Note that the pilot can't do its job; only the first error is kept."""
        self.summary.error = self.summary.error or error

    def _all_failed(self) -> str:
        reasons = Counter(self._quick_failures).most_common()
        listed = "; ".join(f"{reason} ({count} times)" for reason, count in reasons)
        return (
            f"the last {self._limit} items all failed within {QUICK_SECONDS:.0f} s of starting, so "
            f"this pilot stops claiming (--max-failures-in-a-row): {listed}"
        )
