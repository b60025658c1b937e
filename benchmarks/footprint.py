"""Measure the CPU time of a pilot's start, and its memory."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import psutil

from benchmarks.figures import Figure, at_most
from benchmarks.places import Place
from benchmarks.processes import tree, wait_for

TASK = "sleep"
WORKERS = 8
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


def runs(pilot: psutil.Process, tasks: int) -> bool:
    """Return whether a pilot runs this number of tasks."""
    names = [_name(process) for process in pilot.children(recursive=True)]
    return names.count(TASK) == tasks


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system
