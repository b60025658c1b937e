"""The shortlist that a pilot's workers have in common: each item for one of them, whoever dies."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from pyanamo.pilot.shared import SharedShortlist
from pyanamo.tables.dynamodb.candidates import (
    ALONE_SECONDS,
    CROWDED_SECONDS,
    PAGE,
    Candidates,
    OwnShortlist,
)


def index(items: int) -> Callable[[str, int], Sequence[str]]:
    """An index of so many items, named by their slots, of which none is ever claimed."""
    slots = [f"{random.Random(number).getrandbits(32):08x}" for number in range(items)]

    def page(slot: str, limit: int) -> Sequence[str]:
        return [own for own in sorted(slots) if own >= slot][:limit]

    return page


def in_processes(count: int, act: Callable[[int], object]) -> None:
    """Do something in so many forked processes, and wait for their ends."""
    children = []
    for number in range(count):
        if (pid := os.fork()) == 0:
            code = 1
            try:
                act(number)
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * count


def test_workers_get_different_items(tmp_path: Path) -> None:
    with closing(SharedShortlist()) as shortlist:

        def work(number: int) -> None:
            candidates = Candidates(index(80), shortlists=shortlist)
            tried = [candidates.next() for _ in range(20)]
            (tmp_path / f"{number}").write_text("\n".join(filter(None, tried)))

        in_processes(4, work)
    tried = Counter(name for file in tmp_path.iterdir() for name in file.read_text().split())
    assert tried.total() == 80
    assert max(tried.values()) == 1


def test_a_worker_that_dies_while_it_writes_harms_nobody(tmp_path: Path) -> None:
    """Its lock is free, and what it left half written counts as nothing."""
    with closing(SharedShortlist()) as shortlist:
        candidates = Candidates(index(30), shortlists=shortlist)
        assert candidates.next() is not None
        if (pid := os.fork()) == 0:
            with shortlist.open():
                os.pwrite(shortlist._file.fileno(), b'{"left": ["torn', 0)
                os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        assert candidates.next() is not None


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


def test_after_a_conflict_the_rest_is_read_again_for_all() -> None:
    """What one of them has found to be taken, and what another one tries, nobody gets again."""
    limits: list[int] = []

    def page(_slot: str, limit: int) -> Sequence[str]:
        limits.append(limit)
        return ["a", "b", "c"]

    shortlist = OwnShortlist()
    one, other = (Candidates(page, shortlists=shortlist, clock=lambda: 7.0) for _ in range(2))
    first, second = one.next(), other.next()
    assert first is not None
    reads = len(limits)
    one.conflict()
    assert {first, second, other.next()} == {"a", "b", "c"}
    assert len(limits) > reads
