"""Pilots on a machine that is short of something."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def with_files(count: int) -> Sequence[str]:
    """The command that runs another with so many open files at most, soft limit and hard."""
    return [_tool("prlimit"), f"--nofile={count}"]


def with_processes(count: int) -> Sequence[str]:
    """The command that runs another with so many processes and threads at most.

    The limit counts those of a user. Root has none, so root's tests run the other command as a user
    who has no other process, with root's access to files.
    """
    if os.getuid() != 0:
        return [_tool("prlimit"), f"--nproc={_own_threads() + count}"]
    rights = "+dac_override,+dac_read_search,+fowner,+kill"
    capabilities = ("--inh-caps", rights, "--ambient-caps", rights)
    return [*_as_another_user(), *capabilities, _tool("prlimit"), f"--nproc={count}"]


def allow_processes(pid: int, count: int) -> None:
    """Change the soft limit of a process that was started `with_processes`."""
    user = _as_another_user() if os.getuid() == 0 else []
    command = [*user, _tool("prlimit"), "--pid", str(pid), f"--nproc={count}:"]
    subprocess.run(command, check=True)


def _as_another_user() -> Sequence[str]:
    user = str(100_000 + os.getpid())
    return [_tool("setpriv"), "--reuid", user, "--regid", user, "--clear-groups"]


def _own_threads() -> int:
    """How many threads this user's processes have."""
    return sum(
        len(list((entry / "task").iterdir()))
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and entry.stat().st_uid == os.getuid()
    )


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: install it (Debian, Ubuntu: util-linux)", pytrace=False)
    return found
