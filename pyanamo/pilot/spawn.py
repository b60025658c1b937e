"""Start a task's process.

With posix_spawn(3): of the ways that Python has it is the one that costs least, in time and, since
nothing of the worker is copied, in memory.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

_OPEN_FILES = ("/proc/self/fd", "/dev/fd")
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)  # and so by its children, unless told


def spawn(words: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int) -> int:
    """Start a command in a session and process group of its own, with nothing on stdin; its pid.

    The command is found as execvp(3) does, on the `PATH` of its own environment. Raises `OSError`
    when it can't be started, `ValueError` when it has a NUL byte.
    """
    return os.posix_spawn(
        _program(words[0] if words else "", environment),
        [_encoded(word) for word in words],
        {name: _encoded(value) for name, value in environment.items()},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ],
        setsid=True,
        setsigdef=_IGNORED_BY_PYTHON,
    )


def keep_open_files() -> None:
    """Have no task inherit the files that this process was started with, but for the first three.

    Those that Python opens itself are kept already (PEP 446).
    """
    for folder in filter(os.path.isdir, _OPEN_FILES):
        for name in os.listdir(folder):
            if int(name) > 2:
                with suppress(OSError):  # the listing's own
                    os.set_inheritable(int(name), False)
        return


def _program(name: str, environment: Mapping[str, str]) -> str:
    """The file that the name of a command stands for."""
    if os.path.dirname(name):
        return name
    path = environment.get("PATH", os.defpath)
    file = _found(name, path)
    if file is None or not os.access(file, os.X_OK):  # no more, or not yet
        _found.cache_clear()
        file = _found(name, path)
    if file is None:
        there = any(os.path.isfile(place) for place in _places(name, path))
        problem = errno.EACCES if there else errno.ENOENT
        raise OSError(problem, os.strerror(problem), name)
    return file


@functools.cache
def _found(name: str, path: str) -> str | None:
    """The first of the places where there is a program of that name."""
    for file in _places(name, path):
        if os.access(file, os.X_OK) and not os.path.isdir(file):
            return file
    return None


def _places(name: str, path: str) -> list[str]:
    return [os.path.join(folder, name) for folder in path.split(os.pathsep) if name]


def _encoded(text: str) -> bytes:
    """What a command gets: UTF-8, as task files and tables are, whatever the locale."""
    return text.encode(errors="surrogateescape")
