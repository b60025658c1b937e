"""What a worker notes of its claim, for its pilot to read when it is dead."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from pyanamo.model import Attempt, Claim, Ending, Outcome
from pyanamo.pilot.runner import Runner
from pyanamo.pilot.shared import ClaimNotes, Quota, SharedNumbers
from pyanamo.pilot.walltime import WallTime
from pyanamo.pilot.worker import Worker
from pyanamo.signals import Halt
from pyanamo.tables import WorkflowTable
from pyanamo.tables.size import MAX_KEY_BYTES, MAX_REASON_BYTES
from tests.support.makers import done, nested

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


def in_a_process_that_dies(act: Callable[[], object]) -> None:
    if (pid := os.fork()) == 0:
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize("item_id", NAMES, ids=lambda name: repr(name[:8]))
@pytest.mark.parametrize("attempts", [1, 11])
def test_what_a_dead_worker_has_noted(item_id: str, attempts: int) -> None:
    """All that its claim's end needs; and it is told once, of that worker alone."""
    notes, claim = ClaimNotes(3), claim_of(item_id, attempts)
    other = claim_of("other")
    in_a_process_that_dies(lambda: notes.write(2, other))
    in_a_process_that_dies(lambda: notes.write(1, claim))
    noted = notes.take(1)
    assert noted is not None
    assert noted.token == claim.token
    for name in ("item_id", "task_id", "attempts", "instance", "lock_date", "token", "history"):
        assert getattr(noted.item, name) == getattr(claim.item, name)
    assert notes.take(1) is None
    assert notes.take(0) is None
    assert (noted := notes.take(2)) is not None
    assert noted.item.item_id == "other"


def test_what_is_wiped_is_gone() -> None:
    notes = ClaimNotes(1)

    def work() -> None:
        notes.write(0, claim_of("a"))
        notes.wipe(0)

    in_a_process_that_dies(work)
    assert notes.take(0) is None


def test_a_longer_note_leaves_nothing_in_a_shorter_one() -> None:
    notes = ClaimNotes(1)
    for item_id in ("long" * 100, "short"):
        notes.write(0, claim_of(item_id))
    noted = notes.take(0)
    assert noted is not None
    assert noted.item.item_id == "short"


def test_a_worker_that_dies_while_it_notes_has_noted_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All but the length is written: it is what makes a note of it."""
    notes = ClaimNotes(1)

    def work() -> None:
        notes.write(0, claim_of("before"))
        set_length = notes._set_length

        def die_before(worker: int, length: int) -> None:
            if length:
                os.kill(os.getpid(), signal.SIGKILL)
            set_length(worker, length)

        monkeypatch.setattr(notes, "_set_length", die_before)
        notes.write(0, claim_of("torn" * 100))

    in_a_process_that_dies(work)
    assert notes.take(0) is None


def worker_of(claim: Claim, notes: ClaimNotes, execute: Callable[..., Outcome]) -> Worker:
    """A worker that gets that claim, and runs it so."""
    claims = iter([claim])
    table = SimpleNamespace(
        name="Step",
        settle_seconds=0.0,
        claim=lambda *_, **__: next(claims, None),
        finish=lambda *_: True,
    )
    walltime = WallTime(None, None, lambda: None, started=0.0)
    return Worker(
        number=0,
        pilot="host:1",
        table=cast(WorkflowTable, table),
        runner=cast(Runner, SimpleNamespace(execute=execute, walltime=walltime)),
        stop=Halt(),
        shared=SharedNumbers(1),
        notes=notes,
        lost=None,
        quota=Quota(None),
        report=lambda _: None,
        lease=900.0,
        retries=0,
        max_attempts=3,
        idle=0.0,
    )


def test_a_note_is_there_while_a_worker_runs_its_item() -> None:
    notes = ClaimNotes(1)
    seen: list[Claim | None] = []

    def execute(*_: object) -> Outcome:
        seen.append(notes.take(0))
        return done()

    worker_of(claim_of("a"), notes, execute).work()
    assert [claim.item.item_id for claim in seen if claim] == ["a"]


def test_a_worker_that_has_ended_its_claim_has_noted_nothing() -> None:
    notes = ClaimNotes(1)
    worker_of(claim_of("a"), notes, lambda *_: done()).work()
    assert notes.take(0) is None


def test_a_worker_that_ends_by_a_bug_leaves_its_note() -> None:
    notes = ClaimNotes(1)

    def execute(*_: object) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        worker_of(claim_of("a"), notes, execute).work()
    assert (noted := notes.take(0)) is not None
    assert noted.item.item_id == "a"


def test_what_is_too_long_is_not_noted() -> None:
    notes = ClaimNotes(2)
    notes.write(0, claim_of("x" * 40_000))
    assert notes.take(0) is None
    assert notes.take(1) is None
