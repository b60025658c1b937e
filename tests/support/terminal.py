"""A command on a terminal of its own, with a person at it who types when asked."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyanamo.text import readable_text
from tests.support.warm import popen

SECONDS = 30.0
LINES, COLUMNS = 50, 160
CTRL_C = "\x03"

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """What a running command has shown so far."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self._master = master
        self._process = process
        self._is_open = True
        self.shown = ""  # with all control sequences

    @property
    def text(self) -> str:
        """What it has shown, but for the control sequences."""
        return _CONTROL.sub("", self.shown)

    @property
    def lines(self) -> list[str]:
        """What its lines finally show: carriage returns and erasures are obeyed."""
        return readable_text(self.shown).split("\n")

    def hang_up(self) -> int:
        """Close the terminal, and wait for the command's end; its exit code as `end` has it."""
        os.close(self._master)
        self._is_open = False
        code = self._process.wait(SECONDS)
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        """Close the terminal, if it isn't."""
        if self._is_open:
            os.close(self._master)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has shown that, so many times."""
        deadline = time.monotonic() + SECONDS
        while self.shown.count(text) < times:
            missing = f"no {text!r}, {times} times, in {self.shown[-4000:]!r}"
            assert time.monotonic() < deadline, missing
            assert self._read(deadline - time.monotonic()), missing

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Wait for the command's end; its exit code as a shell has it."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline - time.monotonic()):
            assert time.monotonic() < deadline, f"it hasn't ended: {self.shown[-4000:]!r}"
        code = self._process.wait(SECONDS)
        return code if code >= 0 else 128 - code

    def _read(self, seconds: float) -> bool:
        """Read some; False at the end."""
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: nobody has the other side open any more
            return False
        self.shown += data.decode().replace("\r\n", "\n")
        return bool(data)


@contextmanager
def on_terminal(
    command: Sequence[str], environment: Mapping[str, str | None], columns: int = COLUMNS
) -> Iterator[Terminal]:
    """Run a command on a terminal of that width; a variable that is None isn't set."""
    variables = {**os.environ, "TERM": "xterm-256color", **environment}
    variables.pop("COLUMNS", None)
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    process = popen(
        command,
        cwd=Path.cwd(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={name: value for name, value in variables.items() if value is not None},
        has_terminal=True,
    )
    os.close(slave)
    terminal = Terminal(master, process)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.close()
