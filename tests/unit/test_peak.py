"""How much memory a task's processes use together: measured on real processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyanamo.pilot import peak
from pyanamo.pilot.peak import PeakMemory
from tests.support.processes import is_alive, processes
from tests.support.waiting import wait_until
from tests.unit.test_marks import in_a_process_without_privileges

MARK = "PYANAMO_TEST=peak"
_PR_SET_DUMPABLE = 4  # <linux/prctl.h>

# What the scripts share. Each process that is there for long says so with a line.
LIBRARY = """
import os, signal, subprocess, sys
def ready():
    os.write(1, b"ready\\n")
    signal.pause()
def eat(mb):
    return bytearray(b"x") * (mb * 1_000_000)
"""


class Task:
    """A task that runs, the leader of its session."""

    def __init__(self, script: str, count: int, *, more: str = MARK) -> None:
        """Start a Python script, and wait until that many of its processes are ready."""
        name, value = more.split("=")
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIBRARY + script],
            stdout=subprocess.PIPE,
            env={**os.environ, name: value},
            start_new_session=True,
        )
        self.wait_for(count)
        self.peak = PeakMemory(self.process.pid, [MARK], time.monotonic())

    def wait_for(self, count: int) -> None:
        assert self.process.stdout is not None
        for _ in range(count):
            assert self.process.stdout.readline() == b"ready\n"

    def look(self) -> float:
        """The peak in MB after one more look."""
        self.peak.look()
        found = self.peak.mb(0)
        assert found is not None
        return found


@pytest.fixture
def start() -> Iterator[Callable[..., Task]]:
    """Starts tasks, which are killed at the end, with what has left their sessions."""
    tasks: list[Task] = []

    def start(script: str, count: int, *, more: str = MARK) -> Task:
        tasks.append(Task(script, count, more=more))
        return tasks[-1]

    yield start
    for task in tasks:
        with suppress(ProcessLookupError):
            os.killpg(task.process.pid, signal.SIGKILL)
        task.process.communicate()


Start = Callable[..., Task]


def test_processes_that_run_together_are_summed_up(start: Start) -> None:
    child = [sys.executable, "-c", f"{LIBRARY}x = eat(100); ready()"]
    task = start(f"two = [subprocess.Popen({child!r}) for _ in range(2)]; signal.pause()", 2)
    assert 200 < task.look() < 250


def test_what_processes_share_counts_once(start: Start) -> None:
    """Until they write to it, which their resident sizes don't tell."""
    task = start(
        """
x = eat(100)
def write(*_):
    x[::4096] = b"y" * len(x[::4096])
    ready()
for _ in range(2):
    if os.fork() == 0:
        signal.signal(signal.SIGUSR1, write)
        ready()
ready()
""",
        3,
    )
    assert 100 < task.look() < 130
    children = [each.pid for each in processes() if each.parent == task.process.pid]
    assert len(children) == 2
    for child in children:
        os.kill(child, signal.SIGUSR1)
    task.wait_for(2)
    task.peak._pss_due = 0  # it isn't read at every look
    assert 300 < task.look() < 340


def test_a_peak_stays(start: Start) -> None:
    task = start("child = os.fork()\nx = eat(50)\nready()", 2)
    before = task.look()
    child = next(each.pid for each in processes() if each.parent == task.process.pid)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not is_alive(child), "one has ended")
    assert task.look() == before


def test_children_that_left_the_session_or_lost_their_parent(start: Start) -> None:
    task = start(
        """
def child(leaves, orphan):
    if os.fork() == 0:
        if leaves:
            os.setsid()
        if orphan and os.fork():
            os._exit(0)
        x = eat(40)
        ready()
child(True, False)
child(True, True)
child(False, True)
ready()
""",
        4,
    )
    assert 120 < task.look() < 160
    for process in task.peak._processes():
        if process.pid != task.process.pid:
            os.kill(process.pid, signal.SIGKILL)


def test_others_processes_do_not_count(start: Start) -> None:
    start("x = eat(100); ready()", 1, more="PYANAMO_TEST=peak-of-another")
    task = start("x = eat(20); ready()", 1)
    assert 20 < task.look() < 60


def test_a_child_that_has_not_executed_its_program_yet(start: Start, tmp_path: Path) -> None:
    """It uses the memory of its parent, which waits for it (vfork(2))."""
    os.mkfifo(tmp_path / "fifo")
    task = start(
        f"""
x = eat(100)
os.write(1, b"ready\\n")
# It waits in the new process for somebody to open the other end.
wait = (os.POSIX_SPAWN_OPEN, 0, {str(tmp_path / "fifo")!r}, os.O_RDONLY, 0)
os.posix_spawn("/bin/true", ["true"], os.environ, file_actions=[wait])
ready()
""",
        1,
    )
    wait_until(lambda: len(task.peak._processes()) == 2, "there are two processes")
    wait_until(
        lambda: {process.state for process in task.peak._processes()} == {b"D", b"S"},
        "one waits for the other",
    )
    assert 100 < task.look() < 130
    with (tmp_path / "fifo").open("w"):
        task.wait_for(1)


def test_a_process_that_may_not_be_looked_at() -> None:
    """Its resident size counts."""

    def look() -> None:
        reader, writer = os.pipe()
        if (leader := os.fork()) == 0:
            os.setsid()
            for _ in range(2):
                if os.fork() == 0:
                    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
                    kept = bytearray(b"x") * 100_000_000
                    os.write(writer, b"!")
                    signal.pause()
                    del kept
            signal.pause()
        for _ in range(2):
            os.read(reader, 1)
        found = PeakMemory(leader, [MARK], time.monotonic())
        found.look()
        resident = sum(process.resident for process in found._processes()) / 1e6
        os.killpg(leader, signal.SIGKILL)
        os.waitpid(leader, 0)
        assert resident > 200
        assert found.mb(0) == pytest.approx(resident, rel=0.02)

    in_a_process_without_privileges(look)


def test_the_largest_process_counts_if_no_look_has_seen_it(start: Start) -> None:
    task = start("x = eat(20); ready()", 1)
    seen = task.look()
    assert task.peak.mb(5_000_000_000) == 5000
    assert task.peak.mb(1_000_000) == seen


def test_nothing_is_measured_before_the_first_look_or_without_proc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert PeakMemory(os.getpid(), [], 0.0).mb(10**9) is None
    monkeypatch.setattr(peak, "CAN_FIND", False)
    assert PeakMemory(os.getpid(), [], 0.0).due == float("inf")


def test_a_task_that_has_ended(start: Start) -> None:
    task = start("ready()", 1)
    task.process.kill()
    task.process.wait()
    task.peak.look()
    assert task.peak.mb(10**9) is None


def test_looks_become_less_frequent(start: Start) -> None:
    task = start("ready()", 1)
    waits = []
    for seconds in (0.2, 5, 30, 60, 10_000):
        now = time.monotonic()
        task.peak._started = now - seconds
        task.peak.look()
        waits.append(task.peak.due - now)
    for wait, least in zip(waits, (1, 1, 3, 6, 10), strict=True):
        assert least <= wait < 11
