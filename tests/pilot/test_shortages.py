"""A machine that is short of files or processes: fewer tasks run at a time, and none fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import pytest

from pyanamo.model import Ending, ItemState
from tests.support.limits import allow_processes, with_files, with_processes
from tests.support.pilots import Ended, endings
from tests.support.place import Place
from tests.support.processes import with_environment
from tests.support.waiting import wait_until

TODO, LOCKED, DONE, FAILED = ItemState.TODO, ItemState.LOCKED, ItemState.DONE, ItemState.FAILED


def warnings(ended: Ended, text: str) -> list[str]:
    return [line for line in ended.stderr.splitlines() if " WARNING " in line and text in line]


def test_too_few_files(local: Place) -> None:
    """The limit can't be raised: the pilot says so, and goes on with what there is."""
    local.fill({name: ["sleep 0.1"] * 30 for name in ("one", "two")})
    ended = local.start("-i", "2", "-n", "30", prefix=with_files(110)).wait()
    assert (ended.code, ended.counts["done"]) == (0, 2)
    (line,) = warnings(ended, "open files")
    assert "-i 2 -n 30 needs up to " in line
    assert "ulimit -n is 110: using -i 2 -n " in line
    assert "raise the limit (ulimit -n 368)" in line


@pytest.mark.parametrize("flags", [(), ("-i", "2", "-n", "8")], ids=["1", "16"])
@pytest.mark.parametrize("files", [14, 20, 30])
def test_too_few_files_for_any_task(local: Place, flags: Sequence[str], files: int) -> None:
    """The pilot says at once what limit to set; that nothing could be run is its error."""
    local.fill({"item": ["sleep 0.1"] * 2})
    ended = local.start(*flags, "-w", "4", prefix=with_files(files)).wait(20)
    assert ended.code == 1
    line = ended.stderr.splitlines()[0]
    assert f"open files per process, but ulimit -n is {files}: " in line
    assert "raise the limit (ulimit -n " in line
    assert (local.item("item").state, local.item("item").attempts) == (TODO, 0)


def test_the_least_files_for_a_task_are_enough(local: Place) -> None:
    local.fill({"single": "sleep 0.1", "nested": ["bash -c 'echo out; echo err >&2'"] * 3})
    ended = local.start(prefix=with_files(46)).wait()
    assert (ended.code, ended.counts["done"]) == (0, 2)
    assert warnings(ended, "") == []


def test_a_soft_limit_of_files_is_raised(local: Place) -> None:
    local.fill({"nested": ["sleep 0.2"] * 40})
    prefix = ["bash", "-c", 'ulimit -Sn 64; exec "$@"', "bash"]
    ended = local.start("-n", "40", prefix=prefix).wait()
    assert (ended.code, ended.counts["done"]) == (0, 1)
    assert warnings(ended, "") == []


def test_too_few_processes_for_nested_tasks(local: Place) -> None:
    """Each of them runs once, fewer at a time."""
    command = "bash -c 'echo $PYANAMO_TASK >> ran; exec sleep 0.2'"
    local.fill({"nested": [command] * 40})
    ended = local.start("-n", "40", prefix=with_processes(30)).wait()
    assert (ended.code, ended.counts["done"]) == (0, 1)
    assert local.lines("ran") == sorted(f"Task_{number}" for number in range(40))
    assert len(warnings(ended, "may need")) == 1
    assert len(warnings(ended, "no more processes or threads available (ulimit -u is ")) == 1


def test_too_few_processes_for_workers(local: Place) -> None:
    """Workers that find no room leave theirs to the others; no attempt counts."""
    local.fill({f"item{number}": "sleep 0.2" for number in range(20)})
    ended = local.start("-i", "15", prefix=with_processes(14)).wait()
    assert ended.code == 0
    assert (ended.counts["done"], ended.counts["failed"], ended.counts["lost"]) == (20, 0, 0)
    assert {item.attempts for item in local.items().values()} == {1}
    assert len(warnings(ended, "no more processes or threads available")) == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_wall_time_ends_a_pilot_that_has_no_room(local: Place, count: int) -> None:
    """That nothing could be run is its error."""
    local.fill({f"item{number}": ["sleep 0.1"] * 2 for number in range(3)})
    pilot = local.start("-i", "3", "-n", "6", "-w", "5", prefix=with_processes(count))
    ended = pilot.wait(20)
    assert (ended.code, ended.counts["done"]) == (1, 0)
    assert "no task could be run: no more processes or threads available" in ended.stderr
    assert {(item.state, item.attempts) for item in local.items().values()} == {(TODO, 0)}


def test_a_stop_while_workers_have_no_room(local: Place) -> None:
    """What the others hold is given back."""
    local.fill({f"item{number}": "bash -c '> ready; exec sleep 60'" for number in range(20)})
    pilot = local.start("-i", "15", prefix=with_processes(14))
    local.wait_for("ready")
    pilot.wait_for_log("no more processes or threads available")
    pilot.signal(signal.SIGTERM)
    assert pilot.wait(20).code == 143
    assert {item.state for item in local.items().values()} == {TODO}
    assert {item.attempts for item in local.items().values()} == {0}


def test_a_worker_that_can_not_be_replaced_at_once_is_replaced_later(local: Place) -> None:
    local.script("wait.sh", "touch ready.$PYANAMO_ITEM_ID; wait_for go")
    local.fill(dict.fromkeys(("one", "two"), "./wait.sh"))
    pilot = local.start("-i", "2", prefix=with_processes(60))
    local.wait_for("ready.one", "ready.two")
    worker = local.worker_of("one")
    allow_processes(pilot.pid, 1)
    os.kill(worker, signal.SIGKILL)
    pilot.wait_for_log("no more processes or threads available")
    allow_processes(pilot.pid, 60)
    wait_until(lambda: local.item("one").attempts == 2, "another worker runs it again")
    local.touch("go")
    ended = pilot.wait()
    assert (ended.counts["done"], ended.counts["lost"]) == (2, 1)
    assert endings(local.item("one")) == [Ending.LOST, Ending.DONE]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"true {'x' * 200_000}", "can't be started: true: Argument list too long"),
        ("./none", "command not found: ./none"),
        ("./plain", "not executable: ./plain"),
    ],
    ids=["E2BIG", "ENOENT", "EACCES"],
)
def test_what_a_command_is_itself_to_blame_for_is_its_failure(
    local: Place, command: str, reason: str
) -> None:
    local.touch("plain")
    local.fill({"item": command})
    assert local.run().counts["failed"] == 1
    assert local.item("item").reason == reason


def test_a_guardian_that_is_stopped_holds_nobody_up(local: Place) -> None:
    local.script("wait.sh", "touch ready; wait_for go")
    local.fill({"item": "./wait.sh"})
    pilot = local.start()
    local.wait_for("ready")
    (guardian,) = (child.pid for child in pilot.children if child.group != pilot.pid)
    os.kill(guardian, signal.SIGSTOP)
    local.touch("go")
    ended = pilot.wait(10)
    assert (ended.code, ended.counts["done"]) == (0, 1)
    assert guardian not in with_environment(f"TEST_MARK={local.mark}")
