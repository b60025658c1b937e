"""Start a task's process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence


class Environment(Mapping[str, str]):
    """A task's environment: text to look up, kept as the bytes that the task gets.

    Both are UTF-8, whatever the locale; bytes that aren't are kept.
    """

    def __init__(self, raw: Mapping[bytes, bytes]) -> None:
        self.raw = raw

    @classmethod
    def of_tasks(cls) -> Environment:
        """Return our own environment, with the folder `PIPELINE` (if set) first on the `PATH`."""
        raw = dict(os.environb)
        pipeline = raw.get(b"PIPELINE")
        if pipeline and os.path.isdir(pipeline):
            raw[b"PATH"] = b":".join(filter(None, (pipeline, raw.get(b"PATH"))))
        return cls(raw)

    def __or__(self, more: Mapping[str, str]) -> Environment:
        added = {encoded(name): encoded(value) for name, value in more.items()}
        return Environment({**self.raw, **added})

    def __getitem__(self, name: str) -> str:
        return self.raw[encoded(name)].decode(errors="surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (name.decode(errors="surrogateescape") for name in self.raw)

    def __len__(self) -> int:
        return len(self.raw)


def spawn(
    words: Sequence[str], environment: Environment, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    """Start a command in its own session and process group, with an empty stdin.

    The command inherits no open files except `stdout` and `stderr`. Its program is searched on the
    `PATH` of `environment`. Raises `OSError` if it can't be started, and `ValueError` if a word has
    a NUL byte.
    """
    return subprocess.Popen(
        [encoded(word) for word in words] or [b""],
        env=environment.raw,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def encoded(text: str) -> bytes:
    """Encode a word as UTF-8, as in task files and tables, whatever the locale."""
    return text.encode(errors="surrogateescape")
