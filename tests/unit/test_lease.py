"""Keeping claims alive, one after another, with one thread."""

import threading
import time
from contextlib import closing
from typing import Any, cast

from pyanamo.errors import StoreUnavailable
from pyanamo.model import Claim, Item, Task
from pyanamo.pilot.lease import LeaseKeeper, lease_clock
from tests.support.waiting import wait_until

LEASE = 6.0  # seconds: a renewal every 2, lost after 4.2


class Table:
    """A table of which only renewals are asked."""

    def __init__(self) -> None:
        self.renewed: list[str] = []
        self.hangs_for = ""  # the item whose renewal gets no answer
        self.answer = threading.Event()
        self.fails = 0  # so many times

    def renew(self, claim: Claim, *, lease: float) -> bool:
        self.renewed.append(claim.item.item_id)
        if claim.item.item_id == self.hangs_for:
            self.answer.wait(30)
        if self.fails:
            self.fails -= 1
            raise StoreUnavailable("it doesn't answer")
        return True


def claim_of(name: str) -> Claim:
    task = Task(name="Task_0", script="true")
    return Claim(item=Item(item_id=name, task_id="t", tasks=(task,), nested=False), token=name)


def keeper_of(table: Table, watched: list[float]) -> LeaseKeeper:
    return LeaseKeeper(cast(Any, table), LEASE, watched.append)


def test_a_claim_that_ends_in_time_is_not_renewed() -> None:
    table, watched = Table(), list[float]()
    threads = threading.active_count()
    with closing(keeper_of(table, watched)) as keeper:
        for number in range(100):
            with keeper.keep(claim_of(f"{number}"), lease_clock()) as held:
                assert not held
        assert threading.active_count() == threads + 1
    assert table.renewed == []
    assert len(watched) == 200


def test_a_renewal_that_fails_is_tried_again_before_the_lease_is_over() -> None:
    table, watched = Table(), list[float]()
    table.fails = 2
    keeper = keeper_of(table, watched)
    with closing(keeper), keeper.keep(claim_of("item"), lease_clock()) as held:
        wait_until(lambda: len(watched) == 2, "a renewal has succeeded")
        assert not held
        assert watched[1] > watched[0]
    assert table.renewed == ["item"] * 3


def test_a_renewal_that_hangs_holds_up_neither_its_end_nor_the_next_claim() -> None:
    table, watched = Table(), list[float]()
    table.hangs_for = "first"
    threads = threading.active_count()
    with closing(keeper_of(table, watched)) as keeper:
        with keeper.keep(claim_of("first"), lease_clock()):
            wait_until(lambda: table.renewed == ["first"], "it is being renewed")
            ends_at = time.monotonic()
        assert time.monotonic() - ends_at < 1
        with keeper.keep(claim_of("second"), lease_clock()) as held:
            deadline = watched[-1]
            wait_until(lambda: len(watched) == 4, "the next one is renewed meanwhile")
            assert watched[-1] >= deadline + LEASE / 3 - 0.1
            table.answer.set()
            wait_until(lambda: threading.active_count() == threads + 1, "the answer has come")
            assert len(watched) == 4  # too late to count for anything
            assert not held
    assert watched[-1] == 0
