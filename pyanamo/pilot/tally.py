"""Count what a pilot's workers tell, and notice when everything fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pyanamo.model import Ending
from pyanamo.pilot.worker import ItemEnded

QUICK_SECONDS = 5.0  # an item that fails sooner says something about the machine


@dataclass
class Summary:
    """What a pilot has done."""

    done: int = 0
    failed: int = 0
    released: int = 0
    lost: int = 0
    seconds: float = 0.0
    error: str = ""  # why it could not do its job
    stopped_by: int | None = None  # the signal

    def __str__(self) -> str:
        lost = f", lost {self.lost}" if self.lost else ""
        counts = f"done {self.done}, failed {self.failed}, released {self.released}{lost}"
        return f"{counts} in {self.seconds:.1f} s"


class Tally:
    """What has become of a pilot's items, and the failures in a row."""

    def __init__(self, max_failures_in_a_row: int) -> None:
        """0 for no limit."""
        self.summary = Summary()
        self._limit = max_failures_in_a_row
        self._quick_failures: list[str] = []  # the reasons of the last items, while all were quick

    def count(self, ended: ItemEnded) -> None:
        """Count an attempt that has ended; too many quick failures in a row are the error."""
        if ended.put_back:
            self.summary.released += 1
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
            self.fail(self._all_failed())

    def fail(self, error: str) -> None:
        """The pilot can't do its job, for this reason; the first one counts."""
        self.summary.error = self.summary.error or error

    def _all_failed(self) -> str:
        reasons = Counter(self._quick_failures).most_common()
        listed = "; ".join(f"{reason} ({count} times)" for reason, count in reasons)
        return (
            f"the last {self._limit} items all failed within {QUICK_SECONDS:.0f} s of starting, so "
            f"this machine takes no more of them (--max-failures-in-a-row): {listed}"
        )
