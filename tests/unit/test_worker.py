"""What a worker tells its pilot, and in which order."""

import multiprocessing
import pickle
import signal
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from pyanamo.model import Attempt, Claim, Ending, Outcome
from pyanamo.pilot.runner import Runner
from pyanamo.pilot.shared import Quota, SharedNumbers
from pyanamo.pilot.walltime import WallTime
from pyanamo.pilot.worker import ItemClaimed, ItemEnded, Message, NothingLeft, Worker
from pyanamo.pilot.worker_process import WorkerProcess
from pyanamo.signals import Halt
from pyanamo.tables import WorkflowTable, transitions
from pyanamo.tables.size import MAX_KEY_BYTES, MAX_REASON_BYTES
from tests.support.makers import done, failed, nested
from tests.support.waiting import wait_until

NOW = 1_800_000_000.0
NAMES = ["a", " ", "Größe-試料-🧬", "é" * (MAX_KEY_BYTES // 2), "\1" * MAX_KEY_BYTES]


def claim_of(item_id: str, attempts: int = 1) -> Claim:
    """A claim of an item that has as long a history as there may be."""
    past = Attempt(
        attempt=1,
        instance="i" * 100,
        lock_date="2027-01-15T08:00:00Z",
        end_date="2027-01-15T08:00:10Z",
        ending=Ending.LOST,
        reason="\1" * MAX_REASON_BYTES,
        token="0123456789abcdef",
        times_lost=attempts - 1,
    )
    item = replace(
        nested(item_id, 2),
        attempts=attempts,
        instance="host:1",
        lock_date="2027-01-15T08:01:00Z",
        token="fedcba9876543210",
        history=(past,) * (attempts - 1),
    )
    return Claim(item=item, token=item.token)


class Pilot:
    """What a worker talks to; messages come as they come through a pipe."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.waited_for: list[Message] = []

    def __call__(self, *messages: Message, later: bool = False, and_wait: bool = False) -> None:
        arrived = pickle.loads(pickle.dumps(messages))
        (self.waited_for if and_wait else self.heard).extend(arrived)


def worker_of(claim: Claim, pilot: Pilot, execute: Callable[..., Outcome]) -> Worker:
    """A worker that gets that claim, and runs it so."""
    claims = iter([claim])
    table = SimpleNamespace(
        name="Step",
        settle_seconds=0.0,
        locked=None,
        claim=lambda *_, **__: next(claims, None),
        finish=lambda *_: True,
        close=lambda: None,
    )
    walltime = WallTime(None, None, lambda: None, started=0.0)
    return Worker(
        number=0,
        pilot="host:1",
        table=cast(WorkflowTable, table),
        runner=cast(Runner, SimpleNamespace(execute=execute, walltime=walltime)),
        stop=Halt(),
        shared=SharedNumbers(1),
        lost=None,
        quota=Quota(None),
        report=pilot,
        lease=900.0,
        retries=0,
        max_attempts=3,
        idle=0.0,
    )


@pytest.mark.parametrize("item_id", NAMES, ids=lambda name: repr(name[:8]))
@pytest.mark.parametrize("attempts", [1, 11])
def test_a_claim_is_told_before_its_item_runs(item_id: str, attempts: int) -> None:
    """With all that its end needs, should the worker die."""
    pilot, claim = Pilot(), claim_of(item_id, attempts)

    def execute(*_: object) -> Outcome:
        (message,) = pilot.heard
        assert isinstance(message, ItemClaimed)
        told = message.claim
        assert (told.token, told.item.item_id) == (claim.token, claim.item.item_id)
        for limit in (1, 30):
            changes = transitions.lost(told.item, "why", limit, NOW)
            assert changes == transitions.lost(claim.item, "why", limit, NOW)
        return done()

    worker_of(claim, pilot, execute).work()
    _, ended, left = pilot.heard
    assert isinstance(ended, ItemEnded)
    assert (ended.ending, ended.put_back) == (Ending.DONE, False)
    assert left == NothingLeft(None)


def test_a_worker_waits_until_its_pilot_has_counted_a_failure() -> None:
    """It may be the one after which nothing more is to be claimed."""
    pilot = Pilot()
    worker_of(claim_of("a"), pilot, lambda *_: failed()).work()
    assert [type(message) for message in pilot.heard] == [ItemClaimed, NothingLeft]
    (ended,) = pilot.waited_for
    assert isinstance(ended, ItemEnded)
    assert (ended.ending, ended.reason) == (Ending.FAILED, "exit code 3")


def test_a_worker_that_ends_by_a_bug_leaves_its_claim_to_its_pilot() -> None:
    pilot = Pilot()

    def execute(*_: object) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        worker_of(claim_of("a"), pilot, execute).work()
    assert [type(message) for message in pilot.heard] == [ItemClaimed]


def test_a_worker_that_has_ended_gets_no_signal() -> None:
    """Its number may be another process's, as `multiprocessing` reaps it when it likes."""

    def make_worker(*_: object) -> Worker:
        return worker_of(claim_of("a"), Pilot(), lambda *_: done())

    process = WorkerProcess(0, make_worker, SharedNumbers(1))

    def is_reaped() -> bool:
        return process.pid not in [child.pid for child in multiprocessing.active_children()]

    wait_until(is_reaped, "the worker's end")
    process.signal(signal.SIGKILL)
    assert process.join() == 0
