"""Keeping a claim alive while it is worked on."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, cast

import pytest

from pyanamo.clocks import lease_clock
from pyanamo.errors import StoreUnavailable
from pyanamo.model import Claim, Item, Result, Task
from pyanamo.pilot.lease import Held, Renewals
from pyanamo.pilot.progress import Progress
from tests.support.makers import well
from tests.support.waiting import wait_until

LEASE = 6.0  # seconds: a renewal every 2, lost after 4.2


class Table:
    """A table of which only renewals are asked. Each result that is written takes ten units."""

    def __init__(self) -> None:
        self.written: list[list[str]] = []  # the tasks whose results came with each renewal
        self.renewed: list[str] = []
        self.hangs_for = ""  # the item whose renewal gets no answer
        self.answer = threading.Event()
        self.fails = 0  # how many times from now on
        self.error: Exception = StoreUnavailable("it doesn't answer")

    def renewal_units(self, claim: Claim, results: Mapping[str, Result]) -> int:
        return 10 * len(results)

    def renew(self, claim: Claim, *, lease: float, results: Mapping[str, Result] | None) -> bool:
        self.renewed.append(claim.item.item_id)
        self.written.append(list(results or ()))
        if claim.item.item_id == self.hangs_for:
            self.answer.wait(30)
        if self.fails:
            self.fails -= 1
            raise self.error
        return True


def claim_of(name: str) -> Claim:
    task = Task(name="Task_0", script="true")
    return Claim(item=Item(item_id=name, task_id="t", tasks=(task,), nested=False), token=name)


def renewals(table: Table, watched: list[float]) -> Renewals:
    return Renewals(cast(Any, table), LEASE, watched.append)


@contextmanager
def keep_alive(of_all: Renewals, name: str, *, since: float | None = None) -> Iterator[Held]:
    """Keep a claim of that name alive, claimed just now unless `since` is given."""
    held = of_all.begin(claim_of(name), since=lease_clock() if since is None else since)
    try:
        yield held
    finally:
        of_all.end(held)


def kept(
    table: Table, name: str, watched: list[float], *, since: float | None = None
) -> AbstractContextManager[Held]:
    return keep_alive(renewals(table, watched), name, since=since)


def test_claims_that_end_in_time_are_not_renewed() -> None:
    table, watched = Table(), list[float]()
    threads = threading.active_count()
    of_all = renewals(table, watched)
    for number in range(100):
        with keep_alive(of_all, f"{number}") as held:
            assert not held
    assert threading.active_count() == threads + 1
    assert table.renewed == []
    assert len(watched) == 200


def test_each_claim_is_renewed_by_itself() -> None:
    """The second is due a third of a lease after its own claim, not after the first one's."""
    table, watched = Table(), list[float]()
    of_all = renewals(table, watched)
    with keep_alive(of_all, "first", since=lease_clock() - LEASE / 4):
        wait_until(lambda: table.renewed == ["first"], "the first is renewed")
    claimed_at = lease_clock()
    with keep_alive(of_all, "second", since=claimed_at):
        wait_until(lambda: "second" in table.renewed, "the second is renewed")
        assert lease_clock() - claimed_at >= LEASE / 3
    assert table.renewed == ["first", "second"]


def test_a_renewal_that_fails_is_tried_again_before_the_lease_is_over() -> None:
    table, watched = Table(), list[float]()
    table.fails = 2
    with kept(table, "item", watched) as held:
        wait_until(lambda: len(watched) == 2, "a renewal has succeeded")
        assert not held
        assert watched[1] > watched[0]
    assert table.renewed == ["item"] * 3


def test_a_renewal_that_hangs_holds_up_neither_its_end_nor_the_next_claim() -> None:
    table, watched = Table(), list[float]()
    table.hangs_for = "first"
    threads = threading.active_count()
    of_all = renewals(table, watched)
    with keep_alive(of_all, "first"):
        wait_until(lambda: table.renewed == ["first"], "it is being renewed")
        ends_at = time.monotonic()
    assert time.monotonic() - ends_at < 1
    with keep_alive(of_all, "second") as held:
        deadline = watched[-1]
        wait_until(lambda: len(watched) == 4, "the next one is renewed meanwhile")
        assert watched[-1] >= deadline + LEASE / 3 - 0.1
        table.answer.set()
        wait_until(lambda: threading.active_count() == threads + 1, "the answer has come")
        assert len(watched) == 4  # too late to count for anything
        assert not held
    assert watched[-1] == 0


def test_a_claim_whose_deadline_has_passed_stays_lost() -> None:
    """Also if the answer to a renewal comes then; and to read why it is lost changes nothing."""
    held = Held(claim_of("item"), LEASE, since=lease_clock() - LEASE)
    assert not held.extend(lease_clock())
    assert held.reason == held.reason == "the lease could not be renewed in time"
    assert held.wait(60)  # it isn't waited for a minute
    held.lose("somebody else has the item")
    assert held.reason == "somebody else has the item"
    held.close()


def test_a_claim_that_took_long_is_renewed_at_once() -> None:
    table, watched = Table(), list[float]()
    with kept(table, "item", watched, since=lease_clock() - LEASE / 2) as held:
        wait_until(lambda: len(watched) == 2, "it was renewed")
        assert not held
        assert held.seconds_left > LEASE / 2


def test_renewing_survives_any_error(caplog: pytest.LogCaptureFixture) -> None:
    """Also one that is a bug: otherwise the tasks would be stopped at the deadline."""
    table, watched = Table(), list[float]()
    table.fails, table.error = 2, KeyError("Attributes")
    with kept(table, "item", watched) as held:
        wait_until(lambda: len(watched) == 2, "a renewal has succeeded")
        assert not held
    assert caplog.text.count("lease not renewed: 'Attributes'\nTraceback ") == 2


def test_results_are_written_with_a_renewal_that_is_due() -> None:
    table, watched = Table(), list[float]()
    with kept(table, "item", watched) as held:
        held.progress.add("Task_0", well())
        held.progress.add("Task_1", well())
        wait_until(lambda: len(table.written) == 1, "the lease is renewed")
        assert lease_clock() >= held.deadline - LEASE * 0.7 - 1
        wait_until(lambda: len(table.written) == 2, "it is renewed again")
    assert table.written == [["Task_0", "Task_1"], []]


def test_results_that_have_earned_a_write_are_written_early() -> None:
    table, watched = Table(), list[float]()
    began = lease_clock()
    with kept(table, "item", watched) as held:
        held.progress.add("Task_0", well())
        for _ in range(10):  # as if ten tasks had ended: 15 units for a write of 10
            held.progress.add("Task_0", well())
        wait_until(lambda: len(table.written) == 1, "they are written")
        assert lease_clock() - began < LEASE / 3
        assert held.deadline > began + LEASE * 0.7  # that was a renewal too
    assert table.written == [["Task_0"]]


def test_what_a_write_took_is_no_longer_there_for_the_next() -> None:
    progress = Progress()
    for number in range(10):
        progress.add(f"Task_{number}", well())
    assert progress.has_unwritten
    assert progress.has_earned(15)
    assert not progress.has_earned(16)
    progress.wrote(progress.so_far(), 12)
    assert not progress.has_unwritten
    assert not progress.has_earned(4)
    progress.add("Task_10", well())
    assert progress.has_unwritten
    assert progress.has_earned(4)
