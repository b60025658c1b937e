"""What becomes of an item whose worker dies, and of the pilot."""

from __future__ import annotations

import os
import signal
import time

from pyanamo.model import Ending, ItemState
from tests.support.hasty import LEASE
from tests.support.pilots import endings
from tests.support.place import Place
from tests.support.processes import is_alive
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)

HANG_ONCE = """
echo $id $PYANAMO_ATTEMPT >> ran
mkdir hung 2>&- || exit 0
sleep 300 &
setsid sleep 300 &
echo $PYANAMO_ITEM_ID > hung/item
touch ready
sleep 300
"""


def test_a_worker_that_is_killed_is_replaced_and_its_item_run_again(place: Place) -> None:
    """At once, though its lease would have lasted for 15 minutes."""
    place.script("hang-once.sh", HANG_ONCE)
    place.fill({"one": "./hang-once.sh", "two": "./hang-once.sh"})

    pilot = place.start()
    place.wait_for("ready")
    (hung,) = place.lines("hung/item")
    (other,) = {"one", "two"} - {hung}
    worker = place.worker_of(hung)
    tasks = wait_until(lambda: len(found := place.task(hung)) == 4 and found, "all of it runs")
    os.kill(worker, signal.SIGKILL)
    pilot.wait_for_log(f"(pid {worker}) was killed by signal 9: starting another one")
    assert not any(is_alive(pid) for pid in tasks)
    ended = pilot.wait()

    assert ended.code == 0
    assert ended.counts == {"done": 2, "failed": 0, "released": 0, "lost": 1}
    assert f"itemID={hung} TaskID={hung}-group lost: {DIED}" in ended.stderr
    item = place.item(hung)
    assert (item.state, item.attempts, item.reason) == (DONE, 2, "")
    assert endings(item) == [Ending.LOST, Ending.DONE]
    assert (item.history[0].reason, item.history[0].times_lost) == (DIED, 1)
    assert endings(place.item(other)) == [Ending.DONE]
    assert place.lines("ran") == sorted(
        [f"{hung}.Task_0 1", f"{hung}.Task_0 2", f"{other}.Task_0 1"]
    )


DIED = "the worker died while running it (killed by signal 9)"
MURDER = "echo $id >> ran; kill -KILL $PPID; sleep 300"  # of its worker


def test_what_a_nested_item_has_done_stays_done_when_its_worker_dies(place: Place) -> None:
    """Also what isn't in the table yet: that would be after 5 minutes here."""
    place.script("murder-once.sh", f"mkdir once || exit 0; wait_for ended; {MURDER}")
    place.fill({"nested": ["./note.sh", "./murder-once.sh"]})
    place.script("note.sh", "echo $id >> ran")
    pilot = place.start("-n", "2", "-v", "--lease", "15m")
    pilot.wait_for_log("done in")
    place.touch("ended")
    ended = pilot.wait()
    assert ended.counts == {"done": 1, "failed": 0, "released": 0, "lost": 1}
    assert place.lines("ran") == ["nested.Task_0", "nested.Task_1"]
    item = place.item("nested")
    assert (item.state, item.nested_done, item.attempts) == (DONE, 2, 2)
    assert [past.reason for past in item.history] == [DIED, ""]


def test_an_item_that_kills_its_workers_fails_and_others_go_on(place: Place) -> None:
    place.script("murder.sh", MURDER)
    place.fill({"murder": "./murder.sh", "good": "true"})
    ended = place.run("--max-attempts", "3", "--fail-on-item-failure")
    assert ended.code == 3
    assert ended.counts == {"done": 1, "failed": 1, "released": 0, "lost": 3}
    assert "now failed" in ended.stderr
    item = place.item("murder")
    assert (item.state, item.reason) == (FAILED, f"lost 3 times: {DIED}")
    assert [past.reason for past in item.history] == [DIED] * 3
    assert place.lines("ran") == ["murder.Task_0"] * 3


