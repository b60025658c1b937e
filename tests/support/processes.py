"""The processes of this machine, and pid namespaces for new ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Process:
    """A process, from /proc/PID/stat."""

    pid: int
    parent: int
    group: int
    is_zombie: bool


def processes() -> Iterator[Process]:
    """All processes of this machine."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent, group, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                yield Process(int(entry.name), int(parent), int(group), is_zombie=state == "Z")


def with_environment(*entries: str) -> list[int]:
    """The processes that have all these `NAME=value` in their environment."""
    wanted = [b"\0" + os.fsencode(entry) + b"\0" for entry in entries]
    found = []
    for process in processes():
        with suppress(OSError):
            environment = b"\0" + Path(f"/proc/{process.pid}/environ").read_bytes()
            if all(entry in environment for entry in wanted):
                found.append(process.pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    return any(process.pid == pid and not process.is_zombie for process in processes())


def has_open(pid: int, file: Path) -> bool:
    """Whether a process has that file open."""
    with suppress(OSError):
        return any(file.samefile(open_file) for open_file in Path(f"/proc/{pid}/fd").iterdir())
    return False


def unshared() -> list[str]:
    """The words that run a command as process 1 of a pid namespace; fails if that can't be."""
    tool = shutil.which("unshare")
    options = ["--pid", "--fork", "--mount-proc", "--kill-child"]
    for rights in ([], ["--user", "--map-root-user"]):
        command = [str(tool), *rights, *options]
        if tool and subprocess.run([*command, "true"], capture_output=True).returncode == 0:
            return command
    pytest.fail("unshare(1) can't make a pid namespace here: run the tests where it can")
