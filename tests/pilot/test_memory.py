"""Tasks and workers that are killed for memory."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.hanging import PLAIN, hanging
from tests.support.place import Place
from tests.support.processes import processes, unshared
from tests.support.waiting import wait_until


def test_a_task_that_is_killed_for_memory(local: Place) -> None:
    """With control groups that aren't the kernel's: the task itself counts the kill."""
    counts = local.folder / "groups/memory.events"
    counts.parent.mkdir()
    counts.write_text("oom_kill 0\n")
    local.script("large.sh", "echo oom_kill 1 > groups/memory.events; kill -KILL $$")
    mount = 'mount --bind groups /sys/fs/cgroup && exec "$0" "$@"'
    for name, command in (("killed", "bash -c 'kill -KILL $$'"), ("large", "./large.sh")):
        local.fill({name: command})
        pilot = local.start(prefix=[*unshared(), "bash", "-c", mount])
        assert pilot.wait().counts["failed"] == 1

    killed, large = local.item("killed"), local.item("large")
    assert (killed.exit_code, killed.reason) == (137, "killed by signal 9")
    assert (large.exit_code, large.reason) == (137, "killed by signal 9 (out of memory)")


def test_a_worker_that_is_killed_for_memory(local: Place) -> None:
    """With control groups that aren't the kernel's: the task counts the kill, of its worker."""
    counts = local.folder / "groups/memory.events"
    counts.parent.mkdir()
    counts.write_text("oom_kill 3\n")
    local.script("large.sh", "echo oom_kill 4 > groups/memory.events; kill -KILL $PPID; sleep 300")
    local.fill({"large": "./large.sh"})
    mount = 'mount --bind groups /sys/fs/cgroup && exec "$0" "$@"'
    pilot = local.start("--max-attempts", "1", prefix=[*unshared(), "bash", "-c", mount])
    assert pilot.wait().counts["lost"] == 1
    (past,) = local.item("large").history
    assert past.reason == "the worker died while running it (killed by signal 9, out of memory)"


def test_tasks_are_killed_for_memory_before_the_pilot(local: Place) -> None:
    ready = hanging(local, plain=PLAIN)
    pilot = local.start()
    local.wait_for(*ready)

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    worker = local.worker_of("plain")
    (task,) = (process.pid for process in processes() if process.parent == worker)
    wait_until(lambda: score(task) > score(pilot.pid), "the task is the better victim")
    assert score(worker) == score(pilot.pid)
    pilot.signal(signal.SIGTERM)
    pilot.wait()
