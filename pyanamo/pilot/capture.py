"""What a task prints: read from pipes into files, as much of it as is to be kept.

Pipes, not the files themselves, since a script that writes to `/dev/stderr` would truncate a file.
They are emptied by whoever waits for the task, a chunk at a time, so that the memory doesn't depend
on how much a task prints.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import IO

from pyanamo.logs import WINDOW_BYTES, last_bytes, readable

CHUNK = 64 * 1024  # what a pipe holds, as a rule
IN_MEMORY = 64 * 1024  # an output that isn't larger needs no file
RESULT_MARK = b"PyAnamo:\t"  # a line that begins so is a result
RESULT_LINES = 100
RESULT_BYTES = 4096


class Capture:
    """One output of a task, up to `limit` bytes; what is over that is counted and dropped."""

    def __init__(self, limit: int) -> None:
        """Raises `OSError` when no more files can be open."""
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.size = 0  # bytes that the task has printed
        self.error = ""  # why not all within the limit could be kept
        self.results = ResultLines()
        self._limit = limit
        self._kept = 0
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._end = b""  # the last of what is past the limit

    @property
    def writer(self) -> int:
        """What the task is to write to."""
        return self._writer

    @property
    def kept(self) -> int:
        """Bytes that were kept."""
        return self._kept

    @property
    def is_whole(self) -> bool:
        """Whether all of it was kept."""
        return self._kept == self.size and not self.error

    def fileno(self) -> int:
        """What can be read from, when there is something."""
        return self.reader

    def close_writer(self) -> None:
        """Leave the pipe to the task, once it has been started."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def pump(self) -> bool:
        """Take what there is now, within reason; False once there will be no more."""
        for _ in range(16):
            try:
                chunk = os.read(self.reader, CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._take(chunk)
        return True

    def drain(self) -> None:
        """Take all that was written until now, for a task that has ended."""
        while True:
            before = self.size
            if not self.pump() or self.size == before:
                return

    def tail(self, limit: int) -> str:
        """The last `limit` bytes (of UTF-8), as a terminal would show them."""
        if self._end:
            end = self._end
        else:
            self._file.seek(max(0, self._kept - WINDOW_BYTES))
            end = self._file.read(WINDOW_BYTES)
        return last_bytes(readable(end), limit)

    def equals(self, tail: str) -> bool:
        """Whether a tail tells the output byte for byte."""
        encoded = tail.encode()
        return len(encoded) == self.size and b"".join(self.content()) == encoded

    def content(self) -> Iterator[bytes]:
        """What was kept, a chunk at a time."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            yield chunk

    def close(self) -> None:
        """Give back the files."""
        self.close_writer()
        os.close(self.reader)
        self._file.close()

    def _take(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.results.feed(chunk)
        kept = chunk[: max(0, self._limit - self._kept)] if not self.error else b""
        if kept:
            try:
                self._file.write(kept)
                self._file.flush()
                self._kept += len(kept)
            except OSError as error:  # the disk is full
                self.error = error.strerror or str(error)
        if len(kept) < len(chunk):
            self._end = (self._end + chunk)[-WINDOW_BYTES:]


class TaskOutput:
    """What a task prints to stdout and stderr, gone when the block ends."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes, of each. Raises `OSError` when no more files can be open."""
        self.stdout = Capture(limit)
        try:
            self.stderr = Capture(limit)
        except OSError:
            self.stdout.close()
            raise

    def __enter__(self) -> TaskOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()

    @property
    def captures(self) -> tuple[Capture, Capture]:
        """Both."""
        return self.stdout, self.stderr

    @property
    def error(self) -> str:
        """Why not all of it could be kept."""
        return self.stdout.error or self.stderr.error

    def results(self, limit: int) -> tuple[str, ...]:
        """The result lines, up to `limit` bytes; the last one says if there are more."""
        lines = (*self.stdout.results.lines, *self.stderr.results.lines)
        cut = self.stdout.results.cut or self.stderr.results.cut
        kept: list[str] = []
        size = 0
        for line in lines:
            size += len(line.encode()) + 1
            if size > min(limit, RESULT_BYTES) or len(kept) == RESULT_LINES:
                cut = True
                break
            kept.append(line)
        return (*kept, "(cut: there are more results)") if cut and limit else tuple(kept)


class ResultLines:
    """Picks a task's results out of what it prints, whatever becomes of the rest."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cut = False  # there were more than are kept
        self._partial = b""  # the beginning of a line that hasn't ended
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Look through the next piece of the output."""
        text = self._partial + chunk
        ended, newline, rest = text.rpartition(b"\n")
        if newline and RESULT_MARK in ended:
            for line in ended.split(b"\n"):
                self._look_at(line)
        self._partial = rest[: RESULT_BYTES + len(RESULT_MARK)]

    def end(self) -> None:
        """The output is over; its last line may lack a line end."""
        self._look_at(self._partial)
        self._partial = b""

    def _look_at(self, line: bytes) -> None:
        if not line.startswith(RESULT_MARK):
            return
        text = readable(line[len(RESULT_MARK) :].rstrip(b"\r"))
        self._size += len(text.encode()) + 1
        if self._size > RESULT_BYTES or len(self.lines) == RESULT_LINES:
            self.cut = True
        else:
            self.lines.append(text)
