"""Measure the CPU time of a pilot's start, and its memory."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from benchmarks.figures import Figure, at_most
from benchmarks.places import Place
from benchmarks.processes import tree, wait_for

TASK = "sleep"
WORKERS = 8
CROWD = 10  # processes of a task
START_LIMITS = {"embedded": 0.25, "DynamoDB Local": 0.8}  # seconds


def start_up(place: Place, rounds: int) -> Figure:
    """Measure the CPU time of all processes of a pilot until its first task runs."""
    values = []
    for _ in range(rounds):
        table = place.fill(1, f"{TASK} 60")
        with place.running_pilot(table) as pilot:
            wait_for(partial(runs, pilot, 1), "a task runs")
            values.append(sum(_cpu_seconds(process) for process in tree(pilot)))
    return Figure(
        name=f"start_up_{place.key}",
        what=f"CPU time of a pilot until its first task runs, {place.name}",
        unit="s",
        values=values,
        target=at_most(START_LIMITS[place.name]),
    )


def memory(place: Place, rounds: int) -> Figure:
    """Measure the memory of a pilot whose workers all run a task, without the tasks.

    Shared memory counts once (proportional set size, `/proc/PID/smaps`: proc(5)).
    """
    values = []
    for _ in range(rounds):
        table = place.fill(WORKERS, f"{TASK} 60")
        with place.running_pilot(table, "-i", str(WORKERS)) as pilot:
            wait_for(partial(runs, pilot, WORKERS), "all workers run a task")
            own = [process for process in tree(pilot) if process.name() != TASK]
            values.append(sum(process.memory_full_info().pss for process in own) / 1e6)
    return Figure(
        name=f"memory_{place.key}",
        what=f"memory of a pilot with `-i {WORKERS}`, {place.name}",
        unit="MB",
        values=values,
        target=at_most(60 + 12 * WORKERS),
        beside=f"target: 60 MB and 12 MB per worker; {len(own)} processes",
    )


def looks(place: Place, seconds: float) -> Figure:
    """Measure the CPU time that a pilot needs while its tasks run, most of it for their memory.

    The pilot looks at it once a second at first, and then less often.
    """
    script = place.folder / "crowd.sh"
    script.write_text(f"for _ in {{2..{CROWD}}}; do {TASK} 300 & done; exec {TASK} 300\n")
    table = place.fill(WORKERS, f"bash {script}")
    with place.running_pilot(table, "-i", str(WORKERS)) as pilot:
        wait_for(partial(runs, pilot, WORKERS * CROWD), "all tasks run")
        own = [process for process in tree(pilot) if process.name() != TASK]
        before, began = sum(map(_scheduled_seconds, own)), time.monotonic()
        time.sleep(seconds)
        used, took = sum(map(_scheduled_seconds, own)) - before, time.monotonic() - began
    return Figure(
        name="looks",
        what=f"CPU time of a pilot while {WORKERS} tasks of {CROWD} processes run",
        unit="% of a core",
        values=[100 * used / took],
        target=at_most(0.5),
        beside=f"the first {took:.0f} s; of this, the memory of tasks is nearly all",
    )


def runs(pilot: psutil.Process, tasks: int) -> bool:
    """Return whether a pilot runs this number of tasks."""
    names = [_name(process) for process in pilot.children(recursive=True)]
    return names.count(TASK) == tasks


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def _scheduled_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process, to the microsecond (Linux, "Scheduler Statistics")."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system
