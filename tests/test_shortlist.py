"""The shortlist that a pilot's workers have in common: each item for one of them, whoever dies."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from pyanamo.pilot.shared import SharedShortlist
from pyanamo.tables.candidates import PAGE, Candidates, OwnShortlist, Shortlists


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
    with closing(SharedShortlist(4)) as shortlist:

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
    with closing(SharedShortlist(2)) as shortlist:
        candidates = Candidates(index(30), shortlists=shortlist)
        assert candidates.next() is not None
        if (pid := os.fork()) == 0:
            with shortlist.open():
                os.pwrite(shortlist._file.fileno(), b'{"left": ["torn', 0)
                os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        assert candidates.next() is not None


@pytest.mark.parametrize("workers", [1, 4, 100])
def test_a_page_is_for_all_of_the_workers(workers: int) -> None:
    """One query has as many items as the workers try in the time of a lone one's page."""
    limits: list[int] = []

    def page(slot: str, limit: int) -> Sequence[str]:
        limits.append(limit)
        return [f"{slot}-{number}" for number in range(limit)]

    shortlist: Shortlists = OwnShortlist(workers)
    candidates = [Candidates(page, shortlists=shortlist, clock=lambda: 7.0) for _ in range(workers)]
    tried = [worker.next() for _ in range(PAGE) for worker in candidates]
    assert len(set(tried)) == PAGE * workers
    assert limits == [PAGE * min(workers, 8)] * -(-workers // 8)


def test_after_a_conflict_the_rest_is_read_again_for_all() -> None:
    """What one of them has found to be taken, and what another one tries, nobody gets again."""
    limits: list[int] = []

    def page(_slot: str, limit: int) -> Sequence[str]:
        limits.append(limit)
        return ["a", "b", "c"]

    shortlist = OwnShortlist(2)
    one, other = (Candidates(page, shortlists=shortlist, clock=lambda: 7.0) for _ in range(2))
    first, second = one.next(), other.next()
    assert first is not None
    reads = len(limits)
    one.taken(first)
    assert {first, second, other.next()} == {"a", "b", "c"}
    assert len(limits) > reads
