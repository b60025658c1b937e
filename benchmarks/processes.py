"""Run programs, and measure the resources that they use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 300.0  # time limit for programs that should end by themselves
STOP_SECONDS = 25.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Ran:
    """What a program printed and used. It has ended with exit code 0."""

    stdout: str
    seconds: float
    cpu_seconds: float  # including its children
    peak_mb: float  # of the largest of its processes


def run(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Ran:
    """Run a program in a folder to its end. Raises `RuntimeError` with its stderr if it fails."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode != 0:
            said = stderr.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
        unit = 1 if sys.platform == "darwin" else 1024  # unit of ru_maxrss (getrusage(2))
        return Ran(
            stdout=stdout.read().decode(),
            seconds=seconds,
            cpu_seconds=used.ru_utime + used.ru_stime,
            peak_mb=used.ru_maxrss * unit / 1e6,
        )


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Iterator[psutil.Process]:
    """Run a program, and stop it at the end of the block with a SIGTERM."""
    with open(os.devnull, "wb") as nothing:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=nothing,
            stderr=nothing,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def tree(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    return [root, *root.children(recursive=True)]


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait until a condition is true. Raises `RuntimeError` if it takes too long."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"not true after {seconds:.0f} s: {what}")
        time.sleep(0.01)


def in_own_process(
    environment: Mapping[str, str],
    function: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Call a function in a new Python process with additional environment variables."""
    spawn = get_context("spawn")
    with _environment(environment), ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Add variables to our environment, for processes that are started in the block."""
    before = dict(os.environ)
    os.environ.update(added)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
