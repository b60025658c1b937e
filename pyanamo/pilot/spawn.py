"""Start a task's process."""

from __future__ import annotations

import errno
import functools
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

    Its program is searched on the `PATH` of `environment`. It inherits no open files except
    `stdout` and `stderr`. Raises `OSError` if it can't be started, and `ValueError` if a word has a
    NUL byte.

    `subprocess` would search the program too, but by trying to run it in each folder.
    posix_spawn(3) would be faster still, but glibc leaves signals 32 and 33 ignored in the task.
    """
    encoded_words = [encoded(word) for word in words] or [b""]
    return subprocess.Popen(
        encoded_words,
        executable=_program(encoded_words[0], environment.raw.get(b"PATH", os.defpath.encode())),
        env=environment.raw,
        stdin=_nothing(),
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


@functools.cache
def _nothing() -> int:
    """Return an open file that is empty."""
    return os.open(os.devnull, os.O_RDONLY)


def _program(name: bytes, path: bytes) -> bytes:
    """Return the file of a program, as execvp(3) finds it."""
    if b"/" in name:
        return name
    files = [(folder or b".") + b"/" + name for folder in path.split(b":") if name]
    for file in files:
        if os.access(file, os.X_OK) and not os.path.isdir(file):
            return file
    code = errno.EACCES if any(map(os.path.isfile, files)) else errno.ENOENT
    raise OSError(code, os.strerror(code), name)


def encoded(text: str) -> bytes:
    """Encode a word as UTF-8, as in task files and tables, whatever the locale."""
    return text.encode(errors="surrogateescape")
