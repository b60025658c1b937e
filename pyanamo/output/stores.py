"""Where whole logs are kept: what such a place does, a folder as one, and the names of logs."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from pyanamo.errors import PyAnamoError

NAME_BYTES = 200  # of one part of a log's name: file systems allow 255 with the ending
PIECE_BYTES = 1024 * 1024  # of what is unpacked: a little may become very much
_GZIP = 31  # zlib's wbits for a gzip stream

Content = Callable[[], Iterator[bytes]]  # a log from its beginning, each time it is called


@dataclass(frozen=True)
class LogName:
    """What a task's log is called, wherever it is kept: TABLE/ITEM/TASK.ATTEMPT."""

    table: str
    item_id: str
    task: str
    attempt: int

    def path(self, stream: str) -> str:
        """The relative path of the log of `stdout` or `stderr`."""
        parts = (self.table, self.item_id, f"{self.task}.{self.attempt}.{stream}.gz")
        return "/".join(safe_name(part) for part in parts)


def safe_name(name: str) -> str:
    """A name as one part of an S3 key or file path; different names stay different.

    Letters, digits and `_.-` stay, all else is percent-encoded, as in a URL (S3 User Guide,
    "Naming Amazon S3 objects": safe characters). Of a name that is too long the end is replaced by
    `~` and its hash.
    """
    safe = quote(name, safe="").replace("~", "%7E")
    if not safe.strip("."):  # "." and ".." mean folders
        safe = safe.replace(".", "%2E")
    if len(safe) > NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        safe = f"{safe[: NAME_BYTES - 33]}~{digest}"
    return safe


class LogStore(Protocol):
    """Keeps logs, gzipped, by their relative paths."""

    def check(self, table: str) -> None:
        """Raise a `PyAnamoError` if the logs of that table can't be written."""

    def keep(self, path: str, content: Content) -> str:
        """Write a log over what is there, and tell its URI. Raises a `PyAnamoError`."""


class LogFolder:
    """Logs in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, table: str) -> None:
        """Make the folder, and see whether one may write to it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            raise PyAnamoError(
                f"the log folder {self._folder} can't be written to: {error.strerror}"
            ) from error

    def keep(self, path: str, content: Content) -> str:
        """Write a log; it has its name only once it is whole."""
        file = (self._folder / path).absolute()
        scratch = file.with_name(f"{file.name}.{os.getpid()}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as target:
                for chunk in gzipped(content()):
                    target.write(chunk)
            scratch.replace(file)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise PyAnamoError(f"the log {file} can't be written: {error.strerror}") from error
        return file.as_uri()


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A gzip stream of the chunks."""
    compressor = zlib.compressobj(wbits=_GZIP)
    for chunk in chunks:
        if piece := compressor.compress(chunk):
            yield piece
    yield compressor.flush()


def unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a gzip stream. Raises `zlib.error` where it is damaged or cut off."""
    decompressor = zlib.decompressobj(wbits=_GZIP)
    for chunk in chunks:
        while chunk:
            yield decompressor.decompress(chunk, PIECE_BYTES)
            chunk = decompressor.unconsumed_tail
    if not decompressor.eof:
        raise zlib.error("it is cut off")
