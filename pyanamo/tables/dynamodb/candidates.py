"""Where to look for an item to claim.

Pilots don't agree on who takes what. Each reads a page of the index from a random place and tries
its items in a random order. (In the index's order, all pilots that start within a stretch that is
empty by now would begin with the same item: the first one after it.) The older a page is, the more
of its items others have taken. So a page is soon read again, sooner when there are other pilots,
and at once when an item turns out to be taken.

The workers of one pilot do better than chance: the items are divided among them by their slots, and
each worker first tries those of its own part.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pyanamo.tables.attributes import slot

PAGE = 50  # items: rows of up to 160 bytes, as most are, take a query 1 read unit

# How long a page is worth trying: until a conflict has shown that there are other pilots, and from
# then on. If tasks take longer than that, each claim has its query, which costs a fortieth of what
# the item's writes do; if they take milliseconds, many claims share one.
ALONE_SECONDS, CROWDED_SECONDS = 1.0, 0.1

# How long the index isn't believed about an item that was tried, since it lags behind the table. It
# is shorter than `settle_seconds` of a table, for an item may be given back at once.
TRIED_SECONDS = 1.0
FRONT = "00000000"


@dataclass(frozen=True)
class Part:
    """One of the parts, `number` of `count`, into which the items are divided by their slots."""

    number: int = 0
    count: int = 1

    def has(self, item_id: str) -> bool:
        """Whether the item is in this part."""
        return self.count == 1 or int(slot(item_id), 16) % self.count == self.number


class Candidates:
    """Item ids that may be claimable. Threads may share it.

    They come from `page(slot, limit)`: the first `limit` ids of the index from a slot on.
    """

    def __init__(
        self,
        page: Callable[[str, int], Sequence[str]],
        *,
        part: Part = Part(),
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`part` is the part of the items to try first."""
        self._read_page = page
        self._part = part
        self._clock = clock
        self._random = rng or random.Random()
        self._lock = threading.Lock()
        self._left: list[str] = []  # the next one last
        self._read_at = -math.inf
        self._is_crowded = False  # there have been conflicts
        self._fits_a_page = False  # all that waits does
        self._tried: dict[str, float] = {}  # ids, and when

    def next(self) -> str | None:
        """An item to try, or None when the index shows none."""
        with self._lock:  # a thread that finds a page being read waits for it
            if not (self._left and self._is_fresh()):
                self._read()
            if not self._left:
                return None
            item_id = self._left.pop()
            self._tried[item_id] = self._clock()
            return item_id

    def conflict(self) -> None:
        """Somebody else has the item that was given last: look elsewhere."""
        with self._lock:
            self._left = []
            self._is_crowded = True

    def _is_fresh(self) -> bool:
        """Whether what is left of the page is still worth trying."""
        age = self._clock() - self._read_at
        return age <= (CROWDED_SECONDS if self._is_crowded else ALONE_SECONDS)

    def _read(self) -> None:
        """Read another page."""
        fits = self._fits_a_page
        page = page_around(self._read_page, PAGE, self._random, fits_a_page=fits)
        self._fits_a_page = len(page) < PAGE
        self._read_at = self._clock()
        found = self._untried(page)
        self._random.shuffle(found)
        own = [item_id for item_id in found if self._part.has(item_id)]
        # What is left of a short page is all there is, whoever's part it is in.
        others = [item_id for item_id in found if not self._part.has(item_id)]
        self._left = (others if self._fits_a_page or not own else []) + own

    def _untried(self, item_ids: Iterable[str]) -> list[str]:
        """Those that the index may be believed about."""
        since = self._read_at - TRIED_SECONDS
        self._tried = {item_id: when for item_id, when in self._tried.items() if when >= since}
        return [item_id for item_id in item_ids if item_id not in self._tried]


def page_around(
    read_page: Callable[[str, int], Sequence[str]],
    limit: int,
    rng: random.Random,
    *,
    fits_a_page: bool,
) -> Sequence[str]:
    """A page of the index from a random place on; if the index ends there, the front as well.

    If all that waits fits a page, it is read from the front.
    """
    page = read_page(FRONT if fits_a_page else f"{rng.getrandbits(32):08x}", limit)
    if fits_a_page or len(page) == limit:
        return page
    return list(dict.fromkeys((*page, *read_page(FRONT, limit))))
