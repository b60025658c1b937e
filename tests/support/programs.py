"""Run PyAnamo's programs as a user does, in a process or in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest import mock

from pyanamo.cli import run_command_line

ROOT = Path(__file__).resolve().parents[2]
PILOT = ROOT / "pyanamo.py"
IMPORT_ITEMS = ROOT / "import-items.py"
SECONDS = 60.0  # for anything that ends by itself


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a user sees of a program that has ended."""

    code: int  # as a shell has it: 128 + n for signal n
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        """The last line of stdout."""
        return self.stdout.splitlines()[-1] if self.stdout else ""


def read_line(stream: IO[bytes] | None) -> str:
    """Read a line of a running program, and nothing of the next one, which `finish` is to see."""
    assert stream is not None
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(stream.fileno(), 1)):
        line += byte
    return line.decode()


def finish(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> Finished:
    """Wait for a program to end; what it printed, and its exit code. Kill it after `SECONDS`."""
    try:
        stdout, stderr = process.communicate(stdin, SECONDS)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    code = process.returncode
    return Finished(
        code=code if code >= 0 else 128 - code,
        stdout=stdout.decode(),
        stderr=(stderr or b"").decode(),
    )


def run_main(
    main: Callable[[Sequence[str]], int],
    words: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    name: str = "pyanamo",
    stdin: bytes = b"",
) -> Finished:
    """Run a program's `main` in this process, as its script does.

    `name` is the program's name in its messages.
    """
    stdout, stderr = _output(errors="strict"), _output(errors="backslashreplace")
    with (
        mock.patch.dict(os.environ, environment),
        mock.patch.object(sys, "argv", [name, *map(str, words)]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8")),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        code = _exit_code(lambda: run_command_line(lambda: main([*map(str, words)])))
    return Finished(code=code, stdout=_text(stdout), stderr=_text(stderr))


def _output(errors: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), "utf-8", errors=errors, newline="")


def _text(output: io.TextIOWrapper) -> str:
    output.flush()
    output.seek(0)
    return output.read()


def _exit_code(run: Callable[[], int]) -> int:
    try:
        return run()
    except SystemExit as end:  # argparse's
        return end.code if isinstance(end.code, int) else 1
