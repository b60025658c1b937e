"""Kills for memory, counted in control groups that aren't the kernel's."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyanamo.pilot.memory import OOMCounter, RecentKills
from tests.support.backends import Clock


def test_counting_out_of_memory_kills_in_cgroup_v2(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/system.slice/batch\n")
    events = tmp_path / "fs/system.slice/batch/memory.events"
    events.parent.mkdir(parents=True)
    events.write_text("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 1\n")
    (tmp_path / "fs/memory.events").write_text("oom 9\noom_kill 9\n")  # another group's
    counter = OOMCounter(tmp_path / "fs", membership)
    assert counter.read() == 2
    events.write_text("low 0\nhigh 0\nmax 7\noom 4\noom_kill 3\n")
    assert counter.read() == 3


def test_counting_out_of_memory_kills_in_cgroup_v1(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n")
    control = tmp_path / "fs/memory/docker/abc/memory.oom_control"
    control.parent.mkdir(parents=True)
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n")
    assert OOMCounter(tmp_path / "fs", membership).read() == 5


@pytest.mark.parametrize("file", ["memory.events", "memory/memory.oom_control"])
def test_counting_out_of_memory_kills_in_a_container(tmp_path: Path, file: str) -> None:
    """It sees its own group as the root, while /proc tells the path that the host knows."""
    membership = tmp_path / "cgroup"
    membership.write_text("4:memory:/docker/abc\n0::/docker/abc\n")
    counts = tmp_path / "fs" / file
    counts.parent.mkdir(parents=True)
    counts.write_text("oom_kill 4\n")
    assert OOMCounter(tmp_path / "fs", membership).read() == 4


def test_without_cgroups_no_kill_is_counted(tmp_path: Path) -> None:
    assert OOMCounter(tmp_path / "fs", tmp_path / "cgroup").read() == 0


def test_a_kill_for_memory_is_recent_for_a_few_seconds() -> None:
    clock, count = Clock(), 2
    recent = RecentKills(lambda: count, clock)
    assert not recent
    count = 3
    for _ in range(4):
        clock.advance(1)
        recent.look()
        assert recent
    for _ in range(8):
        clock.advance(1)
        recent.look()
    assert not recent
