"""Signals that come from somebody else than the pilot, and those that tasks start with."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from itertools import chain

import pytest

from pyanamo.model import Ending, ItemState
from tests.support.pilots import endings
from tests.support.place import Place
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED


def test_a_task_starts_with_the_signals_of_a_shells_command(local: Place) -> None:
    """Nothing is ignored or blocked that isn't for a command of a shell."""
    command = "grep Sig[IBC] /proc/self/status"
    local.fill({"single": command, "nested": [command] * 2})
    assert local.run("-n", "2").counts["done"] == 2
    expected = subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout
    assert "SigIgn" in expected
    assert local.result("single").stdout == expected
    assert local.result("nested", "Task_1").stdout == expected


def test_a_task_can_be_interrupted(local: Place) -> None:
    trap = "trap 'echo interrupted; exit 5' INT; kill -INT $$; echo still here"
    local.script("trap.sh", trap)
    local.fill({"item": "./trap.sh"})
    local.run()
    assert local.result("item").stdout == "interrupted\n"
    assert local.item("item").exit_code == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_all_processes_at_once(local: Place, number: signal.Signals) -> None:
    """As systemd, Slurm or a machine that shuts down send it: nothing has failed for it."""
    script = "touch ready.$PYANAMO_ITEM_ID.$PYANAMO_TASK; wait_for go"
    local.script("wait.sh", script)
    names = [f"item{number}" for number in range(4)]
    local.fill({**dict.fromkeys(names, "./wait.sh"), "nested": ["./wait.sh"] * 3})
    pilot = local.start("-i", "5", "-n", "3")
    local.wait_for(*(f"ready.{name}.Task_0" for name in names))
    local.wait_for(*(f"ready.nested.Task_{task}" for task in range(3)))
    tasks = [local.processes(f"PYANAMO_ITEM_ID={name}") for name in (*names, "nested")]
    for pid in (*chain.from_iterable(tasks), *pilot.workers, pilot.pid):
        with suppress(ProcessLookupError):  # a task's scripts sleep for moments
            os.kill(pid, number)
    ended = pilot.wait(20)
    assert ended.code == 128 + number
    assert ended.counts == {"done": 0, "failed": 0, "released": 5, "lost": 0}
    for item in local.items().values():
        assert (item.state, item.attempts) == (TODO, 0)
        assert endings(item) == [Ending.INTERRUPTED]


def test_a_task_that_ends_its_worker_is_lost_and_counts(local: Place) -> None:
    """Not a stop: the pilot has not ordered it."""
    local.script("murder.sh", "echo $id >> ran; kill -TERM $PPID; sleep 60")
    local.fill({"item": "./murder.sh"})
    ended = local.run()
    assert ended.counts == {"done": 0, "failed": 1, "released": 0, "lost": 3}
    item = local.item("item")
    assert (item.state, item.attempts, len(local.lines("ran"))) == (FAILED, 3, 3)
    died = "the worker died while running it (killed by signal 15)"
    assert item.reason == f"lost 3 times: {died}"


def test_a_hangup_is_a_stop(local: Place) -> None:
    """The terminal or the ssh connection goes away."""
    local.script("wait.sh", "touch ready; wait_for go")
    local.fill({"item": "./wait.sh"})
    pilot = local.start()
    local.wait_for("ready")
    pilot.signal_all(signal.SIGHUP)
    assert pilot.wait(20).code == 129
    assert (local.item("item").state, local.item("item").attempts) == (TODO, 0)
    assert local.item("item").history[0].reason == "stopped by SIGHUP"


def test_a_hangup_that_was_ignored_at_the_start_stays_so(local: Place) -> None:
    local.script("wait.sh", "touch ready; wait_for go")
    local.fill({"item": "./wait.sh"})
    pilot = local.start(prefix=["nohup"])
    local.wait_for("ready")
    for _ in range(3):
        pilot.signal_all(signal.SIGHUP)
    local.touch("go")
    assert pilot.wait().counts["done"] == 1


def test_an_item_that_never_fits_the_wall_time_fails_in_the_end(local: Place) -> None:
    """At --max-attempts, instead of costing everybody's time for ever."""
    local.fill({"item": "sleep 60"})
    flags = ("-w", "1", "--kill-after", "0", "--max-attempts", "2")
    assert local.run(*flags).counts["released"] == 1
    assert (local.item("item").state, local.item("item").attempts) == (TODO, 1)
    assert local.run(*flags).counts["failed"] == 1
    item = local.item("item")
    assert (item.state, item.attempts) == (FAILED, 2)
    assert item.reason == "did not end within the wall time (2 attempts, --max-attempts)"


def test_a_nested_item_that_gets_on_may_take_many_wall_times(local: Place) -> None:
    local.script("slow.sh", "echo $id >> ran; sleep 60")
    local.fill({"item": ["true", "./slow.sh"]})
    flags = ("-w", "1", "--kill-after", "0", "--max-attempts", "1")
    assert local.run(*flags).counts["released"] == 1  # the first task has ended
    assert local.item("item").attempts == 0
    wait_until(lambda: local.lines("ran"), "the second task was started")
    assert local.run(*flags).counts["failed"] == 1
    assert [task.status.value for task in local.item("item").tasks] == ["done", "todo"]
