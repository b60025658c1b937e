"""Capture what a task prints, up to a limit.

A task writes to pipes, and not directly to files: a script that writes to `/dev/stderr` would
truncate a file. The code that waits for the task reads the pipes in chunks, so memory use doesn't
depend on how much the task prints.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from pyanamo.text import last_bytes, readable

CHUNK = 64 * 1024  # the usual capacity of a pipe
WINDOW_BYTES = 64 * 1024  # raw bytes read for a tail: progress bars overwrite a line many times
IN_MEMORY = 64 * 1024  # output beyond this goes to a file
RESULT_MARK = b"PyAnamo:\t"  # a line that begins with this is a result line
RESULT_LINES = 100
RESULT_BYTES = 4096
LEAD_BYTES = 100  # of colours and the like before the mark
LINE_BYTES = LEAD_BYTES + len(RESULT_MARK) + RESULT_BYTES  # a longer result line is dropped
_LINE_ENDS = re.compile(rb"[\r\n]")


class Capture:
    """One output stream of a task: its first `limit` bytes, its tail and its size."""

    def __init__(self, limit: int) -> None:
        """Create the pipe. Raises `OSError` if too many files are open."""
        # We keep the write end open too, so that the pipe never reports end-of-file.
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.size = 0  # bytes that the task has printed so far
        self.kept = 0  # how many of these were kept, from the beginning
        self.error = ""  # why some bytes within the limit could not be kept
        self.results = ResultLines()
        self._limit = limit
        self._beginning = bytearray()
        self._file: IO[bytes] | None = None  # what follows `_beginning`; opened when needed
        self._end = b""  # the last `WINDOW_BYTES` of what was not kept

    @property
    def is_whole(self) -> bool:
        """Whether all bytes were kept."""
        return self.kept == self.size

    def fileno(self) -> int:
        """Return the read end of the pipe, for polling."""
        return self.reader

    def pump(self) -> None:
        """Read what is in the pipe now, at most 1 MB.

        A pipe holds at most that much, so one call after the task's end reads the rest.
        """
        with suppress(BlockingIOError):
            for _ in range(16):
                self._take(os.read(self.reader, CHUNK))

    def tail(self, limit: int) -> str:
        """Return the end of the output as a terminal shows it, at most `limit` bytes of UTF-8."""
        return last_bytes(readable(self._last(WINDOW_BYTES)), limit)

    def equals(self, tail: str) -> bool:
        """Return whether a tail is the whole output, byte for byte."""
        encoded = tail.encode()
        return len(encoded) == self.size <= WINDOW_BYTES and self._last(self.size) == encoded

    def content(self) -> Iterator[bytes]:
        """Yield what was kept, in chunks."""
        at = 0
        while at < self.kept:
            chunk = self._read(at, CHUNK)
            at += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the pipe and the file."""
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
        """Keep a chunk. If this raises `OSError`, `kept` counts the part that was kept."""
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
        """Return at most `count` of the kept bytes, from offset `at` on."""
        if at < len(self._beginning):
            return bytes(self._beginning[at : at + count])
        assert self._file is not None
        place = at - len(self._beginning)
        return os.pread(self._file.fileno(), min(count, self.kept - at), place)

    def _last(self, count: int) -> bytes:
        """Return the last `count` bytes of the output, or as many as are still available."""
        pieces = []
        at = max(0, self.kept - max(0, count - len(self._end)))
        while at < self.kept:
            pieces.append(self._read(at, count))
            at += len(pieces[-1])
        return b"".join((*pieces, self._end))


class TaskOutput:
    """What a task prints to stdout and stderr. It is deleted when the `with` block ends."""

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes per stream. Raises `OSError` if too many files are open."""
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
        """stdout and stderr."""
        return self.stdout, self.stderr

    @property
    def is_empty(self) -> bool:
        """Whether the task has printed nothing."""
        return not (self.stdout.size or self.stderr.size)

    @property
    def error(self) -> str:
        """Why some output could not be kept; empty if it could."""
        return self.stdout.error or self.stderr.error

    def results(self, limit: int) -> tuple[str, ...]:
        """Return the result lines, at most `limit` bytes; the last line says if there are more."""
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
    """Collects the result lines from what a task prints.

    A carriage return ends a line too, so that a result may follow a progress bar; and colours may
    come before it.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cut = False  # whether result lines were dropped
        self._partial = b""  # the beginning of a line that is not complete yet
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Search the next chunk of the output for result lines."""
        text = self._partial + chunk
        end = 1 + max(text.rfind(b"\n"), text.rfind(b"\r"))
        if text.find(RESULT_MARK, 0, end) >= 0:
            for line in _LINE_ENDS.split(text[:end]):
                self._look_at(line)
        self._partial = text[end : end + LINE_BYTES + 1]

    def end(self) -> None:
        """Finish: treat the last line as complete, even without a newline."""
        self._look_at(self._partial)
        self._partial = b""

    def _look_at(self, line: bytes) -> None:
        line = line[: LINE_BYTES + 1]
        start = line.find(RESULT_MARK, 0, LEAD_BYTES + len(RESULT_MARK))
        if start < 0 or readable(line[:start]):
            return
        text = readable(line[start + len(RESULT_MARK) :])
        self._size += len(text.encode()) + 1
        is_long = len(line) > LINE_BYTES or self._size > RESULT_BYTES
        if is_long or len(self.lines) == RESULT_LINES:
            self.cut = True
        else:
            self.lines.append(text)
