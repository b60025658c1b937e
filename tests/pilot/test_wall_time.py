"""How long a pilot works, and how long its tasks may."""

from __future__ import annotations

import signal

from pyanamo.model import Ending, ItemState, TaskStatus
from tests.support.pilots import endings
from tests.support.place import Place
from tests.support.processes import is_alive

TODO, LOCKED, DONE, FAILED = (
    ItemState.TODO,
    ItemState.LOCKED,
    ItemState.DONE,
    ItemState.FAILED,
)


def test_nothing_is_started_once_the_wall_time_is_used_up(local: Place) -> None:
    """What runs goes on to its end."""
    local.script("once.sh", "echo $id >> ran; sleep 2.5")
    local.fill({"one": "./once.sh", "two": "./once.sh", "three": ["./once.sh"]})

    ended = local.run("-w", "2")

    assert ended.code == 0
    assert ended.counts["done"] == 1
    assert 2.5 < ended.seconds < 10
    assert len(local.lines("ran")) == 1
    waiting = [item for item in local.items().values() if item.state is TODO]
    assert [(item.attempts, item.history) for item in waiting] == [(0, ())] * 2


def test_a_task_that_will_not_fit_is_not_started(local: Place) -> None:
    """By the mean of those before, it would take longer than what is left."""
    local.script("once.sh", "echo $id >> ran; sleep 2")
    local.fill({"one": "./once.sh", "two": "./once.sh"})

    ended = local.run("-w", "3.5")

    assert ended.counts == {"done": 1, "failed": 0, "released": 0, "lost": 0}
    assert len(local.lines("ran")) == 1


def test_a_nested_item_that_does_not_fit_is_given_back_with_what_it_has(local: Place) -> None:
    local.script("step.sh", "echo $1 >> ran; test -e quick || sleep 2.5")
    local.fill({"nested": [f"./step.sh {n}" for n in range(4)]})

    first = local.run("-w", "4.5", "-n", "2")

    assert first.code == 0
    assert first.counts["released"] == 1
    item = local.item("nested")
    assert (item.state, item.attempts, item.token) == (TODO, 0, "")
    assert [task.status.value for task in item.tasks] == ["done", "done", "todo", "todo"]
    assert [(past.ending, past.reason) for past in item.history] == [
        (Ending.INTERRUPTED, "the wall time is used up")
    ]
    local.touch("quick")
    assert local.run().counts["done"] == 1
    assert local.lines("ran") == ["0", "1", "2", "3"]
    item = local.item("nested")
    assert (item.state, item.attempts, item.exit_code) == (DONE, 1, 0)
    assert endings(item) == [Ending.INTERRUPTED, Ending.DONE]
    assert len(item.results) == 4


def test_kill_after(local: Place) -> None:
    """Running tasks are stopped then. The attempt counts only if no task of it has ended."""
    local.fill({"single": "bash -c 'sleep 300 & sleep 300'", "nested": ["true", "sleep 300"]})

    ended = local.run("-i", "2", "-w", "3", "--kill-after", "1")

    assert ended.code == 0
    assert ended.counts["released"] == 2
    assert 4 <= ended.seconds < 12
    assert {name: item.attempts for name, item in local.items().items()} == {
        "single": 1,
        "nested": 0,
    }
    for item in local.items().values():
        assert item.state is TODO
        assert [past.reason for past in item.history] == ["the wall time is used up"]
    assert local.item("nested").tasks[0].status is TaskStatus.DONE


def test_task_timeout(local: Place) -> None:
    """The whole group is ended, and who hid from it too."""
    group = "bash -c 'sleep 300 & setsid sleep 300 & sleep 300'"
    local.fill({"single": group, "nested": ["echo quick", group]})

    pilot = local.start("-i", "2", "--task-timeout", "1", "--idle", "60")
    local.wait_for_state("single", FAILED)
    local.wait_for_state("nested", FAILED)

    assert local.task("single") == local.task("nested", "Task_1") == []
    assert pilot.is_running
    pilot.signal(signal.SIGTERM)
    assert pilot.wait().counts["failed"] == 2
    for item in local.items().values():
        assert (item.state, item.exit_code, item.reason) == (FAILED, 124, "timed out after 1 s")
    assert local.result("single").run_seconds >= 1
    quick, late = (local.result("nested", name) for name in ("Task_0", "Task_1"))
    assert (quick.status, quick.stdout) == (TaskStatus.DONE, "quick\n")
    assert (late.exit_code, late.reason) == (124, "timed out after 1 s")


def test_what_a_task_leaves_in_its_group_ends_with_it(local: Place) -> None:
    local.fill({"item": "bash -c 'sleep 300 & echo $! > child'", "next": "true"})
    pilot = local.start()
    local.wait_for_state("item", DONE)
    assert not is_alive(int(local.lines("child")[0]))
    assert pilot.wait().counts["done"] == 2


def test_what_hides_from_its_group_holds_nobody_up(local: Place) -> None:
    """Though it writes to the task's output without end. It is gone with the pilot."""
    local.script("hide.sh", "setsid --fork cat /dev/zero; setsid --fork sleep 300; echo done")
    local.fill({"item": "./hide.sh", "nested": ["./hide.sh", "true"]})
    ended = local.run()
    assert ended.counts["done"] == 2
    assert ended.seconds < 10
    assert not local.processes()


def test_max_items(local: Place) -> None:
    local.fill({f"item{n}": "true" for n in range(10)})
    ended = local.run("-i", "3", "--max-items", "4")
    assert (ended.code, ended.counts["done"]) == (0, 4)
    assert [item.state for item in local.items().values()].count(TODO) == 6
    assert local.run("-i", "3", "--max-items", "1").counts["done"] == 1


def test_idle_picks_up_what_is_imported_later(place: Place) -> None:
    place.fill({"first": "true"})
    pilot = place.start("--idle", "60")
    place.wait_for_state("first", DONE)
    assert place.run().counts["done"] == 0  # as long as this one, the other has found nothing too

    place.fill({"later": "true"})
    place.wait_for_state("later", DONE)

    pilot.signal(signal.SIGTERM)
    assert pilot.wait(5).code == 143


def test_idle_ends(local: Place) -> None:
    local.fill({})
    ended = local.run("--idle", "2")
    assert ended.code == 0
    assert 2 <= ended.seconds < 10
