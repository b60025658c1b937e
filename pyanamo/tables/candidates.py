"""Where to look for an item to claim.

Pilots don't agree on who takes what. Each reads a page of the index from a random place and tries
its items in a random order: were it the index's, all that read at a stretch which others have
emptied would begin with the same item, the first one after it. When one turns out to be taken,
others work on the same items: the rest of the page is dropped, the next page is read from another
place, and is kept for a shorter time.

Workers of one pilot do better than chance: each has a share of all item ids, and tries those of
others only when it finds none of its own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyanamo.tables.attributes import slot

PAGE = 25  # items of one share: rows of some 200 bytes, so that a query takes about 1 read unit
MOST_SHARES = 8

# How long a page is worth trying. The older it is, the more of it is taken; the more pilots there
# are for the items that wait, the sooner. Nobody counts them: each conflict makes it shorter, each
# page that is read a little longer. These numbers settle at a conflict every 15 pages or so; a
# conflict costs five to ten times what a query does.
SHORTEST_FRESH, FIRST_FRESH, LONGEST_FRESH = 0.1, 1.0, 5.0  # seconds
SHORTER, LONGER = 0.25, 1.1

TAKEN_SECONDS = 1.0  # how long the index may still show an item as todo that isn't


@dataclass(frozen=True)
class Share:
    """The part of all items that a worker tries first: one of so many, evenly."""

    number: int = 0
    shares: int = 1

    @classmethod
    def of_worker(cls, number: int, workers: int) -> Share:
        """Of a worker of a pilot with so many; where they are many, some have the same share."""
        shares = min(workers, MOST_SHARES)
        return cls(number % shares, shares)

    @property
    def page(self) -> int:
        """How many items a page must have, so that the share in it is worth a query."""
        return PAGE * self.shares

    def has(self, item_id: str) -> bool:
        """Whether an item is in it."""
        return self.shares == 1 or int(slot(item_id), 16) % self.shares == self.number


WHOLE = Share()
FRONT = "00000000"


class Candidates:
    """Item ids that may be claimable.

    They come from `page(slot, limit)`: the first `limit` ids of the index from a slot on.
    """

    def __init__(
        self,
        page: Callable[[str, int], Sequence[str]],
        *,
        share: Share = WHOLE,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._read_page = page
        self._share = share
        self._clock = clock
        self._random = rng or random.Random()
        self._page: list[str] = []  # what is left of it
        self._read_at = 0.0
        self._fresh = FIRST_FRESH  # seconds
        self._fits_a_page = False  # all that is left
        self._taken: dict[str, float] = {}  # id -> when it was found to be taken

    def next(self) -> str | None:
        """An item to try, or None when the index shows none."""
        if not self._page or self._clock() - self._read_at > self._fresh:
            self._refill()
        return self._page.pop() if self._page else None

    def taken(self, item_id: str) -> None:
        """Somebody else has it: look elsewhere, and don't believe the index about it for now."""
        self._page.clear()
        self._fresh = max(SHORTEST_FRESH, self._fresh * SHORTER)
        self._taken[item_id] = self._clock()

    def claimed(self, item_id: str) -> None:
        """We have it: don't believe the index about it for now."""
        self._taken[item_id] = self._clock()

    def _refill(self) -> None:
        self._read_at = self._clock()
        self._fresh = min(LONGEST_FRESH, self._fresh * LONGER)
        self._taken = {
            item_id: when
            for item_id, when in self._taken.items()
            if self._read_at - when <= TAKEN_SECONDS
        }
        page = [item_id for item_id in self._read_around() if item_id not in self._taken]
        own = [item_id for item_id in page if self._share.has(item_id)]
        self._page = own or page
        self._random.shuffle(self._page)

    def _read_around(self) -> Sequence[str]:
        """A page from a random place on, and from the front on where the index ends before that."""
        if self._fits_a_page:  # nearly nothing is left: one query shows it all
            page = list(self._read_page(FRONT, self._share.page))
        else:
            page = list(self._read_page(random_slot(self._random), self._share.page))
            if len(page) < self._share.page:
                front = self._read_page(FRONT, self._share.page)
                page = list(dict.fromkeys((*page, *front)))
        self._fits_a_page = len(page) < self._share.page
        return page


def random_slot(rng: random.Random) -> str:
    """A random place of the index."""
    return f"{rng.getrandbits(32):08x}"
