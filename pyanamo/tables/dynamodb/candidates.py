"""Where to look for an item to claim.

Pilots don't agree on who takes what. Each reads a page of the index from a random place and tries
its items in a random order: were it the index's, all that read at a stretch which others have
emptied would begin with the same item, the first one after it. The older a page is, the more of it
others have taken: it is soon read again, sooner where there are others, and at once when an item
turns out to be taken.

Workers of one pilot do better than chance: they have one shortlist of items between them, and each
gets others from it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

PAGE = 50  # items: rows of up to 160 bytes, as most are, take a query 1 read unit

# How long a page is worth trying, until a conflict has shown that there are other pilots, and from
# then on. Where tasks take longer each claim has its query, which costs a fortieth of what the
# item's writes do; where they take milliseconds, many have one.
ALONE_SECONDS, CROWDED_SECONDS = 1.0, 0.1

# How long the index isn't believed about an item that was tried: it lags behind the table. Shorter
# than tables settle, for an item may be given back at once.
TRIED_SECONDS = 1.0
FRONT = "00000000"


@dataclass
class Shortlist:
    """The items that some workers may try, and what they know of the others."""

    left: list[str] = field(default_factory=list)  # ids, the next one last
    read_at: float = -math.inf
    crowded: bool = False  # there have been conflicts
    fits_a_page: bool = False  # all that waits does
    tried: dict[str, int] = field(default_factory=dict)  # ids, and when, in ms

    def is_fresh(self, now: float) -> bool:
        """Whether they are still worth trying."""
        return now - self.read_at <= (CROWDED_SECONDS if self.crowded else ALONE_SECONDS)

    def give(self, now: float) -> str | None:
        """An item that nobody else of these workers tries, or None."""
        if not self.left:
            return None
        item_id = self.left.pop()
        self.tried[item_id] = int(1000 * now)
        return item_id

    def untried(self, item_ids: Iterable[str], now: float) -> list[str]:
        """Those that the index may be believed about."""
        since = 1000 * (now - TRIED_SECONDS)
        self.tried = {item_id: when for item_id, when in self.tried.items() if when >= since}
        return [item_id for item_id in item_ids if item_id not in self.tried]


class Shortlists(Protocol):
    """Keeps a shortlist."""

    def open(self) -> AbstractContextManager[Shortlist]:
        """It, for nobody else until the block ends, which may change it."""


class OwnShortlist:
    """A shortlist within a process."""

    def __init__(self) -> None:
        self._shortlist = Shortlist()

    @contextmanager
    def open(self) -> Iterator[Shortlist]:
        """It."""
        yield self._shortlist


class Candidates:
    """Item ids that may be claimable.

    They come from `page(slot, limit)`: the first `limit` ids of the index from a slot on.
    """

    def __init__(
        self,
        page: Callable[[str, int], Sequence[str]],
        *,
        shortlists: Shortlists | None = None,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """`clock` must be the same for all that have the shortlist in common."""
        self._read_page = page
        self._shortlists = shortlists or OwnShortlist()
        self._clock = clock
        self._random = rng or random.Random()

    def next(self) -> str | None:
        """An item to try, or None when the index shows none."""
        # Who finds a page being read waits for it: it is for all of the workers.
        with self._shortlists.open() as shortlist:
            if not (shortlist.left and shortlist.is_fresh(self._clock())):
                self._refill(shortlist)
            return shortlist.give(self._clock())

    def conflict(self) -> None:
        """Somebody else has the item that was given last: look elsewhere."""
        with self._shortlists.open() as shortlist:
            shortlist.left.clear()
            shortlist.read_at = -math.inf
            shortlist.crowded = True

    def _refill(self, shortlist: Shortlist) -> None:
        """Have another page on the shortlist."""
        fits_a_page = shortlist.fits_a_page
        page = page_around(self._read_page, PAGE, self._random, fits_a_page=fits_a_page)
        now = self._clock()
        shortlist.left = shortlist.untried(page, now)
        self._random.shuffle(shortlist.left)
        shortlist.read_at = now
        shortlist.fits_a_page = len(page) < PAGE


def page_around(
    read_page: Callable[[str, int], Sequence[str]],
    limit: int,
    rng: random.Random,
    *,
    fits_a_page: bool,
) -> Sequence[str]:
    """A page from a random place on, and from the front on where the index ends before that.

    Where there is no more than fits a page, one from the front on shows it all.
    """
    page = read_page(FRONT if fits_a_page else f"{rng.getrandbits(32):08x}", limit)
    if fits_a_page or len(page) == limit:
        return page
    return list(dict.fromkeys((*page, *read_page(FRONT, limit))))
