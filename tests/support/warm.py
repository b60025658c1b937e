"""Start PyAnamo's programs quickly: as forks of a process that has imported boto3 already.

An interpreter that imports PyAnamo and boto3 takes half a second of CPU time, a fork of such a
process some milliseconds. Apart from that it is a process as any other: it runs the same script,
with its own environment, folder, files, session and signals, and ends as an interpreter does. Tests
of how the programs start (signals during imports, limits, closed files, locales, other versions of
Python) start an interpreter instead.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.warm_client import ask, read_at_start, read_number

ROOT = Path(__file__).resolve().parents[2]
_CLIENT = Path(__file__).with_name("warm_client.py")
_ROOM = 100_000  # bytes, for the environment of a program
# Opened by the first process of a session, a terminal becomes the session's.
_TAKE_TERMINAL = (
    "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
)
_File = int | IO[Any] | None


def popen(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: _File = None,
    stdout: _File = None,
    stderr: _File = None,
    start_new_session: bool = False,
    has_terminal: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a command as `subprocess.Popen` does, as a fork if that makes no difference.

    If it `has_terminal`, stdin becomes the terminal of its session, whose Ctrl-C it gets.
    """
    kind: type[subprocess.Popen[bytes]] = subprocess.Popen
    if _can_be_forked(command, env):
        kind = _WarmProcess
    elif has_terminal:
        command = [sys.executable, "-c", _TAKE_TERMINAL, *command]
    return kind(
        command,
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=start_new_session or has_terminal,
    )


def search_path(folder: Path) -> str:
    """A PATH on which `python` and `python3` start PyAnamo's programs as forks."""
    words = [sys.executable, "-IS", str(_CLIENT), sys.executable, _server()]
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    (folder / "python3").symlink_to(python)
    return os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))


def _can_be_forked(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether this interpreter runs the command, and would start as the server has."""
    program, *words = command
    first = words[0] if words else "-"
    if program != sys.executable or (first.startswith("-") and first not in ("-c", "-m")):
        return False
    if environment.get("PYTHONPATH", "") not in ("", str(ROOT)):
        return False
    return read_at_start(environment) == read_at_start(_server_environment())


class _WarmProcess(subprocess.Popen[bytes]):
    """A process that the server has forked, and waits for."""

    def _execute_child(self, args: Sequence[str], *given: Any) -> None:
        """Have the server start it. `Popen` calls this in place of fork(2) and exec(2)."""
        folder, environment, is_session = given[4], given[5], given[20]
        stdin, to_stdin, from_stdout, stdout, from_stderr, stderr = given[9:15]
        own = enumerate((stdin, stdout, stderr))
        files = [number if file == -1 else file for number, file in own]
        self._connection, self.pid = ask(
            _server(),
            args[1:],
            str(folder),
            environment,
            is_session=is_session,
            files=files,
        )
        self._child_created = True
        close_pipes: Callable[..., None] = vars(subprocess.Popen)["_close_pipe_fds"]
        close_pipes(self, stdin, to_stdin, from_stdout, stdout, from_stderr, stderr)

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self._read_end()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._read_end()
        return self.returncode

    def _read_end(self) -> None:
        with self._connection:
            self.returncode = read_number(self._connection)


@functools.cache
def _server_environment() -> dict[str, str]:
    room = {"ROOM": "x" * _ROOM}
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | room


@functools.cache
def _server() -> str:
    """Start the server, which ends with this process; the path of its socket."""
    folder = tempfile.mkdtemp(prefix="warm-")
    path = f"{folder}/socket"
    started_with = json.dumps(read_at_start(_server_environment()))
    Path(f"{path}.environment").write_text(started_with)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.warm_server", path],
        cwd=ROOT,
        env=_server_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        server.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    return path
