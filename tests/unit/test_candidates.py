"""Where workers look for items to claim: in pages of the index, each in its own part first."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import pytest

from pyanamo.tables.dynamodb.candidates import (
    ALONE_SECONDS,
    CROWDED_SECONDS,
    PAGE,
    SLOTS,
    TRIED_SECONDS,
    Candidates,
    ReadPage,
    SlotRange,
)

NOW = 7.0


def index(items: int) -> ReadPage:
    """An index of so many items, named by their slots, of which none is ever claimed."""
    taken = sorted(random.Random(number).getrandbits(32) for number in range(items))

    def page(slots: SlotRange, limit: int) -> Sequence[str]:
        return [f"{slot:08x}" for slot in taken if slots.first <= slot <= slots.last][:limit]

    return page


def candidates_of(page: ReadPage, number: int = 0, count: int = 1) -> Candidates:
    """What a worker of so many has, while time stands still."""
    return Candidates(page, own=SlotRange.part(number, count), clock=lambda: NOW)


def test_a_page_is_tried_while_it_is_fresh() -> None:
    """For long by a pilot that seems to be alone, for less by one that has just met others."""
    now = 7.0
    reads = 0

    def page(slots: SlotRange, limit: int) -> Sequence[str]:
        nonlocal reads
        reads += 1
        return [f"{slots.first}-{number}" for number in range(limit)]

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
    for count in range(4):  # each page without a conflict lasts twice as long as the one before
        now += CROWDED_SECONDS * 2**count - 0.01
        candidates.next()
        assert reads == 4 + count
        now += 0.02
        candidates.next()
        assert reads == 5 + count


@pytest.mark.parametrize("workers", [2, 3, 8, 100])
def test_the_parts_of_workers_are_all_there_is(workers: int) -> None:
    parts = [SlotRange.part(number, workers) for number in range(workers)]
    assert parts[0].first == 0
    assert parts[-1].last == SLOTS - 1
    assert all(one.last + 1 == other.first for one, other in pairwise(parts))


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_workers_of_a_pilot_try_different_items(workers: int) -> None:
    """They know nothing of each other, and still none tries what another one does."""
    tried: Counter[str] = Counter()
    for number in range(workers):
        candidates = candidates_of(index(1000), number, workers)
        tried.update(str(candidates.next()) for _ in range(PAGE))
    assert tried.total() == workers * PAGE
    assert max(tried.values()) == 1


def test_a_worker_whose_part_is_done_helps_with_the_others() -> None:
    def page(slots: SlotRange, limit: int) -> Sequence[str]:
        """Nothing is left in the first half."""
        return index(40)(SlotRange(max(slots.first, SLOTS // 2), slots.last), limit)

    left = set(index(40)(SlotRange(SLOTS // 2, SLOTS - 1), PAGE))
    candidates = candidates_of(page, 0, 4)
    assert {candidates.next() for _ in left} == left
    assert candidates.next() is None


def test_a_worker_that_has_used_up_its_part_looks_in_the_others_at_once() -> None:
    asked = []

    def page(slots: SlotRange, limit: int) -> Sequence[str]:
        asked.append(slots)
        return index(80)(slots, limit)

    own = SlotRange.part(0, 4)
    candidates = candidates_of(page, 0, 4)
    waiting = set(index(80)(own, PAGE))
    assert {candidates.next() for _ in waiting} == waiting
    assert all(slots.last == own.last for slots in asked)
    asked.clear()
    assert candidates.next() is not None
    assert all(slots.last == SLOTS - 1 for slots in asked)


def test_a_worker_looks_in_its_part_again_after_a_conflict_there() -> None:
    """Others may have taken all that it knew of."""
    asked = []

    def page(slots: SlotRange, limit: int) -> Sequence[str]:
        asked.append(slots)
        return index(80)(slots, limit)

    candidates = candidates_of(page, 0, 4)
    own = SlotRange.part(0, 4)
    for _ in index(80)(own, PAGE):
        candidates.next()
    candidates.conflict()
    asked.clear()
    candidates.next()
    assert asked[0].last == own.last


def test_a_worker_finds_its_part_again_when_there_is_more() -> None:
    items = 0

    def page(slots: SlotRange, limit: int) -> Sequence[str]:
        return index(items)(slots, limit)

    candidates = candidates_of(page, 1, 4)
    assert candidates.next() is None
    items = 1000
    for _ in range(PAGE + 1):
        last = candidates.next()
    assert last is not None
    assert SLOTS // 4 <= int(last, 16) < SLOTS // 2


def test_what_was_tried_is_not_given_again_at_once() -> None:
    """The index lags behind the table; but an item may be given back, so later it is."""
    now = 7.0

    def page(_slots: SlotRange, _limit: int) -> Sequence[str]:
        return ["a", "b", "c"]

    candidates = Candidates(page, clock=lambda: now)
    first = candidates.next()
    candidates.conflict()
    assert {candidates.next(), candidates.next()} == {"a", "b", "c"} - {first}
    assert candidates.next() is None
    now += TRIED_SECONDS + 0.01
    assert {candidates.next() for _ in range(3)} == {"a", "b", "c"}
