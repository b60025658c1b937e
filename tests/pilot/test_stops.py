"""Signals, deaths and freezes: nothing goes on running, nothing is lost or run twice."""

from __future__ import annotations

import os
import signal
import time

import pytest

from pyanamo.model import Ending, ItemState, TaskStatus
from tests.support.hanging import DELAYS, PLAIN, STUBBORN, TIDY, assert_given_back, hanging
from tests.support.hasty import LEASE, STOP
from tests.support.pilots import endings
from tests.support.place import Place
from tests.support.processes import is_alive
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED


# --- Being told to stop -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "number", "code", "hasty"),
    [
        ("local", signal.SIGTERM, 143, False),
        ("local", signal.SIGINT, 130, True),
        ("remote", signal.SIGTERM, 143, True),
    ],
    indirect=["place"],
)
def test_a_signal_stops_everything_and_gives_the_items_back(
    place: Place, number: signal.Signals, code: int, hasty: bool
) -> None:
    """Whatever the tasks do; and what a nested item's tasks have just done is recorded."""
    ready = hanging(place, **STUBBORN)
    place.script("first.sh", "echo first; touch ready.$id; wait_for go")
    place.script("plain.sh", PLAIN)
    place.fill({"nested": ["./first.sh", "./plain.sh", "./plain.sh"]})

    pilot = place.start("-i", "7", "-n", "2", hasty=hasty)
    place.wait_for(*ready, "ready.nested.Task_0", "ready.nested.Task_1")
    place.touch("go")
    wait_until(lambda: not place.task("nested", "Task_0"), "the first task has ended")
    signalled = time.monotonic()
    pilot.signal(number)
    ended = pilot.wait(20)

    assert time.monotonic() - signalled < (STOP + 2 if hasty else 20)
    assert ended.code == code
    assert place.processes() == []
    assert ended.counts == {"done": 0, "failed": 0, "released": 7, "lost": 0}
    assert_given_back(place, *STUBBORN, "nested", reason=f"stopped by {number.name}")
    nested = place.item("nested")
    assert [task.status for task in nested.tasks] == [TaskStatus.DONE] + [TaskStatus.TODO] * 2
    assert nested.results["Task_0"].stdout == "first\n"


def test_a_stop_in_aws_batch_takes_less_than_10_seconds(local: Place) -> None:
    """A machine that is shut down without notice leaves a container no more."""
    local.environment["AWS_BATCH_JOB_ID"] = "0a1b2c3d-1111-2222-3333-444455556666"
    local.script("stubborn.sh", "trap '' TERM; touch ready; wait_for never")
    local.fill({"item": "./stubborn.sh"})
    pilot = local.start()
    local.wait_for("ready")
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait(20)
    assert 5 <= time.monotonic() - signalled < 10
    assert ended.code == 143
    assert_given_back(local, "item", reason="stopped by SIGTERM")


def test_a_stop_takes_no_longer_than_the_tasks_need(local: Place) -> None:
    ready = hanging(local, plain=PLAIN, tidy=TIDY)
    pilot = local.start("-i", "2")
    local.wait_for(*ready)
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    assert pilot.wait().code == 143
    assert time.monotonic() - signalled < 5
    assert local.has("tidied")
    assert_given_back(local, "plain", "tidy", reason="stopped by SIGTERM")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_second_signal_stops_at_once(local: Place, number: signal.Signals, code: int) -> None:
    """Nobody waits for tasks that ignore SIGTERM; they are killed all the same."""
    ready = hanging(local, **STUBBORN)
    pilot = local.start("-i", "6")
    local.wait_for(*ready)
    pilot.signal(number)
    pilot.wait_for_log("giving back")
    signalled = time.monotonic()
    pilot.signal(number)

    ended = pilot.wait(10)

    assert time.monotonic() - signalled < 5
    assert ended.code == code
    assert local.processes() == []
    assert_given_back(local, *STUBBORN, reason=f"stopped by {number.name}")


