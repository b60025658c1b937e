"""Start a task's process."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def spawn(
    words: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Start a command in a session and process group of its own, with nothing on stdin.

    It has no other file of ours than `stdout` and `stderr`, and is found on the `PATH` of its own
    environment. Raises `OSError` when it can't be started, `ValueError` when it has a NUL byte.
    """
    return subprocess.Popen(
        [_encoded(word) for word in words] or [b""],
        env={name: _encoded(value) for name, value in environment.items()},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def _encoded(text: str) -> bytes:
    """What a command gets: UTF-8, as task files and tables are, whatever the locale."""
    return text.encode(errors="surrogateescape")
