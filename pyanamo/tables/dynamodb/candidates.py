"""Choose which items to try to claim.

Pilots don't coordinate. Each reads a page of the index from a random place, and tries its items in
a random order. (In the index's order, all pilots that start in an empty part of the index would
begin with the same item: the first one after that part.) The older a page is, the more of its items
have been taken by others. So a page is read again after a short time, sooner if there are other
pilots, and at once when an item turns out to be taken.

The workers of one pilot have fewer conflicts: each has its own range of slots, and looks in others
only when nothing waits there.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

PAGE = 50  # items: rows of up to 160 bytes, as most are, take a query 1 read unit

# How long a page is worth trying: while no conflict shows that there are other pilots, and right
# after one. Each page without a conflict makes the next one last twice as long. If tasks take
# longer than that, each claim has its query, which costs a fortieth of what the item's writes do;
# if they take milliseconds, many claims share one.
ALONE_SECONDS, CROWDED_SECONDS = 5.0, 0.2

# How long an item that was tried is ignored in the index, because the index lags behind the table.
# This is shorter than `settle_seconds` of a table, because an item may be given back at once.
TRIED_SECONDS = 1.0
SLOTS = 2**32  # the number of slots: they have 8 hex digits


@dataclass(frozen=True)
class SlotRange:
    """The slots from `first` to `last`, both included."""

    first: int = 0
    last: int = SLOTS - 1

    @classmethod
    def part(cls, number: int, count: int) -> SlotRange:
        """Return one of `count` equal parts of all slots, by its number from 0 on."""
        return cls(number * SLOTS // count, (number + 1) * SLOTS // count - 1)


ALL_SLOTS = SlotRange()

# Returns the ids of the first items of the index in a range of slots, at most this many.
ReadPage = Callable[[SlotRange, int], Sequence[str]]


class Candidates:
    """Item ids that may be claimable. Threads may share it."""

    def __init__(
        self,
        read_page: ReadPage,
        *,
        own: SlotRange = ALL_SLOTS,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`own` are the slots to look at first."""
        self._read_page = read_page
        self._own = self._where = own
        self._clock = clock
        self._random = rng or random.Random()
        self._lock = threading.Lock()
        self._left: list[str] = []  # the next one last
        self._read_at = -math.inf
        self._worth_seconds = ALONE_SECONDS  # of the page
        self._fits_a_page = False  # all that waits there does
        self._is_used_up = False  # all that waited there was tried, and none of it was taken
        self._tried: dict[str, float] = {}  # ids, and when

    def next(self) -> str | None:
        """Return an item to try, or None when the index shows none."""
        with self._lock:  # a thread that finds a page being read waits for it
            if not (self._left and self._is_fresh()):
                self._read()
            if not self._left:
                return None
            item_id = self._left.pop()
            self._is_used_up = self._fits_a_page and not self._left
            self._tried[item_id] = self._clock()
            return item_id

    def conflict(self) -> None:
        """Somebody else has the item that was given last: look elsewhere."""
        with self._lock:
            self._left = []
            self._is_used_up = False
            self._worth_seconds = CROWDED_SECONDS / 2

    def _is_fresh(self) -> bool:
        """Return whether what is left of the page is still worth trying."""
        return self._clock() - self._read_at <= self._worth_seconds

    def _read(self) -> None:
        """Read another page: of our own slots, or of all if nothing is left there."""
        is_all = self._where == ALL_SLOTS
        page = () if self._is_used_up and not is_all else self._page()
        if not page and not is_all:
            self._where, self._fits_a_page = ALL_SLOTS, True  # as far as we know
            page = self._page()
        elif len(page) == PAGE:
            self._where = self._own
        self._fits_a_page = len(page) < PAGE
        self._read_at = self._clock()
        self._worth_seconds = min(ALONE_SECONDS, 2 * self._worth_seconds)
        self._left = self._untried(page)
        self._random.shuffle(self._left)

    def _page(self) -> Sequence[str]:
        return page_around(
            self._read_page, PAGE, self._random, within=self._where, fits_a_page=self._fits_a_page
        )

    def _untried(self, item_ids: Iterable[str]) -> list[str]:
        """Those that the index may be believed about."""
        since = self._read_at - TRIED_SECONDS
        self._tried = {item_id: when for item_id, when in self._tried.items() if when >= since}
        return [item_id for item_id in item_ids if item_id not in self._tried]


def page_around(
    read_page: Callable[[SlotRange, int], Sequence[T]],
    limit: int,
    rng: random.Random,
    *,
    within: SlotRange = ALL_SLOTS,
    fits_a_page: bool,
) -> Sequence[T]:
    """Return a page of a range of slots, from a random place on.

    If the range ends within the page, its beginning is added. If all items that wait in the range
    fit into a page, the range is read from its beginning.
    """
    if fits_a_page:
        return read_page(within, limit)
    start = rng.randrange(within.first, within.last + 1)
    page = read_page(SlotRange(start, within.last), limit)
    if len(page) == limit:
        return page
    return list(dict.fromkeys((*page, *read_page(within, limit))))
