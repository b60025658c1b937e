"""Pilots as a user runs them: processes, their output, and how they end."""

from __future__ import annotations

import os
import re
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyanamo.model import Ending, Item
from tests.support.processes import Process, processes
from tests.support.waiting import wait_until
from tests.support.warm import popen

SUMMARY = re.compile(
    r"done (?P<done>\d+), failed (?P<failed>\d+), released (?P<released>\d+)"
    r"(?:, lost (?P<lost>\d+))? in \d+\.\d s\n"
)
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) .+")


@dataclass(frozen=True)
class Ended:
    """How a pilot ended. `code` is negative if a signal ended it."""

    code: int
    stdout: str
    stderr: str
    seconds: float  # since it was started

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of the summary, which must be alone on stdout."""
        match = SUMMARY.fullmatch(self.stdout)
        assert match, f"stdout is {self.stdout!r}, stderr {self.stderr!r}"
        return {name: int(count or 0) for name, count in match.groupdict().items()}

    @property
    def error_lines(self) -> list[str]:
        """The lines on stderr that don't belong to the log."""
        return [line for line in self.stderr.splitlines() if not LOG_LINE.fullmatch(line)]


class PilotProcess:
    """A running pilot, in a process group of its own with its workers."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        *,
        cold: bool = False,
    ) -> None:
        # Files, not pipes: a process that a pilot leaves behind would keep a pipe open.
        self._files = [folder / f".{uuid.uuid4().hex}.{name}" for name in ("stdout", "stderr")]
        self.started = time.monotonic()
        with self._files[0].open("wb") as stdout, self._files[1].open("wb") as stderr:
            start = subprocess.Popen if cold else popen
            self._process = start(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def stderr(self) -> str:
        """What it has printed on stderr so far."""
        return self._files[1].read_text()

    @property
    def is_running(self) -> bool:
        """Whether it hasn't ended."""
        return self._process.poll() is None

    @property
    def children(self) -> list[Process]:
        """Its workers, its guardian, and the orphans that it has adopted."""
        return [process for process in processes() if process.parent == self.pid]

    @property
    def workers(self) -> list[int]:
        """Its workers."""
        return [
            child.pid for child in self.children if child.group == self.pid and not child.is_zombie
        ]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to it and all its workers at once."""
        os.killpg(self.pid, number)

    def wait_for_log(self, text: str, seconds: float = 30.0) -> None:
        """Wait until the text is on stderr."""
        wait_until(lambda: text in self.stderr, f"the pilot says {text!r}", seconds)

    def wait(self, seconds: float = 60.0) -> Ended:
        """Wait for its end; fail if it takes longer."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the pilot still runs after {seconds:g} s; it said:\n{self.stderr}")
        stdout, stderr = (file.read_text() for file in self._files)
        return Ended(code, stdout, stderr, time.monotonic() - self.started)


def endings(item: Item) -> list[Ending]:
    """How the item's attempts ended, the oldest first."""
    return [attempt.ending for attempt in item.history]
