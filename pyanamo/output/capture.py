"""What a task prints: read from pipes into files, as much of it as is to be kept.

Pipes, not the files themselves, since a script that writes to `/dev/stderr` would truncate a file.
They are emptied by whoever waits for the task, a chunk at a time, so that the memory doesn't depend
on how much a task prints.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from pyanamo.output.text import last_bytes, readable

CHUNK = 64 * 1024  # what a pipe holds, as a rule
WINDOW_BYTES = 64 * 1024  # how far back a tail looks: progress bars draw over one line many times
IN_MEMORY = 64 * 1024  # an output that isn't larger needs no file
RESULT_MARK = b"PyAnamo:\t"  # a line that begins so is a result
RESULT_LINES = 100
RESULT_BYTES = 4096


class Capture:
    """One output of a task, up to `limit` bytes; of what is over that, the end and its size."""

    def __init__(self, limit: int) -> None:
        """Raises `OSError` when no more files can be open."""
        # What the task is to write to stays open here as well: its end is no event to wake for.
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.size = 0  # bytes that the task has printed
        self.kept = 0  # bytes that were kept: the first ones
        self.error = ""  # why not all within the limit could be kept
        self.results = ResultLines()
        self._limit = limit
        self._beginning = bytearray()
        self._file: IO[bytes] | None = None  # what follows on that, once there is something
        self._end = b""  # the last of what was not kept

    @property
    def is_whole(self) -> bool:
        """Whether all of it was kept."""
        return self.kept == self.size

    def fileno(self) -> int:
        """What can be read from, when there is something."""
        return self.reader

    def pump(self) -> None:
        """Take what there is now, 1 MB at the most.

        A pipe holds no more than that: what a task had printed when it ended, one call takes.
        """
        with suppress(BlockingIOError):
            for _ in range(16):
                self._take(os.read(self.reader, CHUNK))

    def tail(self, limit: int) -> str:
        """The last `limit` bytes (of UTF-8), as a terminal would show them."""
        return last_bytes(readable(self._last(WINDOW_BYTES)), limit)

    def equals(self, tail: str) -> bool:
        """Whether a tail tells the output byte for byte."""
        encoded = tail.encode()
        return len(encoded) == self.size and b"".join(self.content()) == encoded

    def content(self) -> Iterator[bytes]:
        """What was kept, a chunk at a time."""
        at = 0
        while at < self.kept:
            chunk = self._read(at, CHUNK)
            at += len(chunk)
            yield chunk

    def close(self) -> None:
        """Give back the files."""
        os.close(self.reader)
        os.close(self.writer)
        if self._file is not None:
            self._file.close()

    def _take(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self.results.feed(chunk)
        kept_before = self.kept
        if not self.error:
            try:
                self._keep(memoryview(chunk)[: max(0, self._limit - self.kept)])
            except OSError as error:  # the disk is full
                self.error = error.strerror or str(error)
        if dropped := chunk[self.kept - kept_before :]:
            self._end = (self._end + dropped)[-WINDOW_BYTES:]

    def _keep(self, chunk: memoryview) -> None:
        """Keep a chunk. Raises `OSError` when it can't; `kept` counts what was kept of it."""
        beginning = chunk[: IN_MEMORY - len(self._beginning)]
        self._beginning += beginning
        self.kept += len(beginning)
        rest = chunk[len(beginning) :]
        while rest:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            written = self._file.write(rest)
            self.kept += written
            rest = rest[written:]

    def _read(self, at: int, count: int) -> bytes:
        """Some of what was kept from there on: as many bytes as that, or fewer."""
        if at < len(self._beginning):
            return bytes(self._beginning[at : at + count])
        assert self._file is not None
        place = at - len(self._beginning)
        return os.pread(self._file.fileno(), min(count, self.kept - at), place)

    def _last(self, count: int) -> bytes:
        """The last bytes of the output, as far as they are known."""
        pieces = []
        at = max(0, self.kept - max(0, count - len(self._end)))
        while at < self.kept:
            pieces.append(self._read(at, count))
            at += len(pieces[-1])
        return b"".join((*pieces, self._end))


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
    def is_empty(self) -> bool:
        """Whether the task has printed nothing."""
        return not (self.stdout.size or self.stderr.size)

    @property
    def error(self) -> str:
        """Why not all of it could be kept."""
        return self.stdout.error or self.stderr.error

    def results(self, limit: int) -> tuple[str, ...]:
        """The result lines, up to `limit` bytes; the last one says if there are more."""
        for capture in self.captures:
            capture.results.end()
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
