"""Start a task's process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence


def spawn(
    words: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Start a command in its own session and process group, with an empty stdin.

    The command inherits no open files except `stdout` and `stderr`. Its program is searched on the
    `PATH` of `environment`. Raises `OSError` if it can't be started, and `ValueError` if a word has
    a NUL byte.
    """
    return subprocess.Popen(
        [encoded(word) for word in words] or [b""],
        env={encoded(name): encoded(value) for name, value in environment.items()},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def encoded(text: str) -> bytes:
    """Encode a word as UTF-8, as in task files and tables, whatever the locale."""
    return text.encode(errors="surrogateescape")


def pipeline_environment() -> dict[str, str]:
    """Return our environment, with the folder `PIPELINE` (if set) first on the `PATH`.

    It is decoded as `encoded` encodes, whatever the locale: byte for byte the same for a task.
    """
    environment = dict(os.environb)
    pipeline = environment.get(b"PIPELINE")
    if pipeline and os.path.isdir(pipeline):
        environment[b"PATH"] = b":".join(filter(None, (pipeline, environment.get(b"PATH"))))
    return {_decoded(name): _decoded(value) for name, value in environment.items()}


def _decoded(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")