@pytest.mark.parametrize(
    ("place", "number", "codes"),
    [
        ("local", signal.SIGTERM, {143, -signal.SIGTERM}),
        ("local", signal.SIGINT, {130, -signal.SIGINT}),
        ("remote", signal.SIGTERM, {143, -signal.SIGTERM}),
    ],
    indirect=["place"],
)
def test_a_signal_in_the_first_second(
    place: Place, number: signal.Signals, codes: set[int]
) -> None:
    """Later and later, from before the first line of the program to when its tasks run."""
    place.script("plain.sh", PLAIN)
    place.fill({"one": "./plain.sh", "two": ["./plain.sh"]})
    for delay in DELAYS[:: 2 if place.store.local else 5]:  # boto3 takes its time to load
        pilot = place.start("-i", "2", cold=True)
        time.sleep(delay)
        pilot.signal(number)
        ended = pilot.wait(20)
        python_was_there = "Fatal Python error: init_" not in ended.stderr
        assert ended.code in (codes if python_was_there else {1}), f"after {delay} s"
        place.wait_for_no_process()
        items = place.items().values()
        assert all((item.state, item.token, item.attempts) == (TODO, "", 0) for item in items)
        if all(item.history for item in items):
            return
    pytest.fail(f"even {DELAYS[-1]} s after the start no signal came while the items were run")


# --- Being killed outright ----------------------------------------------------------------------


def test_workers_whose_pilot_is_killed_give_their_items_back(place: Place) -> None:
    ready = hanging(place, plain=PLAIN, daemon=STUBBORN["daemon"])
    pilot = place.start("-i", "2")
    place.wait_for(*ready)
    pilot.signal(signal.SIGKILL)
    assert pilot.wait().code == -signal.SIGKILL
    place.wait_for_no_process(20)
    assert_given_back(place, "plain", "daemon", reason="the pilot is gone")


def test_nothing_is_left_of_a_pilot_that_is_killed_with_all_its_workers(local: Place) -> None:
    ready = hanging(local, plain=PLAIN, **STUBBORN)
    pilot = local.start("-i", "7", "--lease", "10s")
    local.wait_for(*ready)

    pilot.signal_all(signal.SIGKILL)

    assert pilot.wait().code == -signal.SIGKILL
    local.wait_for_no_process(5)
    assert {item.state for item in local.items().values()} == {LOCKED}


# --- Being frozen -------------------------------------------------------------------------------

EXCLUSIVE = """
exec 9> lock
flock --nonblock 9 || echo "$PYANAMO_ATTEMPT while another one runs" >> overlaps
echo $PYANAMO_ATTEMPT >> ran
[ $PYANAMO_ATTEMPT = 1 ] && { touch ready; sleep 300 & wait; }
wait_for go
"""


@pytest.mark.parametrize(
    ("place", "frozen"),
    [("local", "worker"), ("remote", "pilot and worker")],
    indirect=["place"],
)
def test_who_is_frozen_for_longer_than_the_lease_loses_the_item(place: Place, frozen: str) -> None:
    """Its task is dead before another pilot runs it, and the item isn't touched afterwards."""
    place.script("exclusive.sh", EXCLUSIVE)
    place.fill({"item": "./exclusive.sh"})
    lease = ["--lease", f"{2 * LEASE}s"]
    pilot = place.start(*lease, "--max-items", "1", hasty=True)
    place.wait_for("ready")
    tasks = place.task("item")
    stopped = [place.worker_of("item")] + ([pilot.pid] if frozen != "worker" else [])
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    expires = place.item("item").lease_expires
    assert expires is not None

    other = place.start(*lease, "--idle", "40", "--max-items", "1", hasty=True)
    wait_until(lambda: not any(map(is_alive, tasks)), "the tasks are dead")
    assert time.time() < expires
    wait_until(lambda: len(place.lines("ran")) == 2, "the other pilot runs it")
    assert time.time() >= expires
    place.touch("go")
    assert other.wait().counts["done"] == 1
    before = place.item("item")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    ended = pilot.wait()

    assert ended.code == 0
    assert ended.counts == {"done": 0, "failed": 0, "released": 0, "lost": 1}
    item = place.item("item")
    assert item == before
    assert (item.state, item.attempts, item.exit_code) == (DONE, 2, 0)
    assert endings(item) == [Ending.LOST, Ending.DONE]
    assert place.lines("ran") == ["1", "2"]
    assert place.lines("overlaps") == []
    assert list(place.folder.glob("pyanamo-unrecorded-*")) == []  # nothing of it is worth keeping