def test_a_frozen_worker_is_not_dead(local: Place) -> None:
    """Its item stays its own, whatever becomes of another worker."""
    local.script("wait.sh", "touch ready.$PYANAMO_ITEM_ID; wait_for go")
    local.fill({"frozen": "./wait.sh", "killed": "./wait.sh"})
    pilot = local.start("-i", "2")
    local.wait_for("ready.frozen", "ready.killed")
    frozen, token = local.worker_of("frozen"), local.item("frozen").token
    os.kill(frozen, signal.SIGSTOP)
    os.kill(local.worker_of("killed"), signal.SIGKILL)
    wait_until(lambda: local.item("killed").attempts == 2, "the other item is run again")
    assert (local.item("frozen").state, local.item("frozen").token) == (LOCKED, token)
    local.touch("go")
    os.kill(frozen, signal.SIGCONT)
    assert pilot.wait().counts == {"done": 2, "failed": 0, "released": 0, "lost": 1}
    assert (local.item("frozen").attempts, local.item("killed").attempts) == (1, 2)


def test_a_worker_that_dies_while_its_pilot_stops_leaves_no_lock(local: Place) -> None:
    local.script(
        "murder.sh", "trap 'kill -KILL $PPID' TERM; touch ready; while :; do sleep 1; done"
    )
    local.fill({"item": "./murder.sh"})
    pilot = local.start()
    local.wait_for("ready")
    signalled = time.monotonic()
    pilot.signal(signal.SIGTERM)
    ended = pilot.wait()
    assert time.monotonic() - signalled < 20
    assert (ended.code, ended.counts["lost"]) == (143, 1)
    item = local.item("item")
    assert (item.state, item.token, item.reason) == (TODO, "", DIED)
    assert (endings(item), item.attempts) == ([Ending.LOST], 1)


def test_an_item_lost_too_often_is_failed(local: Place) -> None:
    """By two workers that are never heard of again."""
    local.fill({"item": "true"})
    for _ in range(2):
        wait_until(lambda: local.table.claim("lost", lease=1, max_attempts=9), "a claim")

    ended = local.run("--max-attempts", "2", "--idle", "4")

    assert ended.code == 0
    assert ended.counts["done"] == 0
    item = local.item("item")
    assert (item.state, item.reason) == (FAILED, "lost 2 times: the pilot died while running it")
    assert endings(item) == [Ending.LOST, Ending.LOST]


def test_workers_that_keep_dying_end_the_pilot(local: Place) -> None:
    local.script("murder.sh", "kill -KILL $PPID; sleep 300")
    local.fill({f"item{n}": "./murder.sh" for n in range(9)})
    ended = local.run("--lease", "10s")
    assert ended.code == 1
    (line,) = ended.error_lines
    assert "5 workers in a row died" in line
    assert "signal 9" in line
    items = local.items().values()
    assert LOCKED not in {item.state for item in items}  # nor what the last one had
    assert sum(item.times_lost for item in items) == ended.counts["lost"] == 5


def test_an_item_keeps_its_lease_however_long_it_runs(local: Place) -> None:
    """Another pilot finds nothing to take, though the item runs longer than a lease."""
    local.script("long.sh", "echo $id >> ran; wait_for go")
    local.fill({"item": "./long.sh"})
    lease = ["--lease", f"{LEASE}s"]
    pilot = local.start(*lease, hasty=True)
    wait_until(lambda: local.lines("ran"), "the task runs")

    other = local.run(*lease, "--idle", f"{LEASE + 2}s", hasty=True)

    local.touch("go")
    assert (other.code, other.counts["done"]) == (0, 0)
    assert pilot.wait().counts["done"] == 1
    assert len(local.lines("ran")) == 1


def test_a_guardian_that_is_killed_is_replaced(local: Place) -> None:
    """So that nothing is left of a pilot that is killed outright later."""
    local.fill({"item": "bash -c 'touch ready; sleep 300'"})
    pilot = local.start()
    local.wait_for("ready")

    def guardians() -> list[int]:
        return [
            child.pid
            for child in pilot.children
            if child.group != pilot.pid and not child.is_zombie
        ]

    (guardian,) = guardians()
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: set(guardians()) - {guardian}, "another guardian")
    pilot.signal_all(signal.SIGKILL)
    pilot.wait()
    local.wait_for_no_process()
