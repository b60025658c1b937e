"""Where workers look for items to claim: in pages of the index, each in its own part first."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from pyanamo.tables.dynamodb.candidates import (
    ALONE_SECONDS,
    CROWDED_SECONDS,
    PAGE,
    TRIED_SECONDS,
    Candidates,
    Part,
)


def index(items: int) -> Callable[[str, int], Sequence[str]]:
    """An index of so many items, named by their slots, of which none is ever claimed."""
    slots = sorted(f"{random.Random(number).getrandbits(32):08x}" for number in range(items))

    def page(slot: str, limit: int) -> Sequence[str]:
        return [own for own in slots if own >= slot][:limit]

    return page


def test_a_page_is_tried_while_it_is_fresh() -> None:
    """For a second by a pilot that seems to be alone, for less by one that has met others."""
    now = 7.0
    reads = 0

    def page(slot: str, limit: int) -> Sequence[str]:
        nonlocal reads
        reads += 1
        return [f"{slot}-{number}" for number in range(limit)]

    candidates = Candidates(page, clock=lambda: now)
    assert len({candidates.next() for _ in range(PAGE)}) == PAGE
    assert reads == 1
    candidates.next()
    now += ALONE_SECONDS
    candidates.next()
    assert reads == 2
    now += 0.01
    candidates.next()
    assert reads == 3
    candidates.conflict()
    candidates.next()
    assert reads == 4
    now += CROWDED_SECONDS + 0.01
    candidates.next()
    assert reads == 5


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_workers_of_a_pilot_try_different_items(workers: int) -> None:
    """They know nothing of each other, and still none tries what another one does."""
    tried: Counter[str] = Counter()
    for number in range(workers):
        candidates = Candidates(index(10 * PAGE), part=Part(number, workers), clock=lambda: 7.0)
        found = {candidates.next() for _ in range(PAGE // workers // 2)}
        tried.update(filter(None, found))
    assert tried.total() == workers * (PAGE // workers // 2)
    assert max(tried.values()) == 1


def test_a_worker_whose_part_is_done_helps_with_the_others() -> None:
    page = index(PAGE - 1)
    for number in range(8):
        candidates = Candidates(page, part=Part(number, 8), clock=lambda: 7.0)
        assert len({candidates.next() for _ in range(PAGE - 1)}) == PAGE - 1
        assert candidates.next() is None


def test_a_worker_without_a_part_in_a_page_takes_what_there_is() -> None:
    """With more workers than a page has items."""
    candidates = Candidates(index(10 * PAGE), part=Part(999, 100_000), clock=lambda: 7.0)
    assert candidates.next() is not None


def test_what_was_tried_is_not_given_again_at_once() -> None:
    """The index lags behind the table; but an item may be given back, so later it is."""
    now = 7.0

    def page(_slot: str, _limit: int) -> Sequence[str]:
        return ["a", "b", "c"]

    candidates = Candidates(page, clock=lambda: now)
    first = candidates.next()
    candidates.conflict()
    assert {candidates.next(), candidates.next()} == {"a", "b", "c"} - {first}
    assert candidates.next() is None
    now += TRIED_SECONDS + 0.01
    assert {candidates.next() for _ in range(3)} == {"a", "b", "c"}
