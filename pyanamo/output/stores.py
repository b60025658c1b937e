"""Stores for whole logs: the protocol, the folder, and the names of logs."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from pyanamo.errors import PyAnamoError

NAME_BYTES = 200  # per part of a log's path; file systems allow 255, including the suffix
PIECE_BYTES = 1024 * 1024  # decompress at most this much at once, to bound memory use
_GZIP = 31  # zlib's wbits for a gzip stream

PRIVATE = 0o600  # the mode of a file that only its owner can read

Content = Callable[[], Iterator[bytes]]  # each call yields the log from its beginning


@dataclass(frozen=True)
class LogName:
    """The name of a task's log in any store: TABLE/ITEM/TASK.ATTEMPT."""

    table: str
    item_id: str
    task: str
    attempt: int

    def path(self, stream: str) -> str:
        """Return the relative path of the log of `stdout` or `stderr`."""
        parts = (self.table, self.item_id, f"{self.task}.{self.attempt}.{stream}.gz")
        return "/".join(safe_name(part) for part in parts)


def safe_name(name: str) -> str:
    """Encode a name as one part of an S3 key or file path; different names stay different.

    All characters except letters, digits and `_.-` are percent-encoded, as in a URL (S3 User
    Guide, "Naming Amazon S3 objects": safe characters). If a name is too long, its end is replaced
    by `~` and a hash of the name.
    """
    safe = quote(name, safe="").replace("~", "%7E")
    if not safe.strip("."):  # "." and ".." mean folders
        safe = safe.replace(".", "%2E")
    if len(safe) > NAME_BYTES:
        digest = hashlib.sha256(name.encode()).hexdigest()[:32]
        safe = f"{safe[: NAME_BYTES - 33]}~{digest}"
    return safe


class LogStore(Protocol):
    """A place that keeps gzipped logs by their relative paths."""

    def check(self, table: str) -> None:
        """Raise `PyAnamoError` if logs of this table can't be written."""

    def where(self, table: str) -> str:
        """Return where the logs of this table are, for a person to read."""

    def keep(self, path: str, content: Content) -> str:
        """Write a log, overwriting any earlier one, and return its URI.

        Raises `PyAnamoError` if it can't be written.
        """


class LogFolder:
    """Keeps logs in a local folder."""

    def __init__(self, folder: Path, mode: int = 0o666) -> None:
        """`mode` is that of the logs, apart from what the umask takes away."""
        self._folder = folder
        self._mode = mode

    def check(self, table: str) -> None:
        """Create the folder, and check that it is writable."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except FileExistsError as error:
            raise PyAnamoError(f"the log folder {self._folder} is not a folder") from error
        except OSError as error:
            raise PyAnamoError(
                f"the log folder {self._folder} can't be written to: {error.strerror}"
            ) from error

    def where(self, table: str) -> str:
        """Return the folder of the table's logs."""
        return f"{self._folder / safe_name(table)}/"

    def keep(self, path: str, content: Content) -> str:
        """Write a log under a temporary name, and rename it when it is complete."""
        folder = self._folder.absolute()
        # Links stay: other machines may have the folder elsewhere below the same name.
        file = (folder.resolve() if ".." in folder.parts else folder) / path
        scratch = file.with_name(f"{file.name}.{os.getpid()}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            scratch.unlink(missing_ok=True)  # of a pilot that was killed
            write_file(scratch, gzipped(content()), self._mode)
            scratch.replace(file)
        except OSError as error:
            raise PyAnamoError(f"the log {file} can't be written: {error.strerror}") from error
        return file.as_uri()


def write_file(file: Path, chunks: Iterable[bytes], mode: int = PRIVATE) -> None:
    """Create a file, or nothing if that fails. Raises `OSError`.

    Others can write to folders such as `/tmp`. So nothing that is there already is opened, and no
    link is followed.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(file, flags, mode), "wb", buffering=0) as target:
        try:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[target.write(rest) :]
        except OSError:
            file.unlink(missing_ok=True)
            raise


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Compress chunks to a gzip stream."""
    compressor = zlib.compressobj(wbits=_GZIP)
    for chunk in chunks:
        if piece := compressor.compress(chunk):
            yield piece
    yield compressor.flush()


def unzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress a gzip stream. Raises `zlib.error` if it is damaged or cut off."""
    decompressor = zlib.decompressobj(wbits=_GZIP)
    for chunk in chunks:
        while chunk:
            yield decompressor.decompress(chunk, PIECE_BYTES)
            chunk = decompressor.unconsumed_tail
    if not decompressor.eof:
        raise zlib.error("it is cut off")
